"""What is written to a collection: entries, with the rows of their regions, and failures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from shoplens.catalog.engine import Upserted
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId
from shoplens.catalog.milvus.collection import Collection
from shoplens.catalog.milvus.region_rows import region_keys
from shoplens.catalog.milvus.rows import Placed, Row, entry_of, key_of, row_of_failure, rows_of
from shoplens.catalog.milvus.schema import ENTRY, KIND, PHOTO, REGION
from shoplens.errors import CatalogError


def put_entries(collection: Collection, entries: Sequence[Entry], first: int) -> Upserted:
    """Put entries in, or in the place of others; those that are there already stay.

    Args:
        collection: where.
        entries: of different photos.
        first: the number of the first in the order of all entries; the others follow.

    Raises `CatalogError`; its message says how many photos the server has acknowledged.
    """
    keys = [key_of(entry.photo_id) for entry in entries]
    old = {
        row[PHOTO]: row
        for row in collection.rows_of(keys, [*collection.entry_fields, KIND])
        if row[KIND] == ENTRY
    }
    rows: list[Row] = []
    left: list[str] = []
    n_changed = n_same = 0
    for number, (key, entry) in enumerate(zip(keys, entries, strict=True), start=first):
        known = _sound(old[key], collection.uri) if key in old else None
        if known is None or known.entry != entry:
            n_changed += key in old
            rows += rows_of(entry, number, collection.uri)
            if key in old and collection.has_regions:
                left += region_keys(key)[len(entry.vectors) - 1 :]
            continue
        n_same += 1
        if known.entry.stamp != entry.stamp:
            rows += rows_of(entry, known.sequence, collection.uri)
    _put(collection, rows)
    if left:
        collection.delete(left)
    return Upserted(len(entries) - n_changed - n_same, n_changed, n_same)


def put_failures(collection: Collection, failed: Iterable[FailedPhoto]) -> None:
    """Put records of failure in the place of what is known of these photos.

    Raises `CatalogError` as `put_entries`.
    """
    rows = [row_of_failure(one, collection.dimension, collection.uri) for one in failed]
    _put(collection, rows)
    if collection.has_regions:
        collection.delete([key for row in rows for key in region_keys(row[PHOTO])])


def remove(collection: Collection, photo_ids: Sequence[PhotoId]) -> int:
    """Remove photos, and records of failure; return how many entries there were."""
    keys = [key_of(photo_id) for photo_id in photo_ids]
    found = list(collection.rows_of(keys, [PHOTO, KIND]))
    if found:
        gone = [row[PHOTO] for row in found]
        if collection.has_regions:
            # A photo without its regions is found less well; the other way round, they would stay
            # for good if this is interrupted.
            gone = [*chain.from_iterable(map(region_keys, gone)), *gone]
        collection.delete(gone)
    return sum(row[KIND] == ENTRY for row in found)


def _put(collection: Collection, rows: Sequence[Row]) -> None:
    acknowledged = 0

    def note(n_rows: int) -> None:
        nonlocal acknowledged
        acknowledged = n_rows

    try:
        collection.upsert(rows, progress=note)
    except CatalogError as error:
        raise CatalogError(
            f"{error} ({_n_photos(rows[:acknowledged]):,} of {_n_photos(rows):,} photos were "
            "acknowledged)"
        ) from error


def _n_photos(rows: Sequence[Row]) -> int:
    return sum(row[KIND] != REGION for row in rows)


def _sound(row: Row, uri: str) -> Placed | None:
    """Return the entry of a row; None if it is damaged, so that it is replaced."""
    try:
        return entry_of(row, uri)
    except CatalogError:
        return None
