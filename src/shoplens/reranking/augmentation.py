"""Database-side augmentation: each gallery vector becomes the mean of it and its like."""

from __future__ import annotations

from collections.abc import Iterator
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
_BLOCK_BYTES = 2**20
"""Size of the vectors in float64 that are averaged at a time: they stay in a core's cache."""
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
    needs_products = True

    k: int = parameter(10, 1, 1000, "photos that are averaged with it, at most: the most similar")
    weight: float = parameter(1, 0, 100, "what each of them weighs, beside 1 for the photo")
    alpha: float = parameter(0, 0, 100, "and the power of their similarity that they weigh")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Average inside products, and rank again."""
        numbers = product_numbers(ranked.gallery, self.name)
        vectors = ranked.gallery.vectors.copy()
        groups = _groups(ranked.gallery, numbers)
        done, n_photos = 0, sum(rows.size for rows in groups)
        for rows in groups:
            for block in _blocks(rows, vectors.shape[1]):
                vectors[block] = self._averaged(ranked.gallery.vectors[block])
                done += block.size
                progress("augment", done, n_photos)
        gallery = replace(ranked.gallery, vectors=vectors)
        return ranked.compared_again(gallery=gallery, progress=progress)

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of another ranking; the means take little beside it."""
        return Cost(
            ranked.seconds_for(len(ranked.queries) * len(ranked.gallery)),
            ranked.gallery.vectors.nbytes / 1e6,
        )

    def _averaged(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the means (g, s, d) of the s photos of each of g products (g, s, d)."""
        _, size, dimension = vectors.shape
        wide = vectors.astype(np.float64)
        similarity = np.clip(wide @ wide.transpose(0, 2, 1), 0, 1)
        similarity[:, np.arange(size), np.arange(size)] = -1
        weights = np.zeros_like(similarity)
        near = np.argsort(-similarity, axis=2, kind="stable")[:, :, : min(self.k, size - 1)]
        values = np.take_along_axis(similarity, near, axis=2)
        np.put_along_axis(weights, near, self.weight * values**self.alpha, axis=2)
        wide += weights @ wide
        means = unit_rows(wide.reshape(-1, dimension), vectors.reshape(-1, dimension))
        return means.reshape(vectors.shape)


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
        present = ranked.gallery.vectors
        if len(rows) < len(present):
            present = present[rows]
        # The photo itself is among its neighbours: it weighs 1, as its similarity is 1.
        found = nearest(present, present, self.k + 1, own=True, progress=progress)
        weights = np.clip(found.similarity, 0, 1) ** self.alpha
        weights[:, :1] = 1
        vectors = ranked.gallery.vectors.copy()
        step = max(1, _BLOCK_BYTES // (8 * vectors.shape[1]))
        for start in range(0, len(rows), step):
            block = slice(start, start + step)
            vectors[rows[block]] = _means(present, found.positions[block], weights[block])
        gallery = replace(ranked.gallery, vectors=vectors)
        return ranked.compared_again(gallery=gallery, progress=progress)

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of ranking for the gallery itself and the queries, and of the means."""
        n = len(ranked.gallery)
        n_added = (min(self.k, n) + 1) * ranked.gallery.vectors.size
        return Cost(
            ranked.seconds_for(n * (n + len(ranked.queries))) + n_added * _SECONDS_PER_NUMBER,
            ranked.gallery.vectors.nbytes / 1e6 + 64,
        )


def _means(
    vectors: Vectors, positions: npt.NDArray[np.int32], weights: npt.NDArray[np.float32]
) -> Vectors:
    """Return weighted means (b, d) of vectors at some positions (b, k), first the photo's own."""
    total = np.zeros((len(positions), vectors.shape[1]), dtype=np.float64)
    for place in range(positions.shape[1]):
        total += weights[:, place, None] * vectors[positions[:, place]]
    return unit_rows(total, vectors[positions[:, 0]])


def _groups(gallery: Embeddings, numbers: npt.NDArray[np.int32]) -> list[npt.NDArray[np.intp]]:
    """Return the rows (g, s) of the g products that have s photos with vectors, for each s > 1.

    Args:
        gallery: n photos.
        numbers: (n,) their products.
    """
    rows = np.flatnonzero(gallery.has_vector)
    rows = rows[np.argsort(numbers[rows], kind="stable")]
    firsts = np.flatnonzero(np.diff(numbers[rows], prepend=-1))
    sizes = np.diff(firsts, append=len(rows))
    return [
        rows[firsts[sizes == size][:, None] + np.arange(size)]
        for size in np.unique(sizes).tolist()
        if size > 1
    ]


def _blocks(rows: npt.NDArray[np.intp], dimension: int) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the rows (g, s) of a few products at a time."""
    step = max(1, _BLOCK_BYTES // (8 * dimension * rows.shape[1]))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
