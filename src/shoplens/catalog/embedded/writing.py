"""What is changed in the store in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shoplens.catalog.embedded.reading import (
    CHAIN,
    MODEL,
    REGIONS,
    Reading,
    SegmentRange,
    storable,
)
from shoplens.catalog.embedded.rows import COLUMNS, checksum, encode, stored_failure, stored_row
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId
from shoplens.catalog.model_stamp import ModelStamp

WITH_REGIONS = 2
"""`user_version` of a store in which a row has had vectors of regions."""


class Writing(Reading):
    """What can be done in one transaction that writes: all of it, or nothing."""

    def set_model(self, model: ModelStamp) -> None:
        """State the model of the vectors."""
        self._state(MODEL, encode(model))

    def set_regions(self, n: int) -> None:
        """State how many regions of each photo are to be embedded."""
        self._state(REGIONS, str(n).encode())

    def set_chain(self, text: str) -> None:
        """State by which chain searches are re-ranked."""
        self._state(CHAIN, text.encode())

    def remove(self, rows: Sequence[int]) -> None:
        """Remove rows."""
        self._connection.executemany("DELETE FROM photos WHERE row = ?", ((r,) for r in rows))
        self._connection.executemany(
            "INSERT INTO removed (row) VALUES (?)", ((r,) for r in sorted(rows))
        )

    def insert(self, entries: Sequence[Entry]) -> None:
        """Add entries whose photos are not here, in order."""
        self._allow_regions(entries)
        self._connection.executemany(
            "INSERT INTO photos (photo_id, product_id, facts, vector, checksum) "
            "VALUES (?, ?, ?, ?, ?)",
            map(stored_row, entries),
        )

    def remove_all(self) -> None:
        """Remove all rows."""
        self._connection.execute("DELETE FROM photos")
        self._connection.execute("DELETE FROM removed")

    def restore(self, row: int, entry: Entry) -> None:
        """Put back the row of an entry under its number."""
        self._allow_regions([entry])
        self._connection.execute("DELETE FROM photos WHERE row = ?", (row,))
        self._connection.execute(
            f"INSERT INTO photos ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", (row, *stored_row(entry))
        )

    def forget_failures(self, photo_ids: Iterable[PhotoId]) -> int:
        """Remove records of failure; return how many there were."""
        return self._connection.executemany(
            "DELETE FROM failed WHERE photo_id = ?",
            ((photo_id,) for photo_id in storable(list(photo_ids))),
        ).rowcount

    def add_failures(self, failed: Iterable[FailedPhoto]) -> None:
        """Add records of failure, or replace them."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO failed VALUES (?, ?, ?, ?)", map(stored_failure, failed)
        )

    def replace_segments(self, gone: Iterable[str], added: Iterable[SegmentRange]) -> None:
        """Register segments and drop others."""
        self._connection.executemany("DELETE FROM segments WHERE name = ?", ((n,) for n in gone))
        self._connection.executemany(
            "INSERT INTO segments VALUES (?, ?, ?)",
            ((one.name, one.first_row, one.last_row) for one in added),
        )
        self._connection.execute("UPDATE state SET generation = generation + 1")

    def skip_to(self, last_row: int, version: int) -> None:
        """Give no row a number up to `last_row`, and count versions from `version`."""
        self._connection.execute("DELETE FROM sqlite_sequence WHERE name = 'photos'")
        self._connection.execute(
            "INSERT INTO sqlite_sequence SELECT 'photos', max(?, coalesce(max(row), 0)) "
            "FROM photos",
            (last_row,),
        )
        self._connection.execute("UPDATE state SET version = ?", (version,))

    def forget_removed(self, numbers: Iterable[int]) -> None:
        """Drop rows from `removed`, by their numbers there: no segment holds them any more."""
        self._connection.executemany(
            "DELETE FROM removed WHERE number = ?", ((number,) for number in numbers)
        )

    def _state(self, key: str, value: bytes) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO about VALUES (?, ?, ?)",
            (key, value.decode(), checksum(key, None, value)),
        )

    def _allow_regions(self, entries: Iterable[Entry]) -> None:
        """Keep earlier versions of shoplens, which know no regions, from reading any."""
        if any(entry.regions is not None for entry in entries):
            self._connection.execute(f"PRAGMA user_version = {WITH_REGIONS}")
