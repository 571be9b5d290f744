"""Database-side augmentation: each gallery vector becomes the mean of it and its like."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from shoplens.progress import Progress, silent
from shoplens.records import Vectors
from shoplens.reranking.neighbours import nearest
from shoplens.reranking.products import product_numbers
from shoplens.reranking.reranker import Cost, Ranked, Reranker, parameter, unit_rows
from shoplens.vectors.embeddings import Embeddings

_PAPER = "Arandjelović and Zisserman, Three Things Everyone Should Know, CVPR 2012"
_STEP = 1000
"""Photos between two reports of progress."""
_SECONDS_PER_NUMBER = 3e-9
"""To add one number of a neighbour's vector to the mean."""


@dataclass(frozen=True, slots=True)
class ProductAugmentation(Reranker):
    """Augmentation inside products: a photo is averaged with others of its own product.

    It needs the product of each gallery photo; photos without one stay as they are. A challenge's
    gallery has no products.
    """

    name = "product-dba"
    about = "averages each gallery vector with those of its product's other photos"
    paper = _PAPER

    k: int = parameter(10, 1, 1000, "photos that are averaged with it, at most: the most similar")
    weight: float = parameter(1, 0, 100, "what each of them weighs, beside 1 for the photo")
    alpha: float = parameter(0, 0, 100, "and the power of their similarity that they weigh")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Average inside products, and rank again."""
        groups = _groups(ranked.gallery, self.name)
        vectors = ranked.gallery.vectors.copy()
        for number, rows in enumerate(groups, start=1):
            vectors[rows] = self._averaged(ranked.gallery.vectors[rows])
            if number % _STEP == 0 or number == len(groups):
                progress("augment", number, len(groups))
        gallery = replace(ranked.gallery, vectors=vectors)
        return ranked.compared_again(gallery=gallery, progress=progress)

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of another ranking; the means take little beside it."""
        return Cost(
            ranked.seconds_for(len(ranked.queries) * len(ranked.gallery)),
            ranked.gallery.vectors.nbytes / 1e6,
        )

    def _averaged(self, vectors: Vectors) -> Vectors:
        """Return the means of one product's photos."""
        wide = vectors.astype(np.float64)
        similarity = np.clip(wide @ wide.T, 0, 1)
        np.fill_diagonal(similarity, -1)
        weights = np.zeros_like(similarity)
        near = np.argsort(-similarity, axis=1, kind="stable")[:, : min(self.k, len(wide) - 1)]
        values = np.take_along_axis(similarity, near, axis=1)
        np.put_along_axis(weights, near, self.weight * values**self.alpha, axis=1)
        return unit_rows(wide + weights @ wide, vectors)


@dataclass(frozen=True, slots=True)
class NeighbourAugmentation(Reranker):
    """Augmentation by neighbours: a photo is averaged with the most similar of the gallery.

    It needs no products, and cannot tell those of another product from its own.
    """

    name = "dba"
    about = "averages each gallery vector with the most similar of the gallery"
    paper = _PAPER

    k: int = parameter(2, 1, 1000, "photos that are averaged with it")
    alpha: float = parameter(6, 0, 100, "power of their similarity that they weigh; the photo: 1")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Average with neighbours, and rank again."""
        rows = np.flatnonzero(ranked.gallery.has_vector)
        present = np.ascontiguousarray(ranked.gallery.vectors[rows])
        # The photo itself is among its neighbours: it weighs 1, as its similarity is 1.
        found = nearest(present, present, self.k + 1, own=True, progress=progress)
        weights = np.clip(found.similarity, 0, 1) ** self.alpha
        weights[:, 0] = 1
        total = np.zeros(present.shape, dtype=np.float64)
        for place in range(weights.shape[1]):
            total += weights[:, place, None] * present[found.positions[:, place]]
        vectors = ranked.gallery.vectors.copy()
        vectors[rows] = unit_rows(total, present)
        gallery = replace(ranked.gallery, vectors=vectors)
        return ranked.compared_again(gallery=gallery, progress=progress)

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of ranking for the gallery itself and the queries, and of the means."""
        n = len(ranked.gallery)
        n_added = (min(self.k, n) + 1) * ranked.gallery.vectors.size
        return Cost(
            ranked.seconds_for(n * (n + len(ranked.queries))) + n_added * _SECONDS_PER_NUMBER,
            3 * ranked.gallery.vectors.nbytes / 1e6,
        )


def _groups(gallery: Embeddings, method: str) -> list[npt.NDArray[np.intp]]:
    """Return the rows of each product that has several photos with vectors."""
    rows = np.flatnonzero(gallery.has_vector)
    numbers = product_numbers(gallery, method)[rows]
    order = np.argsort(numbers, kind="stable")
    ends = np.flatnonzero(np.diff(numbers[order])) + 1
    return [group for group in np.split(rows[order], ends) if len(group) > 1]
