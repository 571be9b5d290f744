"""Checking everything that a catalogue on a Milvus server holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from shoplens.catalog.checks import UNIT_TOLERANCE
from shoplens.catalog.entry import Entry
from shoplens.catalog.milvus.collection import Collection
from shoplens.catalog.milvus.expressions import PHOTOS, REGION_ROWS
from shoplens.catalog.milvus.region_rows import photo_key, region_rows
from shoplens.catalog.milvus.rows import (
    Row,
    checksum,
    derived_of,
    entry_of,
    id_of,
    key_of,
    row_of_failure,
    rows_of,
    vector_of,
)
from shoplens.catalog.milvus.schema import (
    ATTRIBUTES,
    CATEGORY,
    CHECKSUM,
    ENTRY,
    FACTS,
    KIND,
    PHOTO,
    PRODUCT,
    REGIONS,
    SEQUENCE,
    VECTOR,
)
from shoplens.catalog.parquet_reading import ParquetPhotos
from shoplens.catalog.verification import CatalogFault, Verification
from shoplens.progress import Progress

_FIELDS = [PHOTO, KIND, SEQUENCE, VECTOR, PRODUCT, CATEGORY, ATTRIBUTES, FACTS, CHECKSUM]
_DERIVED = [PHOTO, VECTOR, PRODUCT, CATEGORY, ATTRIBUTES]
"""Of the row of a region: all that comes from its photo."""
_LEFT = "regions"
"""The key of the fault that there are rows of regions without a photo."""


class Check:
    """What a check of all rows found."""

    def __init__(self, collection: Collection, progress: Progress) -> None:
        self._collection = collection
        self._faults: dict[str, CatalogFault] = {}
        """By primary key."""
        self._damaged: dict[str, int] = {}
        """Sequence numbers of rows whose facts or vectors are not what was stored."""
        self._outdated: list[Row] = []
        """Rows whose derived columns do not fit their facts."""
        self._seen: set[str] = set()
        self._unfound: list[Row] = []
        """Rows of regions as they should be, of those that are not."""
        self._regions: set[str] = set()
        """Primary keys of the rows of regions that there should be."""
        self._left: list[str] = []
        """Those of other rows of regions."""
        n_expected = collection.count(PHOTOS)
        fields = [*_FIELDS, REGIONS] if collection.has_regions else _FIELDS
        for page in collection.rows(PHOTOS, fields):
            for row in page:
                self._check(row)
            if collection.has_regions:
                self._check_regions(page)
            progress("verify", len(self._seen), n_expected)
        if collection.has_regions:
            self._look_for_left()
        if len(self._seen) != n_expected == collection.count(PHOTOS):
            self._faults[""] = CatalogFault(
                "collection", f"counts {n_expected:,} photos, and has {len(self._seen):,}"
            )

    def verification(self) -> Verification:
        """Return the result."""
        return Verification(tuple(self._faults.values()), len(self._seen))

    def repair(self, backup: Path | None) -> None:
        """Write derived columns again, and damaged photos as far as a backup has them."""
        rows = [{**row, VECTOR: vector_of(row), **derived_of(row[FACTS])} for row in self._outdated]
        if self._damaged and backup is not None:
            with ParquetPhotos(backup) as file:
                for photo in (photo for part in file.photos() for photo in part):
                    key = key_of(photo.photo_id)
                    if key not in self._damaged:
                        continue
                    if isinstance(photo, Entry):
                        rows += rows_of(photo, self._damaged[key], str(backup))
                    else:
                        dimension = self._collection.dimension
                        rows.append(row_of_failure(photo, dimension, str(backup)))
        rows += self._unfound
        self._collection.upsert(rows)
        repaired = {photo_key(row[PHOTO]) for row in rows}
        if self._left:
            self._collection.delete(self._left)
            repaired.add(_LEFT)
        for key in repaired:
            self._faults[key] = replace(self._faults[key], repaired=True)

    def _check(self, row: Row) -> None:
        key = row[PHOTO]
        vector = vector_of(row)
        problem = ""
        if key in self._seen:
            problem = "is there twice"
        elif checksum(row[FACTS], vector, row.get(REGIONS, "")) != row[CHECKSUM]:
            problem = "does not match its checksum; index it again, or repair it from a backup"
        elif (derived := derived_of(row[FACTS]))[PHOTO] != key:
            problem = f"holds another photo, {_name(derived[PHOTO])}"
        elif row[KIND] == ENTRY and not abs(float(np.linalg.norm(vector)) - 1) <= UNIT_TOLERANCE:
            problem = "has a vector that is not of unit length"
        if problem:
            self._damaged[key] = row[SEQUENCE]
        elif different := [name for name, value in derived.items() if row[name] != value]:
            self._outdated.append(row)
            problem = f"what filters look at ({', '.join(different)}) differs from its facts"
        self._seen.add(key)
        if problem:
            self._faults[key] = CatalogFault(_name(key), problem)

    def _check_regions(self, page: list[Row]) -> None:
        """Compare the rows of regions with the photos that they lead to."""
        expected: dict[str, Row] = {}
        for row in page:
            if row[KIND] != ENTRY or row[PHOTO] in self._damaged:
                continue
            entry = entry_of(row, self._collection.uri).entry
            own = region_rows(entry, {**row, **derived_of(row[FACTS])})
            expected |= {each[PHOTO]: each for each in own}
        found = {row[PHOTO]: row for row in self._collection.rows_of([*expected], _DERIVED)}
        self._regions |= expected.keys()
        for key, row in expected.items():
            if key not in found or not _is_same(found[key], row):
                self._unfound.append(row)
                photo = photo_key(key)
                fault = CatalogFault(_name(photo), "is not found by one of its regions")
                self._faults.setdefault(photo, fault)

    def _look_for_left(self) -> None:
        """Look for rows of regions that lead to no photo."""
        for page in self._collection.rows(REGION_ROWS, [PHOTO]):
            keys = (row[PHOTO] for row in page)
            self._left += [
                key
                for key in keys
                if key not in self._regions and photo_key(key) not in self._damaged
            ]
        if self._left:
            problem = f"{len(self._left):,} rows of regions are of no photo"
            self._faults[_LEFT] = CatalogFault("collection", problem)


def _is_same(row: Row, expected: Row) -> bool:
    return np.array_equal(vector_of(row), expected[VECTOR]) and all(
        row[name] == expected[name] for name in _DERIVED if name != VECTOR
    )


def _name(key: str) -> str:
    try:
        return f"photo {id_of(key)!r}"
    except ValueError:
        return f"row {key!r}"
