"""A file: bytes at a place that can be read whole or by ranges."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.pixels.decoding import read_bytes

MAX_BYTES = 200 * 2**20
"""Photos of more bytes are refused as `too_large` where they come from an archive, a column or the
network."""


class File(Protocol):
    """Bytes at a place: on disk, in an archive, in a cell of a table, in memory, behind a URL.

    A small value: immutable, hashable, and equal to another that means the same bytes. It holds no
    open file, can be pickled (another process reads it there), and may be read from several threads
    at once. `str` of it names the place in messages. Every method raises `PhotoError` with reason
    `missing`, `unreadable`, `unreachable` or `too_large`.
    """

    @property
    def path(self) -> Path:
        """A path that names the file; it can be opened where the file is `on_disk`."""

    @property
    def on_disk(self) -> bool:
        """Whether it is the file at `path` on this machine's disk."""

    def read(self) -> bytes:
        """Return the whole file."""

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from offset `start`; fewer where the file ends before."""

    def open(self) -> BinaryIO:
        """Return a seekable stream over the file."""

    def stamp(self) -> str:
        """Return a text that changes when the file does, as far as that can be seen."""

    def __str__(self) -> str: ...
    def __hash__(self) -> int: ...


class WholeFile:
    """The other methods of a file that can only be read whole."""

    __slots__ = ()
    on_disk = False

    def read(self) -> bytes:
        """Return the whole file."""
        raise NotImplementedError

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from offset `start`; fewer where the file ends before."""
        return self.read()[start : start + length]

    def open(self) -> BinaryIO:
        """Return a seekable stream over the file."""
        return io.BytesIO(self.read())

    def stamp(self) -> str:
        """Return the hash of its bytes."""
        return hashlib.sha256(self.read()).hexdigest()


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file on disk."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def on_disk(self) -> bool:
        """True."""
        return True

    def read(self) -> bytes:
        """Return the whole file, of any size; raises `PhotoError` `empty` too."""
        return read_bytes(self.path)

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from offset `start`; fewer where the file ends before."""
        self._status()
        try:
            with self.path.open("rb", buffering=0) as stream:
                stream.seek(start)
                parts = []
                while length > 0 and (part := stream.read(length)):
                    parts.append(part)
                    length -= len(part)
                return b"".join(parts)
        except OSError as error:
            raise _trouble(self.path, error) from error

    def open(self) -> BinaryIO:
        """Return a seekable stream over the file."""
        self._status()
        try:
            return self.path.open("rb")
        except OSError as error:
            raise _trouble(self.path, error) from error

    def stamp(self) -> str:
        """Return its size and time of change."""
        status = self._status()
        return f"{status.st_size} {status.st_mtime_ns}"

    def _status(self) -> os.stat_result:
        try:
            status = self.path.stat()
        except OSError as error:
            raise _trouble(self.path, error) from error
        # A pipe or a device would be waited for without end.
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise PhotoError("unreadable", f"{self.path} is not a regular file")
        return status


def too_large(name: str, size: int) -> PhotoError:
    """Return the error for a file of more than `MAX_BYTES`."""
    return PhotoError("too_large", f"{name} has {size:,} bytes, more than the limit {MAX_BYTES:,}")


def as_whole(source: object, error: PhotoError) -> DataError | MissingError:
    """Return the error of a run whose table or archive met `error`."""
    kind = MissingError if error.reason == "missing" else DataError
    text = str(error)
    return kind(text if str(source) in text else f"{source}: {text}")


def _trouble(path: Path, error: OSError) -> PhotoError:
    if isinstance(error, FileNotFoundError):
        return PhotoError("missing", f"no file {path}")
    return PhotoError("unreadable", f"{path}: {error.strerror or error}")
