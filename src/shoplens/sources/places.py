"""A file that can be read whole or by ranges, wherever it lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from shoplens.errors import PhotoError
from shoplens.pixels.decoding import read_bytes

MAX_BYTES = 200 * 2**20
"""Photos of more bytes are refused as `too_large` where they come from an archive, a column or the
network."""


class Place(Protocol):
    """A file on disk or behind a URL.

    Values of it are immutable and can be pickled; they hold no open file. Every method raises
    `PhotoError` with reason `missing`, `unreadable` or `unreachable`.
    """

    def read(self) -> bytes:
        """Return the whole file; raises `PhotoError` `too_large` past `MAX_BYTES`."""

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from offset `start`; fewer where the file ends before."""

    def open(self) -> BinaryIO:
        """Return a seekable stream over the file."""

    def stamp(self) -> str:
        """Return a text that changes when the file does, as far as can be told."""

    @property
    def path(self) -> Path:
        """A path that names the file in messages."""

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file on disk."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        """Return the whole file."""
        if self._size() > MAX_BYTES:
            raise too_large(str(self), self._size())
        return read_bytes(self.path)

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from offset `start`; fewer where the file ends before."""
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
        try:
            return self.path.open("rb")
        except OSError as error:
            raise _trouble(self.path, error) from error

    def stamp(self) -> str:
        """Return its size and time of change."""
        status = self._status()
        return f"{status.st_size} {status.st_mtime_ns}"

    def _size(self) -> int:
        return self._status().st_size

    def _status(self) -> os.stat_result:
        try:
            return self.path.stat()
        except OSError as error:
            raise _trouble(self.path, error) from error


def too_large(name: str, size: int) -> PhotoError:
    """Return the error for a file of more than `MAX_BYTES`."""
    return PhotoError("too_large", f"{name} has {size:,} bytes, more than the limit {MAX_BYTES:,}")


def _trouble(path: Path, error: OSError) -> PhotoError:
    if isinstance(error, FileNotFoundError):
        return PhotoError("missing", f"no file {path}")
    return PhotoError("unreadable", f"{path}: {error.strerror or error}")
