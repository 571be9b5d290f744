"""Writing to a catalogue in small batches, so that a kill loses little work."""

from __future__ import annotations

import time
from types import TracebackType

from shoplens.catalog.base import Catalog
from shoplens.catalog.entry import Entry, FailedPhoto
from shoplens.errors import CatalogError

_WRITTEN_AT_ONCE = 256
_FLUSH_SECONDS = 1.0
"""Seconds of work that a kill may lose."""


class BatchWriter:
    """Writes to a catalogue in batches, and what is left when the block ends."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._entries: list[Entry] = []
        self._failed: list[FailedPhoto] = []
        self._flushed = time.monotonic()

    def __enter__(self) -> BatchWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        # What is done is kept when the run is stopped, unless it is the catalogue that fails.
        if kind is None or not issubclass(kind, CatalogError):
            self._flush()

    def put(self, entry: Entry) -> None:
        """Write an entry, now or a little later."""
        self._entries.append(entry)
        self._flush_in_time()

    def fail(self, photo: FailedPhoto) -> None:
        """Record a failure, now or a little later."""
        self._failed.append(photo)
        self._flush_in_time()

    def _flush_in_time(self) -> None:
        waiting = len(self._entries) + len(self._failed)
        if waiting >= _WRITTEN_AT_ONCE or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        entries, self._entries = self._entries, []
        failed, self._failed = self._failed, []
        if entries:
            self._catalog.upsert(entries)
        if failed:
            self._catalog.record_failures(failed)
        self._flushed = time.monotonic()
