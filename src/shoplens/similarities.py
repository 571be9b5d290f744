"""How similar vectors are: the same score for a pair on every machine, wherever the pair stands.

The rounding of a matrix product depends on the position of a pair in its block. So components are
first rounded to multiples of 2^-26. Their products are multiples of 2^-52, and sums of these up to
2 (unit vectors stay below) fit float64 without rounding, in any order. Two vectors get the same
score on every machine, however many others they are compared with, and equal vectors get equal
scores. The rounding changes a score by about 1e-8, and by 5e-7 at most.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoplens.records import Vector, Vectors
from shoplens.vectors.embeddings import Embeddings
from shoplens.vectors.regions import RegionVectors, fused

_GRID_ROWS = 128
"""Number of vectors that are put on the grid at a time, if there are no more queries: then they
stay in a core's cache."""

_GRID = 2.0**26
"""Components are rounded to multiples of 1 / _GRID, see above."""


def exact_scores(queries: Vectors, vectors: Vectors) -> npt.NDArray[np.float32]:
    """Return the similarity of each query to each vector.

    Args:
        queries: (q, d) float32 of unit length.
        vectors: (n, d) float32 of unit length; a few thousand at a time.

    Returns:
        (q, n) float32, the same for a pair wherever it stands.
    """
    return _similarities(on_grid(queries), vectors)


def photo_scores(
    query: Vector, gallery: Embeddings, rows: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    """Return the scores of a query with some photos of a gallery, as `shoplens.rank` computes them.

    Args:
        query: (d,) float32 of unit length.
        gallery: the vectors, and those of regions where there are any.
        rows: (n,) positions of photos that have a vector.
    """
    scores, _ = grid_scores(on_grid(query[None]), gallery, rows)
    return np.asarray(scores[0])


def on_grid(vectors: Vectors) -> npt.NDArray[np.float64]:
    """Return the components as whole numbers of grid steps."""
    # Scaling by a power of two and rounding to whole numbers are exact in float32.
    return np.asarray(np.rint(vectors * np.float32(_GRID)), dtype=np.float64)


def grid_scores(
    wide: npt.NDArray[np.float64], gallery: Embeddings, rows: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return the scores of queries with some photos of a gallery, and what matched best.

    Args:
        wide: (q, d) the queries, as `on_grid` gives them.
        gallery: the vectors, and those of regions where there are any.
        rows: (n,) positions of photos that have a vector.

    Returns:
        (q, n) float32, and (q, n) int32: which region matched best, -1 for the whole photo.
    """
    whole = _similarities(wide, _at(gallery.vectors, rows))
    if gallery.regions is None:
        return whole, np.broadcast_to(np.int32(-1), whole.shape)
    return _with_regions(wide, whole, gallery.regions, rows)


def _similarities(wide: npt.NDArray[np.float64], vectors: Vectors) -> npt.NDArray[np.float32]:
    """Return the similarity of each query, on the grid, to each vector."""
    scores = np.empty((len(wide), len(vectors)), dtype=np.float32)
    step = max(_GRID_ROWS, len(wide))
    for start in range(0, len(vectors), step):
        block = slice(start, start + step)
        scores[:, block] = (wide @ on_grid(vectors[block]).T) / _GRID**2
    return scores


def _at(vectors: Vectors, rows: npt.NDArray[np.intp]) -> Vectors:
    """Return the vectors at positions; where they follow each other, without a copy."""
    if len(rows) and (np.diff(rows) == 1).all():
        return vectors[rows[0] : rows[-1] + 1]
    return vectors[rows]


def _with_regions(
    wide: npt.NDArray[np.float64],
    whole: npt.NDArray[np.float32],
    regions: RegionVectors,
    rows: npt.NDArray[np.intp],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return the scores of photos with their regions, and which region matched best.

    Args:
        wide: (q, d) the queries on the grid.
        whole: (q, n) the similarities of the whole photos.
        regions: of the gallery.
        rows: (n,) positions of the photos in the gallery.
    """
    best = whole.copy()
    numbers = np.full(whole.shape, -1, dtype=np.int32)
    starts, ends = regions.starts[rows], regions.starts[rows + 1]
    for nth in range(regions.limit):
        # Not all regions at once: they would take as much memory again as the photos, each.
        [has] = np.nonzero(starts + nth < ends)
        found = starts[has] + nth
        similarities = _similarities(wide, regions.vectors[found])
        better = similarities > best[:, has]
        best[:, has] = np.where(better, similarities, best[:, has])
        numbers[:, has] = np.where(better, found, numbers[:, has])
    return fused(whole, best), numbers
