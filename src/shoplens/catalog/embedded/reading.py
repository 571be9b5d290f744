"""What is read of the store in one transaction."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import eq
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import numpy.typing as npt

from shoplens.catalog.embedded.rows import (
    COLUMNS,
    FLOAT32,
    Row,
    RowBlock,
    checksum,
    decode_facts,
    decode_failed,
    stored_entry,
    vector_bytes,
)
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.errors import CatalogError
from shoplens.reranking import NONE

MODEL, REGIONS, CHAIN = "model", "regions", "chain"
"""The keys in `about`."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_VARIABLES = 900
"""Values in one statement; SQLite was built with a limit of 999 for long."""

_Stored = tuple[
    tuple[int, ...],
    tuple[PhotoId, ...],
    tuple[str | None, ...],
    tuple[bytes, ...],
    tuple[bytes, ...],
    tuple[bytes, ...],
]
"""Rows of `photos`, by column."""


class DamagedStoreError(CatalogError):
    """The file is that of a catalogue, and SQLite cannot make sense of it."""


@dataclass(frozen=True, slots=True)
class Version:
    """A moment of the catalogue."""

    version: int
    generation: int
    last_row: int
    """The highest number that a row has had."""
    last_removed: int
    """The last number in `removed`."""


@dataclass(frozen=True, slots=True)
class SegmentRange:
    """A segment and the rows that it stands for, both ends included."""

    name: str
    first_row: int
    last_row: int


