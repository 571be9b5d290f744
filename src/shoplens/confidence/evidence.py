"""What speaks for each product that a search found: the numbers that a confidence is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FEATURES = ("similarity", "lead", "lag", "contrast", "agreement")
"""The columns of `Evidence.features`.

similarity
    The score of the product's best photo.
lead
    How far that is above the best photo of the next product; 0 for all but the first product.
lag
    How far it is below the best photo of the first product; 0 for the first product.
contrast
    How far it is above the mean score of the photos of other products among the first `DEPTH`.
agreement
    The share of the first `NEAR` photos that are of the product.
"""

DEPTH = 50
"""How many photos a search has to find for its confidence, if the gallery has so many."""
NEAR = 10


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The products of one row of photos, in the order of their best photos."""

    first: npt.NDArray[np.int64]
    """(p,) where each product's best photo stands in the row."""
    features: Floats
    """(p, 5), the columns of `FEATURES`."""


def gather_evidence(scores: npt.ArrayLike, products: npt.ArrayLike) -> Evidence:
    """Return what speaks for each product of a row.

    It does not depend on how many photos beyond the first `DEPTH` are given. Where all photos are
    of one product, the scores of others count as 0: as those of photos that have nothing in common
    with the query.

    Args:
        scores: (n,) similarities of the best photos, in descending order, without -inf.
        products: (n,) numbers of their products.
    """
    similarities = np.asarray(scores, dtype=np.float64)
    _, index, inverse = np.unique(np.asarray(products), return_index=True, return_inverse=True)
    order = np.argsort(index)
    first, n_products, head = index[order], len(index), min(len(similarities), DEPTH)
    best = similarities[first]
    second = _second(similarities, best, first)
    lead, lag = np.zeros(n_products), best[:1] - best
    lead[:1] = best[:1] - second
    sums = np.bincount(inverse[:head], similarities[:head], minlength=n_products)[order]
    own = np.bincount(inverse[:head], minlength=n_products)[order]
    others = (similarities[:head].sum() - sums) / np.maximum(head - own, 1)
    near = np.bincount(inverse[:NEAR], minlength=n_products)[order] / NEAR
    contrast = best - np.where(head > own, others, 0.0)
    return Evidence(
        np.asarray(first, dtype=np.int64),
        np.stack([best, lead, lag, contrast, near], axis=1),
    )


def _second(similarities: Floats, best: Floats, first: npt.NDArray[np.intp]) -> float:
    """Return the score of the second product, or of what it cannot be above."""
    if len(first) > 1 and first[1] < DEPTH:
        return float(best[1])
    if len(similarities) >= DEPTH:
        return float(similarities[DEPTH - 1])
    return float(best[:1].min(initial=0.0))
