"""Results under another name until they are complete: a kill leaves no half of them behind."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks: there, age alone decides.
    fcntl = None  # type: ignore[assignment]

_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.part")
_YOUNG_SECONDS = 5.0
"""A part this young may belong to a writer that has not locked it yet."""
_OLD_SECONDS = 86_400.0
"""Without locks, a part this old is taken to be abandoned."""
_swept: set[Path] = set()
"""Folders that this process has looked through."""


def part_beside(target: Path) -> Path:
    """Return a new name beside `target` for what becomes `target` once it is complete.

    What killed writers left in the folder is removed first, once for each folder and process.
    """
    folder = target.parent.absolute()
    if folder not in _swept:
        _swept.add(folder)
        remove_abandoned_parts(target.parent)
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def is_part(name: str) -> bool:
    """Say whether a name is one that `part_beside` gives."""
    return _NAME.fullmatch(name) is not None


@contextmanager
def held(part: Path) -> Iterator[None]:
    """Mark a part, a file or a folder, as being written, until the block ends or we are killed."""
    descriptor = _open(part)
    try:
        if descriptor is not None and fcntl is not None:
            with suppress(OSError):  # A file system without locks.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove_abandoned_parts(folder: Path) -> int:
    """Remove parts whose writer no longer runs; return how many there were."""
    removed = 0
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            part = Path(entry.path)
            if is_part(entry.name) and _is_abandoned(part):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(part, ignore_errors=True)
                else:
                    with suppress(OSError):
                        part.unlink()
                removed += 1
    return removed


def _is_abandoned(part: Path) -> bool:
    try:
        age = time.time() - part.lstat().st_mtime
    except OSError:
        return False
    if fcntl is None:
        return age > _OLD_SECONDS
    if age < _YOUNG_SECONDS or (descriptor := _open(part)) is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _open(part: Path) -> int | None:
    try:
        return os.open(part, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
