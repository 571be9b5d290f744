"""Labelled searches: what was found for each query, and whether it was right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.confidence.evidence import Floats, gather_evidence
from shoplens.confidence.searched import Searched
from shoplens.errors import DataError
from shoplens.records import PhotoSet

CANDIDATES = 5
"""Products of each search that are learned from."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Products that were found, a row for each, search by search."""

    features: Floats
    """(n, 5), the columns of `FEATURES`."""
    truth: Floats
    """(n,) 1 where it is the query's product."""
    search: npt.NDArray[np.int64]
    """(n,) number of the search, from 0; those without the query's product come last."""
    place: npt.NDArray[np.int64]
    """(n,) 0 for the search's first product."""
    group: npt.NDArray[np.int64]
    """(n,) number of the query's product."""
    is_open: npt.NDArray[np.bool_]
    """(n,) whether the query's product was taken out of the gallery for the search."""
    categories: tuple[str | None, ...]
    """n, as the found photo's table says."""

    def __len__(self) -> int:
        return len(self.truth)

    def where(self, rows: npt.NDArray[np.bool_]) -> Samples:
        """Return some of the rows."""
        kept = np.flatnonzero(rows)
        return Samples(
            self.features[kept],
            self.truth[kept],
            self.search[kept],
            self.place[kept],
            self.group[kept],
            self.is_open[kept],
            tuple(self.categories[row] for row in kept.tolist()),
        )


def searched_samples(searched: Searched, gallery: PhotoSet, category: str | None) -> Samples:
    """Search for labelled photos twice: in the whole gallery, and without the query's product.

    Args:
        searched: labelled photos and what was found for them.
        gallery: sellers' photos.
        category: an attribute of sellers' photos.

    Raises `DataError` if no query could be searched.
    """
    named = _categories(gallery, category)
    rows: list[_Row] = []
    n_searches = 0
    for is_open in (False, True):
        for query, own in enumerate(searched.query_products.tolist()):
            at, scores = searched.found(query, without_own=is_open)
            if not len(at):
                continue
            products = searched.gallery_products[at]
            found = gather_evidence(scores, products)
            for place, first in enumerate(found.first[:CANDIDATES].tolist()):
                rows.append(
                    _Row(
                        found.features[place],
                        float(products[first] == own),
                        n_searches,
                        place,
                        own,
                        is_open,
                        named.get(int(at[first])),
                    )
                )
            n_searches += 1
    if not rows:
        raise DataError("no query could be searched, so there is nothing to calibrate with")
    return Samples(
        np.stack([row.features for row in rows]),
        np.array([row.truth for row in rows]),
        np.array([row.search for row in rows]),
        np.array([row.place for row in rows]),
        np.array([row.group for row in rows]),
        np.array([row.is_open for row in rows]),
        tuple(row.category for row in rows),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    features: Floats
    truth: float
    search: int
    place: int
    group: int
    is_open: bool
    category: str | None


def _categories(gallery: PhotoSet, category: str | None) -> Mapping[int, str]:
    if category is None:
        return {}
    found = {}
    for row, photo in enumerate(gallery):
        if (name := category_of(photo.attributes, category)) is not None:
            found[row] = name
    return found


def category_of(attributes: Mapping[str, object], category: str) -> str | None:
    """Return the category of a photo as text; None where it has none."""
    value = attributes.get(category)
    return None if value is None or value == "" else str(value)
