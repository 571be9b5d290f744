"""Checking everything that a catalogue on a Milvus server holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from shoplens.catalog.checks import UNIT_TOLERANCE
from shoplens.catalog.entry import Entry
from shoplens.catalog.milvus.collection import Collection
from shoplens.catalog.milvus.expressions import PHOTOS
from shoplens.catalog.milvus.rows import (
    Row,
    checksum,
    derived_of,
    id_of,
    key_of,
    row_of,
    row_of_failure,
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
    SEQUENCE,
    VECTOR,
)
from shoplens.catalog.parquet_reading import ParquetPhotos
from shoplens.catalog.verification import CatalogFault, Verification
from shoplens.progress import Progress

_FIELDS = [PHOTO, KIND, SEQUENCE, VECTOR, PRODUCT, CATEGORY, ATTRIBUTES, FACTS, CHECKSUM]


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
        n_expected = collection.count(PHOTOS)
        for page in collection.rows(PHOTOS, _FIELDS):
            for row in page:
                self._check(row)
            progress("verify", len(self._seen), n_expected)
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
                        rows.append(row_of(photo, self._damaged[key], str(backup)))
                    else:
                        dimension = self._collection.dimension
                        rows.append(row_of_failure(photo, dimension, str(backup)))
        self._collection.upsert(rows)
        for row in rows:
            self._faults[row[PHOTO]] = replace(self._faults[row[PHOTO]], repaired=True)

    def _check(self, row: Row) -> None:
        key = row[PHOTO]
        vector = vector_of(row)
        problem = ""
        if key in self._seen:
            problem = "is there twice"
        elif checksum(row[FACTS], vector) != row[CHECKSUM]:
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


def _name(key: str) -> str:
    try:
        return f"photo {id_of(key)!r}"
    except ValueError:
        return f"row {key!r}"
