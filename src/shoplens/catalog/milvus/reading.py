"""What is read of a collection: its entries, by their keys, in their order, and what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from shoplens.attributes import Value
from shoplens.catalog.filters import Filter
from shoplens.catalog.milvus.collection import Collection
from shoplens.catalog.milvus.expressions import between, passing
from shoplens.catalog.milvus.rows import Placed, attributes_of, entry_of, key_of
from shoplens.catalog.milvus.schema import ENTRY, FACTS, KIND, PHOTO, SEQUENCE


def placed(collection: Collection, keys: Sequence[str]) -> dict[str, Placed]:
    """Return the entries with these primary keys, as far as they are there.

    Raises `CatalogError` if one is damaged.
    """
    return {
        row[PHOTO]: entry_of(row, collection.uri)
        for row in collection.rows_of(keys, [*collection.entry_fields, KIND])
        if row[KIND] == ENTRY
    }


def keys_in_order(collection: Collection, *expressions: str) -> list[str]:
    """Return the primary keys of entries that fulfil an expression, the earliest first."""
    found = {
        row[PHOTO]: row[SEQUENCE]
        for one in expressions
        for page in collection.rows(one, [PHOTO, SEQUENCE])
        for row in page
    }
    return sorted(found, key=found.__getitem__)


def facts(
    collection: Collection, where: Filter | None
) -> Iterator[tuple[str | None, dict[str, Value]]]:
    """Yield the product and the attributes of each entry that passes a filter, in any order."""
    for page in collection.rows(passing(where), [PHOTO, FACTS]):
        yield from map(attributes_of, page)


def first_placed(
    collection: Collection, where: Filter | None, limit: int, after: int
) -> list[Placed]:
    """Return the first entries that pass a filter and were put in after a place, in their order.

    There are `limit`, and a few more where several were put in at the last place.
    """
    # A server does not sort. To count is quick, so the last place is found by halving.
    below, last = after, 2**63 - 1
    if collection.count(between(where, after, last)) > limit:
        while last - below > 1:
            middle = (below + last) // 2
            if collection.count(between(where, after, middle)) >= limit:
                last = middle
            else:
                below = middle
    rows = chain.from_iterable(
        collection.rows(between(where, after, last), collection.entry_fields)
    )
    found = [entry_of(row, collection.uri) for row in rows]
    found.sort(key=lambda one: (one.sequence, key_of(one.entry.photo_id)))
    return found