class Reading:
    """What can be read in one transaction: everything as of one moment."""

    def __init__(self, connection: sqlite3.Connection, file: Path, identity: int) -> None:
        self._connection = connection
        self._file = file
        self.identity = identity
        """Of the file: a repair puts another one in its place."""

    def version(self) -> Version:
        """Return the moment."""
        row = self._connection.execute(
            "SELECT version, generation, "
            "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'photos'), 0), "
            "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'removed'), 0) FROM state"
        ).fetchone()
        if row is None or not all(isinstance(number, int) for number in row):
            raise DamagedStoreError(f"{self._file}: its version is damaged; {advice(self._file)}")
        version = Version(*row)
        # What SQLite counts has no checksum. A file whose last rows are damaged opens all the same.
        with suppress(sqlite3.DatabaseError):
            last_row, last_removed = self._connection.execute(
                "SELECT coalesce((SELECT max(row) FROM photos), 0), "
                "coalesce((SELECT max(number) FROM removed), 0)"
            ).fetchone()
            version = replace(
                version,
                last_row=max(version.last_row, last_row),
                last_removed=max(version.last_removed, last_removed),
            )
        return version

    def extent(self) -> tuple[int, int]:
        """Return the number of rows, and the sum of their numbers."""
        n_rows, total = self._connection.execute(
            "SELECT count(*), coalesce(sum(row), 0) FROM photos"
        ).fetchone()
        return n_rows, total

    def model(self) -> ModelStamp | None:
        """Return the model of the vectors; None as long as there is none.

        Raises `CatalogError` if what is stored of it is damaged.
        """
        found = self._connection.execute("SELECT key, value, checksum FROM about").fetchall()
        if not found and not self._connection.execute("SELECT 1 FROM photos LIMIT 1").fetchone():
            return None
        for key, value, stored in found:
            with suppress(TypeError, AttributeError):  # Damage can change the type of a value.
                if key == MODEL and checksum(key, None, value.encode()) == stored:
                    return msgspec.json.decode(value, type=ModelStamp)
        raise CatalogError(f"{self._file}: the name of the model is damaged; {advice(self._file)}")

    def n_regions(self) -> int:
        """Return how many regions of each photo are to be embedded.

        Raises `CatalogError` if what is stored of it is damaged.
        """
        stated = self._stated(REGIONS, "the number of regions")
        return 0 if stated is None else int(stated)

    def chain(self) -> str:
        """Return the text of the chain that re-ranks searches.

        Raises `CatalogError` if what is stored of it is damaged.
        """
        return self._stated(CHAIN, "the chain of re-ranking methods") or NONE

    def _stated(self, key: str, what: str) -> str | None:
        """Return what the catalogue says of itself under a key; None if it says nothing.

        Raises `CatalogError` if that is damaged; `what` says what it is.
        """
        found = self._connection.execute(
            "SELECT value, checksum FROM about WHERE key = ?", (key,)
        ).fetchone()
        if found is None:
            return None
        value, stored = found
        with suppress(TypeError, AttributeError):  # Damage can change a type.
            if checksum(key, None, value.encode()) == stored:
                return str(value)
        raise CatalogError(f"{self._file}: {what} is damaged; {advice(self._file)}")

    def segments(self) -> list[SegmentRange]:
        """Return the segments, in order of their rows."""
        found = self._connection.execute(
            "SELECT name, first_row, last_row FROM segments ORDER BY first_row"
        ).fetchall()
        for name, *rows in found:
            if not isinstance(name, str) or not all(isinstance(row, int) for row in rows):
                raise CatalogError(
                    f"{self._file}: the list of segments is damaged; {advice(self._file)}"
                )
        return [SegmentRange(*row) for row in found]

    def removed(self, after: int = 0) -> npt.NDArray[np.int64]:
        """Return the rows in `removed` whose number there is above `after`, in rising order."""
        return self._removed("number > ?", after)[0]

    def removed_between(
        self, first: int, last: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the rows from `first` to `last` that are in `removed`, in rising order, and their
        numbers there."""
        return self._removed("row BETWEEN ? AND ?", first, last)

    def _removed(
        self, which: str, *values: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        found = self._connection.execute(
            f"SELECT row, number FROM removed WHERE {which} ORDER BY row", values
        ).fetchall()
        if not all(type(row) is int for row, _ in found):
            raise CatalogError(
                f"{self._file}: the list of removed rows is damaged; {advice(self._file)}"
            )
        rows, numbers = np.array(found, dtype=np.int64).reshape(-1, 2).T
        return rows, numbers

    def block(
        self, dimension: int, after: int = 0, until: int | None = None, limit: int | None = None
    ) -> RowBlock:
        """Return rows with numbers above `after` and up to `until`, `limit` of them at most.

        Raises `CatalogError` if one is damaged.
        """
        found = self.raw_rows(
            after,
            -1 if limit is None else limit,
            2**63 - 1 if until is None else until,
        )
        if not found:
            nothing = np.empty((0, dimension), np.float32)
            return RowBlock(np.empty(0, np.int64), nothing, np.zeros(1, np.int64), (), (), ())
        rows, photo_ids, product_ids, facts, vectors, checksums = cast(
            _Stored, tuple(zip(*found, strict=True))
        )
        try:
            is_sound = all(
                map(eq, map(checksum, photo_ids, product_ids, facts, vectors), checksums)
            )
            decoded = [*map(decode_facts, facts)]
        except (TypeError, ValueError, msgspec.MsgspecError):
            is_sound = False  # Damage can change the type of a value, too.
        if not is_sound:
            for stored in found:
                self.checked(stored)
        counts = [values.n_vectors for values in decoded]
        size = FLOAT32.itemsize * dimension
        if any(len(blob) != size * count for blob, count in zip(vectors, counts, strict=True)):
            raise CatalogError(
                f"{self._file}: a vector does not have {dimension} dimensions; {advice(self._file)}"
            )
        return RowBlock(
            np.array(rows, dtype=np.int64),
            np.frombuffer(b"".join(vectors), dtype=FLOAT32).reshape(sum(counts), dimension),
            np.cumsum([0, *counts], dtype=np.int64),
            photo_ids,
            product_ids,
            [values.attributes for values in decoded],
        )

    def rows(self, after: int = 0, until: int | None = None) -> Iterator[Row]:
        """Yield rows with numbers above `after` and up to `until`, in their order.

        Raises `CatalogError` if one is damaged.
        """
        last = 2**63 - 1 if until is None else until
        found = self._connection.execute(
            f"SELECT {COLUMNS} FROM photos WHERE row > ? AND row <= ? ORDER BY row",
            (after, last),
        )
        for row in found:
            yield self.checked(row)

    def raw_rows(self, after: int, limit: int, until: int = 2**63 - 1) -> list[tuple[object, ...]]:
        """Return rows as they are stored, unchecked."""
        return self._connection.execute(
            f"SELECT {COLUMNS} FROM photos WHERE row > ? AND row <= ? ORDER BY row LIMIT ?",
            (after, until, limit),
        ).fetchall()

    def listed_rows(self) -> list[int]:
        """Return the numbers of all rows, from the index of photo ids."""
        found = self._connection.execute(
            "SELECT row FROM photos INDEXED BY sqlite_autoindex_photos_1 ORDER BY photo_id"
        )
        return [row for (row,) in found]

    def rows_at(self, rows: Sequence[int]) -> dict[int, Entry]:
        """Return the entries of rows.

        Raises `CatalogError` if one is damaged.
        """
        return {
            stored[0]: self._checked_entry(stored)
            for part in _parts(rows)
            for stored in self._connection.execute(
                f"SELECT {COLUMNS} FROM photos WHERE row IN ({_marks(part)})", part
            )
        }

    def find(self, photo_ids: Sequence[PhotoId]) -> dict[PhotoId, Row]:
        """Return the rows of photos by their ids.

        Raises `CatalogError` if one is damaged.
        """
        return {
            photo_id: self.checked(stored) for photo_id, stored in self.raw_find(photo_ids).items()
        }

    def raw_find(self, photo_ids: Sequence[PhotoId]) -> dict[PhotoId, tuple[object, ...]]:
        """Return the rows of photos by their ids, as they are stored, unchecked."""
        return {
            stored[1]: stored
            for part in _parts(storable(photo_ids))
            for stored in self._connection.execute(
                f"SELECT {COLUMNS} FROM photos WHERE photo_id IN ({_marks(part)})", part
            )
        }

    def holds(self, stored: tuple[object, ...], entry: Entry) -> bool:
        """Return whether a row as it is stored is sound and just this entry."""
        if stored[4] != vector_bytes(entry):
            return False  # At once: of most photos that change, the vector does.
        try:
            known = self._checked_entry(stored)
        except CatalogError:
            return False
        return entry == known and entry.stamp == known.stamp

    def row_numbers(self, photo_ids: Sequence[PhotoId]) -> dict[PhotoId, int]:
        """Return the numbers of the rows of photos, for those that are found."""
        return {
            photo_id: row
            for part in _parts(storable(photo_ids))
            for photo_id, row in self._connection.execute(
                f"SELECT photo_id, row FROM photos WHERE photo_id IN ({_marks(part)})", part
            )
        }

    def ids_at(self, rows: Sequence[int]) -> dict[int, PhotoId]:
        """Return the photo ids of rows, in rising order of the rows' numbers."""
        found = {
            row: photo_id
            for part in _parts(rows)
            for row, photo_id in self._connection.execute(
                f"SELECT row, photo_id FROM photos WHERE row IN ({_marks(part)})", part
            )
        }
        if len(found) < len(rows):
            raise CatalogError(
                f"{self._file}: {len(rows) - len(found)} rows cannot be found; {advice(self._file)}"
            )
        return dict(sorted(found.items()))

    def n_photos(self) -> int:
        """Return the number of photos."""
        return int(self._connection.execute("SELECT count(*) FROM photos").fetchone()[0])

    def n_failed(self) -> int:
        """Return the number of photos that could not be embedded."""
        return int(self._connection.execute("SELECT count(*) FROM failed").fetchone()[0])

    def failed(self) -> list[FailedPhoto]:
        """Return the photos that could not be embedded, in order of their ids.

        Raises `CatalogError` if a record is damaged.
        """
        found = self._connection.execute(
            "SELECT photo_id, product_id, facts, checksum FROM failed ORDER BY photo_id"
        )
        return [self.checked_failed(*row) for row in found]

    def checked_failed(
        self, photo_id: PhotoId, product_id: str | None, facts: bytes, stored: bytes
    ) -> FailedPhoto:
        """Return a record of failure.

        Raises `CatalogError` if it is damaged.
        """
        if checksum(photo_id, product_id, facts) != stored:
            raise CatalogError(
                f"{self._file}: the record of the failed photo {photo_id!r} is damaged; "
                f"{advice(self._file)}"
            )
        values = decode_failed(facts)
        return FailedPhoto(
            photo_id,
            values.path,
            values.source,
            values.reason,
            values.detail,
            product_id,
            values.attributes,
        )

    def checked(self, stored: tuple[object, ...]) -> Row:
        """Return a row of `photos` as an entry.

        Raises `CatalogError` if it is damaged.
        """
        return Row(cast(int, stored[0]), self._checked_entry(stored))

    def _checked_entry(self, stored: tuple[object, ...]) -> Entry:
        row, photo_id, product_id, facts, vector, found = stored
        try:
            if checksum(photo_id, product_id, facts, vector) == found:  # type: ignore[arg-type]
                return stored_entry(photo_id, product_id, facts, vector)  # type: ignore[arg-type]
        except (TypeError, ValueError, msgspec.MsgspecError):
            pass  # Damage can change the type of a value, too.
        raise CatalogError(
            f"{self._file}: photo {photo_id!r} (row {row}) is damaged; {advice(self._file)}"
        )

    def schema(self) -> list[tuple[object, ...]]:
        """Return tables and indexes, and where each begins in the file."""
        return self._connection.execute(
            "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master ORDER BY rowid"
        ).fetchall()

    def structure_faults(self) -> list[str]:
        """Return what SQLite finds wrong with the file itself."""
        found = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check(100)")]
        return [] if found == ["ok"] else found


def advice(file: Path) -> str:
    """Return what to do about a file that is damaged."""
    return (
        f"`shoplens catalog verify {file.parent}` lists all that is, and --repair mends it, from a "
        "backup where that is needed"
    )


def _parts(
    values: Sequence[PhotoId] | Sequence[int] | Sequence[str],
) -> Iterator[Sequence[PhotoId]]:
    for start in range(0, len(values), _MOST_VARIABLES):
        yield values[start : start + _MOST_VARIABLES]


def storable(ids: Sequence[PhotoId]) -> list[PhotoId]:
    """Return the ids that can be in the store: text that is no Unicode is not."""
    return [one for one in ids if not isinstance(one, str) or not _SURROGATE.search(one)]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
