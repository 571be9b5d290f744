"""Labelled photos and what was found for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.errors import DataError
from shoplens.lookup import find_ids
from shoplens.ranking import Ranking, rank
from shoplens.vectors.embeddings import Embeddings


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """The best gallery photos of each labelled query."""

    ranking: Ranking
    """With scores."""
    positions: npt.NDArray[np.int32]
    """(q, k) where each ranked photo stands in the gallery."""
    gallery_products: npt.NDArray[np.int64]
    """(n,) the number of each gallery photo's product."""
    query_products: npt.NDArray[np.int64]
    """(q,) likewise."""

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """(q, k), -inf for what could not be compared."""
        assert self.ranking.scores is not None
        return self.ranking.scores

    @property
    def products(self) -> npt.NDArray[np.int64]:
        """(q, k) the number of each ranked photo's product."""
        return self.gallery_products[self.positions]


def search_labelled(queries: Embeddings, gallery: Embeddings) -> Searched:
    """Search for labelled photos.

    Args:
        queries: users' photos, whose products are known.
        gallery: sellers' photos, whose products are known.

    Raises:
        DataError: products are not known.
        RankingError: the vectors are of different models.
    """
    numbers: dict[str, int] = {}
    gallery_products = _numbered(gallery, "gallery", numbers)
    query_products = _numbered(queries, "query", numbers)
    ranking = rank(queries, gallery)
    return Searched(ranking, find_ids(ranking.ids, gallery.ids), gallery_products, query_products)


def _numbered(side: Embeddings, name: str, numbers: dict[str, int]) -> npt.NDArray[np.int64]:
    """Return the number of each photo's product; new ones are added to `numbers`."""
    products = [photo.product_id for photo in side.photos or () if photo.product_id is not None]
    if len(products) < len(side):
        raise DataError(
            f"{len(side) - len(products):,} of {len(side):,} {name} photos have no product_id. "
            "Calibrating needs the product of every photo in both tables. If the column has "
            "another name, give it with --column or columns=."
        )
    return np.array([numbers.setdefault(one, len(numbers)) for one in products], dtype=np.int64)
