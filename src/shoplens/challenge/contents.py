"""What a submission's folder holds, within bounds: nobody knows what strangers hand in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from shoplens.errors import DataError

LEFT_OUT = frozenset({".git", "__pycache__", ".venv"})
"""Folders that are no part of a submission: version control, byte code, environments."""

MAX_DEPTH = 32
"""How many folders deep a file may lie."""
MAX_PATH_BYTES = 1000
"""How long a path inside the folder may be. Copies lie elsewhere, where it still has to fit."""
MAX_FILES = 20_000
"""How many files, links and folders there may be."""
MAX_BYTES = 20 * 10**9
"""How large all files together may be: several large models fit."""


def contents(folder: Path) -> Iterator[Path]:
    """Yield the files, links and folders of a submission, in a fixed order.

    A folder comes before what is in it. Links are not followed, and folders in `LEFT_OUT` are
    skipped.

    Raises:
        DataError: the folder is too deep, or holds too much.
        OSError: a part of it cannot be read.
    """
    count, size = 0, 0
    waiting = [(folder, 1)]
    while waiting:
        parent, depth = waiting.pop()
        with os.scandir(parent) as entries:
            found = sorted(
                (one for one in entries if one.name not in LEFT_OUT or not one.is_dir()),
                key=lambda one: one.name,
            )
        folders = []
        for entry in found:
            path = Path(entry.path)
            count += 1
            if entry.is_dir(follow_symlinks=False):
                folders.append((path, depth + 1))
            else:
                size += entry.stat(follow_symlinks=False).st_size
            if problem := _problem(path, folder, depth, count, size):
                raise DataError(f"the submission {folder} cannot be taken: {problem}")
            yield path
        waiting += reversed(folders)


def require_bounded(folder: Path) -> None:
    """Check that a submission's folder is not too deep and does not hold too much.

    Raises as `contents` does.
    """
    for _ in contents(folder):
        pass


def _problem(path: Path, folder: Path, depth: int, count: int, size: int) -> str:
    if depth > MAX_DEPTH:
        return f"it has folders inside folders, more than {MAX_DEPTH} deep"
    if len(os.fsencode(path.relative_to(folder))) > MAX_PATH_BYTES:
        return f"a path in it is longer than {MAX_PATH_BYTES:,} bytes"
    if count > MAX_FILES:
        return f"it holds more than {MAX_FILES:,} files and folders"
    if size > MAX_BYTES:
        return f"its files are larger than {MAX_BYTES / 1e9:g} GB together"
    return ""
