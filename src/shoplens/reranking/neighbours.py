"""The nearest neighbours of many vectors, in blocks: never a whole matrix of similarities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.progress import Progress, silent
from shoplens.records import Vectors

_BLOCK_BYTES = 16 * 2**20
"""Size of the block of similarities in memory at a time."""
_GROUP = 64
"""Similarities that are looked at together to find a bound for the k best, at most."""
_GROUPS = 64
"""How many groups there are at least, if vectors suffice; and four for each of the k."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest vectors of each vector, most similar first."""

    positions: npt.NDArray[np.int32]
    """(n, k) int32, among the vectors that were searched."""
    similarity: npt.NDArray[np.float32]
    """(n, k) float32, cosines."""


def nearest(
    vectors: Vectors, among: Vectors, k: int, *, own: bool = False, progress: Progress = silent
) -> Neighbours:
    """Find the `k` most similar vectors of each.

    Unlike `rank` this computes in float32: it is quicker, and scores may differ in the last bit
    with the number of vectors.

    Args:
        vectors: (n, d) float32 of unit length.
        among: (m, d) float32 of unit length.
        k: how many; fewer if `among` has fewer.
        own: `among` are the same vectors, and each comes first among its own neighbours, even if
            another is equal to it.
        progress: told how many of the n are done.

    Returns:
        `Neighbours`; equal similarities are in order of position.
    """
    n, m = len(vectors), len(among)
    k = min(k, m)
    positions = np.empty((n, k), dtype=np.int32)
    similarity = np.empty((n, k), dtype=np.float32)
    step = max(1, _BLOCK_BYTES // (4 * max(1, m)))
    for start in range(0, n, step):
        block = vectors[start : start + step] @ among.T
        rows = np.arange(len(block))
        if own:
            block[rows, start + rows] = np.inf
        positions[start : start + step], similarity[start : start + step] = _best(block, k)
        progress("neighbours", start + len(block), n)
    if own and k:
        similarity[:, 0] = 1
    return Neighbours(positions, similarity)


def _best(
    block: npt.NDArray[np.float32], k: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the columns of the k highest values of each row, and the values, highest first."""
    n_rows, m = block.shape
    size = min(_GROUP, m // max(_GROUPS, 4 * k))
    if size < 2 or not k:
        order = np.argsort(-block, axis=1, kind="stable")[:, :k]
        return order.astype(np.int32), np.take_along_axis(block, order, axis=1)
    # The k-th highest of the groups' maxima is reached by k values at least. Few are above it, so
    # only these are sorted.
    n_groups = m // size
    maxima = block[:, : n_groups * size].reshape(n_rows, size, n_groups).max(axis=1)
    bound = np.partition(maxima, n_groups - k, axis=1)[:, n_groups - k, None]
    rows, columns = np.divmod(np.flatnonzero(block >= bound), m)
    counts = np.bincount(rows, minlength=n_rows)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    values = np.full((n_rows, int(counts.max(initial=0))), -np.inf, dtype=np.float32)
    positions = np.zeros(values.shape, dtype=np.int32)
    values[rows, places], positions[rows, places] = block[rows, columns], columns
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(positions, order, axis=1), np.take_along_axis(values, order, axis=1)
