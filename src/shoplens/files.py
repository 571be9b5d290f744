"""Writing files so that a kill or a full disk never leaves half a result behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from shoplens.errors import DataError, MissingError, ShoplensError
from shoplens.parts import held, part_beside


def require_folder(path: str | Path) -> None:
    """Check that a file can be put at `path`, before the work for it begins.

    Raises `MissingError` when its folder is not there, `ShoplensError` when it is itself a folder
    or must not be written.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise MissingError(f"cannot write {target}: the folder {target.parent} is not there")
    if target.is_dir():
        raise ShoplensError(f"cannot write {target}: it is a folder")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise ShoplensError(f"cannot write {target}: no permission, or a read-only disk")


_BINARY = getattr(os, "O_BINARY", 0)
"""Windows would otherwise end lines in its own way."""


@contextmanager
def replacing(path: str | Path, *, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Open a file for writing beside `path` and move it there once it is complete.

    When the block raises, an earlier file at `path` stays as it was. What is no regular file (a
    pipe, /dev/null) is written to and never replaced. A file that is made gets the permissions
    `mode`, less the user's mask.

    Raises:
        MissingError: the folder of `path` is not there.
        ShoplensError: the file cannot be written (full disk, permissions).
    """
    # A link stays a link: what it points to is replaced. (/dev/stdout may point to no path at all.)
    special = Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir()
    target = Path(path) if special else Path(os.path.realpath(path))
    if special:
        try:
            with target.open("wb") as stream:
                yield stream
        except OSError as error:
            if _is_of_another(error, target):
                raise
            raise _unwritable(target, error) from error
        return
    require_folder(target)
    temporary = part_beside(target)
    try:
        made = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
        with held(temporary), os.fdopen(made, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        if _is_of_another(error, target, temporary):
            raise
        raise _unwritable(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _is_of_another(error: OSError, *ours: Path) -> bool:
    """Whether an error is of another file: a write that fails names none, opening one does."""
    return error.filename is not None and error.filename not in map(os.fspath, ours)


def _unwritable(target: Path, error: OSError) -> ShoplensError:
    return ShoplensError(f"cannot write {target}: {error.strerror or error}")


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file.

    Raises `MissingError` when there is none, `DataError` when it is not UTF-8 or cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MissingError(f"no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from error


def write_text(path: str | Path, text: str, *, mode: int = 0o666) -> None:
    """Write a UTF-8 text file in one step (see `replacing`).

    Bytes of a file name that are no UTF-8 (Linux allows them) are written as escapes.
    """
    with replacing(path, mode=mode) as stream:
        stream.write(text.encode(errors="backslashreplace"))
