"""One process at a time may change a catalogue; whoever comes second learns who holds it."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shoplens.errors import CatalogBusyError, CatalogError

if TYPE_CHECKING:
    from filelock import FileLock

_LOCK = "writer.lock"
_HOLDER = "writer.json"


class _Holder(msgspec.Struct):
    pid: int
    host: str
    command: str
    since: str


class WriterLock:
    """The right to change a catalogue. The system takes it back when the process ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: FileLock | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._lock is not None and self._lock.is_locked

    def acquire(self) -> None:
        """Take it.

        Raises:
            CatalogBusyError: another process, or another `Catalog` of this process, holds it.
            CatalogError: the folder cannot be written.
        """
        import filelock  # noqa: PLC0415  Readers need none, and it takes its time.

        lock = filelock.FileLock(self._folder / _LOCK, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise CatalogBusyError(
                f"{self._folder} is being changed by {self._holder()}. One process at a time may "
                "change a catalogue; any number may read it."
            ) from None
        except OSError as error:
            raise CatalogError(f"{self._folder} cannot be changed: {error.strerror}") from error
        self._lock = lock
        holder = _Holder(
            os.getpid(),
            socket.gethostname(),
            Path(sys.argv[0]).name or "python",
            time.strftime("%Y-%m-%d %H:%M:%S"),
        )
        with suppress(OSError):  # It only makes the message better.
            (self._folder / _HOLDER).write_bytes(msgspec.json.encode(holder))

    def release(self) -> None:
        """Give it back."""
        if self._lock is not None and self._lock.is_locked:
            with suppress(OSError):
                (self._folder / _HOLDER).unlink(missing_ok=True)
            self._lock.release()

    def _holder(self) -> str:
        try:
            holder = msgspec.json.decode((self._folder / _HOLDER).read_bytes(), type=_Holder)
        except (OSError, msgspec.MsgspecError):
            return "another process"
        return f"process {holder.pid} on {holder.host} ({holder.command}, since {holder.since})"
