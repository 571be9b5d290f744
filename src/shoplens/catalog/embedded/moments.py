"""The moments of a catalogue that threads read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoplens.catalog.embedded.reading import Reading
from shoplens.catalog.embedded.snapshot import Snapshot, SnapshotKeeper
from shoplens.catalog.embedded.store import Store
from shoplens.errors import CatalogError

_ATTEMPTS = 5
"""Times to begin again because a segment was replaced just then."""


class Moments:
    """Lets each thread read as of one moment for as long as it wants to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keeper = SnapshotKeeper(folder)
        self._seen = threading.local()

    @property
    def current(self) -> tuple[Reading, Snapshot] | None:
        """What this thread reads now; None outside of `reading`."""
        seen: tuple[Reading, Snapshot] | None = getattr(self._seen, "moment", None)
        return seen

    @contextmanager
    def reading(self, store: Store) -> Iterator[tuple[Reading, Snapshot]]:
        """Let all that this thread reads in the block be of one moment.

        Raises `CatalogError` if acknowledged changes are missing, or there are too many at once.
        """
        if (seen := self.current) is not None:
            yield seen
            return
        store.require_complete()
        for attempt in range(_ATTEMPTS):
            with store.reading() as reading:
                snapshot = self._keeper.at(reading, patient=attempt < _ATTEMPTS - 1)
                if snapshot is None:
                    continue
                self._seen.moment = reading, snapshot
                try:
                    yield reading, snapshot
                finally:
                    self._seen.moment = None
                return
        raise CatalogError(f"{self._folder} changes faster than it can be read; try again")

    def close(self) -> None:
        """Close the indexes of all segments."""
        self._keeper.close()
