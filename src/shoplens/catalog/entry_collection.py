"""The entries of a catalogue: put in, removed, read and counted, in every engine alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shoplens.attributes import Value
from shoplens.catalog.checks import checked_entry, checked_id, listed
from shoplens.catalog.engine import Engine, Upserted
from shoplens.catalog.entry import Entry, PhotoId
from shoplens.catalog.filters import Filter, parse_filter
from shoplens.errors import CatalogError, ModelError


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the entries that pass a filter, in the order in which they were put in."""

    entries: tuple[Entry, ...]
    next: int | None
    """Where the next page begins, for `Catalog.page`; None if there is none."""


class EntryCollection(Engine):
    """What every engine does with entries."""

    def upsert(self, entries: Iterable[Entry]) -> Upserted:
        """Put in entries; a photo that is here already is replaced.

        When this returns, the entries are on disk and the next search finds them. All are put in,
        or none: give thousands at a time, not millions.

        Args:
            entries: with vectors of unit length. If several have one photo id, the last counts.

        Raises:
            ModelError: the vectors do not have the catalogue's dimension, or it has no model yet
                (see `set_model`).
            EntryError: an entry is faulty.
            CatalogError: the catalogue cannot be written.
        """
        self._require_writable()
        model = self.model
        if model is None:
            raise ModelError(f"{self.uri} has no model yet: state it with set_model first")
        unique = {}
        for entry in entries:
            checked = checked_entry(entry, model, self.uri)
            unique[checked.photo_id] = checked
        return self._write(list(unique.values())) if unique else Upserted()

    def delete(
        self,
        photo_ids: Iterable[int | str] | None = None,
        *,
        product_ids: Iterable[str] | None = None,
        where: str | None = None,
    ) -> int:
        """Remove photos: those with given ids, of given products, or that pass a filter.

        Args:
            photo_ids: the ids of photos.
            product_ids: the ids of products, of which all photos are removed, and their records of
                failure.
            where: a filter (see `search`).

        Returns:
            How many photos were removed. Ids that are not here are passed over.

        Raises:
            FilterError: `where` is not a filter.
            CatalogError: not exactly one of the three was given, the filter is empty, or the
                catalogue cannot be written.
        """
        self._require_writable()
        if sum(given is not None for given in (photo_ids, product_ids, where)) != 1:
            raise CatalogError("give photo ids, product ids or a filter: one of them")
        if photo_ids is not None:
            wanted = [checked_id(photo_id) for photo_id in listed("photo_ids", photo_ids)]
        elif product_ids is not None:
            products = set(listed("product_ids", product_ids))
            wanted = self._ids(None, list(products))
            wanted += [one.photo_id for one in self.failures() if one.product_id in products]
        else:
            filtered = self._filter(where)
            if filtered is None:
                raise CatalogError("an empty filter would remove every photo: say which to remove")
            wanted = self._ids(filtered, None)
        return self._delete(list(dict.fromkeys(wanted))) if wanted else 0

    def get(self, photo_id: int | str) -> Entry | None:
        """Return the entry of a photo, or None if there is none.

        Raises `CatalogError` if the stored entry is damaged.
        """
        return self.get_many([checked_id(photo_id)])[0]

    def count(self, where: str | None = None) -> int:
        """Return how many photos there are, or how many pass a filter (see `search`)."""
        return self._count(self._filter(where))

    def ids(self, where: str | None = None) -> list[PhotoId]:
        """Return the ids of all photos, or of those that pass a filter (see `search`)."""
        return self._ids(self._filter(where), None)

    def page(self, where: str | None = None, *, limit: int = 50, after: int = 0) -> Page:
        """Return entries that pass a filter, some at a time; the rest is not read.

        Changes between two pages shift nothing: what stays as it is comes once, and what is changed
        or put in comes at the end.

        Args:
            where: a filter (see `search`); None for all entries.
            limit: how many entries to return.
            after: the `next` of the page before; 0 for the first page.

        Raises:
            FilterError: `where` is not a filter.
            CatalogError: `limit` or `after` cannot be used, or a stored entry is damaged.
        """
        if limit < 1 or not 0 <= after < 2**63:
            raise CatalogError(f"there is no page of {limit} entries after {after}")
        found = self._page(self._filter(where), limit + 1, after)
        if len(found) <= limit:
            return Page(tuple(entry for _, entry in found), None)
        last = found[limit - 1][0]
        return Page(tuple(entry for place, entry in found if place <= last), last)

    def facets(self, *names: str, where: str | None = None) -> dict[str, dict[Value, int]]:
        """Count how many photos that pass a filter have which value of an attribute.

        Returns:
            For each name, counts by value, the largest first. None counts photos without a value.
        """
        return self._ordered_facets(names, self._filter(where))

    def _ordered_facets(
        self, names: Sequence[str], where: Filter | None
    ) -> dict[str, dict[Value, int]]:
        return {
            name: dict(sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))))
            for name, counts in self._facets(names, where).items()
        }

    def _filter(self, where: str | None) -> Filter | None:
        return None if where is None or not where.strip() else parse_filter(where)
