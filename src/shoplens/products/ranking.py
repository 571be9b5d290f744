"""A ranking of photos to one that is ordered by product."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from shoplens.errors import DataError, RankingError
from shoplens.lookup import find_ids
from shoplens.products.scores import ProductScore
from shoplens.ranking import Ranking
from shoplens.records import PhotoSet


def rank_products(ranking: Ranking, gallery: PhotoSet, score: ProductScore) -> Ranking:
    """Order each row by product: all photos of the best product first.

    Each photo gets its product's score. Photos of one product are in their order; so are products
    of one score, by their best photos. Photos that could not be compared stay at the end, and
    photos of no product stand for themselves. It uses the products of gallery photos, never those
    of queries, and each query by itself.

    Args:
        ranking: with scores.
        gallery: the photos that it ranks. The photos of a product that are not in the row do not
            count.
        score: how the scores of photos become that of their product.

    Returns:
        The same ids in another order.

    Raises:
        RankingError: the ranking has no scores, or ranks other photos.
    """
    if ranking.scores is None:
        raise RankingError(
            "a ranking without scores cannot be ordered by product: save it as .npz, which has them"
        )
    positions = find_ids(ranking.ids, gallery.ids)
    if ranking.blank is not None or (positions < 0).any():
        raise RankingError("the ranking has ids that belong to no gallery photo")
    codes = product_codes(gallery)
    ids, scores = ranking.ids.copy(), ranking.scores.copy()
    for row in range(len(ranking)):
        known = np.isfinite(ranking.scores[row])
        n = int(known.sum())
        order, by_product = _ordered(codes[positions[row, :n]], ranking.scores[row, :n], score)
        ids[row, :n] = ranking.ids[row, :n][order]
        scores[row, :n] = by_product
    return replace(ranking, ids=ids, scores=scores, chain=(*ranking.chain, f"products:{score}"))


def require_products(gallery: PhotoSet) -> None:
    """Check that photos can be ordered by product, before they are embedded.

    Raises `DataError` if no product is known.
    """
    if all(product is None for product in gallery.product_ids):
        raise DataError(
            "no gallery photo has a product_id, so nothing can be ordered by product. If the "
            "column has another name, give it with --column or columns=."
        )


def product_codes(gallery: PhotoSet) -> npt.NDArray[np.int64]:
    """Return (n,) the number of each photo's product; a photo without one has its own."""
    numbers: dict[tuple[str, int | str], int] = {}
    keys: list[tuple[str, int | str]] = [
        ("photo", photo.id) if photo.product_id is None else ("product", photo.product_id)
        for photo in gallery
    ]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _ordered(
    codes: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], score: ProductScore
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Return the new order of photos, best first, and the scores of their products."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    by_product = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[by_product], np.arange(len(first) + 1))
    own = np.array(
        [
            score.of(scores[by_product[start:end]].tolist())
            for start, end in itertools.pairwise(bounds)
        ],
        dtype=np.float32,
    )
    # By score, then by the product's best photo, then by place.
    order = np.lexsort((np.arange(len(codes)), first[inverse], -own[inverse]))
    return order, own[inverse][order]
