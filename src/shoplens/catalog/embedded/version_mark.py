"""The last version that was acknowledged, beside the store.

SQLite goes through its write-ahead log up to the first frame whose checksum is wrong, and takes the
rest for what a killed writer did not finish. So damage in the log makes acknowledged changes
vanish without a word. The mark tells: it names a later version than the file is of.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import IO

import xxhash

SUFFIX = "-version"


class VersionMark:
    """A file with a version and its checksum.

    It is written after each commit, without waiting for the disk: it survives a killed process, and
    after a power cut it is at most too old, which says nothing.
    """

    def __init__(self, store: Path) -> None:
        self._file = store.with_name(store.name + SUFFIX)
        self._stream: IO[bytes] | None = None

    def read(self) -> int | None:
        """Return the version; None if there is no sound mark."""
        try:
            data = self._file.read_bytes()
        except OSError:
            return None
        number, digest = data[:8], data[8:]
        return int.from_bytes(number, "little") if _digest(number) == digest else None

    def write(self, version: int) -> None:
        """Write a version. Trouble with it is no trouble with what was written before."""
        number = version.to_bytes(8, "little")
        with suppress(OSError):
            if self._stream is None:
                self._file.touch()
                self._stream = self._file.open("r+b", buffering=0)
            self._stream.seek(0)
            self._stream.write(number + _digest(number))

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _digest(number: bytes) -> bytes:
    return xxhash.xxh3_64(number).digest()
