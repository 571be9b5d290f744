"""Labelled photos and what was found for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.errors import DataError
from shoplens.lookup import find_ids
from shoplens.ranking import Ranking, rank
from shoplens.reranking import NO_STEPS, Chain, Ranked
from shoplens.vectors.embeddings import Embeddings
from shoplens.vectors.selecting import rows_of

Positions = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """The best gallery photos of each labelled query."""

    queries: Embeddings
    gallery: Embeddings
    ranking: Ranking
    """With scores."""
    positions: Positions
    """(q, k) where each ranked photo stands in the gallery."""
    gallery_products: npt.NDArray[np.int64]
    """(n,) the number of each gallery photo's product."""
    query_products: npt.NDArray[np.int64]
    """(q,) likewise."""
    chain: Chain
    """What re-ranks the photos that are found."""

    @property
    def scores(self) -> Scores:
        """(q, k), -inf for what could not be compared."""
        assert self.ranking.scores is not None
        return self.ranking.scores

    @property
    def products(self) -> npt.NDArray[np.int64]:
        """(q, k) the number of each ranked photo's product."""
        return self.gallery_products[self.positions]

    def found(self, query: int, *, without_own: bool) -> tuple[Positions, Scores]:
        """Return the photos that a search finds, best first, with their scores.

        Args:
            query: the row of the query.
            without_own: whether the query's product is taken out of the gallery.

        Returns:
            (k,) where they stand in the gallery, and (k,). They are re-ranked as in a catalogue: to
            the chain, those that are found are the gallery.
        """
        known = np.isfinite(self.scores[query])
        at, scores = self.positions[query][known], self.scores[query][known]
        if without_own:
            others = self.gallery_products[at] != self.query_products[query]
            at, scores = at[others], scores[others]
        if not len(at) or not self.chain.steps:
            return at, scores
        asked = rows_of(self.queries, np.array([query]))
        gallery = rows_of(self.gallery, at)
        ranking = Ranking(asked.ids, gallery.ids[None], scores[None])
        result = self.chain.rerank(Ranked(ranking, asked, gallery))
        return at[result.positions()[0]], result.scores[0]


def search_labelled(queries: Embeddings, gallery: Embeddings, chain: Chain = NO_STEPS) -> Searched:
    """Search for labelled photos.

    Args:
        queries: users' photos, whose products are known.
        gallery: sellers' photos, whose products are known.
        chain: gallery-side re-ranking of the first 1000 photos of each search.

    Raises:
        DataError: products are not known.
        RankingError: the vectors are of different models.
    """
    numbers: dict[str, int] = {}
    gallery_products = _numbered(gallery, "gallery", numbers)
    query_products = _numbered(queries, "query", numbers)
    ranking = rank(queries, gallery)
    positions = find_ids(ranking.ids, gallery.ids)
    return Searched(queries, gallery, ranking, positions, gallery_products, query_products, chain)


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
