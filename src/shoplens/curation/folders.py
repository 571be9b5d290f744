"""Writing a folder so that a kill or a full disk never leaves half of it behind."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoplens.errors import DataError, MissingError, ShoplensError


def require_new_folder(path: str | Path) -> None:
    """Check that a folder can be made at `path`, before the work for it begins.

    Raises `MissingError` when the folder above it is not there, `DataError` when there is something
    at `path`.
    """
    target = Path(path)
    if target.exists() or target.is_symlink():
        raise DataError(f"{target} is there already; name a new folder, or remove it first")
    if not target.absolute().parent.is_dir():
        raise MissingError(f"cannot make {target}: the folder {target.parent} is not there")


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Make a folder beside `path` and move it there once the block is done.

    When the block raises, nothing of it remains. Raises as `require_new_folder`, and
    `ShoplensError` where it cannot be written (full disk, permissions).
    """
    require_new_folder(path)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.mkdir()
        yield temporary
        require_new_folder(path)
        temporary.rename(target)
    except OSError as error:
        raise ShoplensError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
