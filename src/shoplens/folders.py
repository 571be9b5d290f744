"""Writing a folder so that a kill or a full disk never leaves half of it behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoplens.errors import DataError, MissingError, ShoplensError
from shoplens.parts import held, part_beside


def require_new_folder(path: str | Path) -> None:
    """Check that a folder can be made at `path`, before the work for it begins.

    Raises `MissingError` when the folder above it is not there, `DataError` when there is something
    at `path`.
    """
    target = Path(path)
    if target.exists() or target.is_symlink():
        raise DataError(f"{target} is there already; name a new folder, or remove it first")
    _require_parent(target)


@contextmanager
def writing_folder(path: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Make a folder beside `path` and move it there once the block is done.

    When the block raises, nothing of it remains and what was at `path` is as it was.

    Args:
        path: where the folder is to be.
        replace: whether a folder that is there already is replaced. For the moment between two
            renames it stands beside `path` as a part; a kill in that moment leaves it there.

    Yields:
        The folder to write into.

    Raises:
        MissingError: the folder above `path` is not there.
        DataError: there is something at `path` that is not to be replaced.
        ShoplensError: it cannot be written (full disk, permissions).
    """
    target = Path(path)
    if replace:
        _require_parent(target)
    else:
        require_new_folder(target)
    made = part_beside(target)
    try:
        made.mkdir()
        with held(made):
            yield made
        if replace and target.exists():
            earlier = target.with_name(made.name.removesuffix(".part") + ".old")
            target.rename(earlier)
            try:
                made.rename(target)
            except OSError:
                earlier.rename(target)
                raise
            # Removed below; a kill meanwhile leaves a part, which the next writer removes.
            earlier.rename(made)
        else:
            require_new_folder(target)
            made.rename(target)
    except OSError as error:
        if error.filename is not None and not _is_ours(error.filename, target, made):
            raise
        raise ShoplensError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _is_ours(name: str | bytes | int, target: Path, made: Path) -> bool:
    """Whether an error is of what is being written, and not of a file that is read meanwhile."""
    if isinstance(name, int):
        return False
    path = Path(os.fsdecode(name))
    return any(path == ours or ours in path.parents for ours in (target, made))


def _require_parent(target: Path) -> None:
    if not target.absolute().parent.is_dir():
        raise MissingError(f"cannot make {target}: the folder {target.parent} is not there")
