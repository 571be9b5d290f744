"""The sets of k-reciprocal neighbours, and their encoding as sparse vectors.

Zhong, Zheng, Cao and Li, Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.
Names are those of the paper:

- N(x, k): the k nearest others of x, and x itself.
- R(x, k): those of N(x, k) whose N(., k) holds x.
- R*(x, k): R(x, k), and for each q in it R(q, k/2), if two thirds of that are in R(x, k).
- V(x): exp(-d(x, g)) for each g in R*(x, k1), 0 elsewhere; d is the cosine distance. Then the mean
  over N(x, k2) of these.

In the paper, neighbours are others. The authors' program takes x besides, in addition to k1 and to
k1/2 others (rounded half to even), as is done here. But among its k2, x is counted, so that one
neighbour less is averaged. Here all three count others. Copies of the program that ask an index for
k1 neighbours get x and k1 - 1 others; `nearest` is asked for one more.

The program also scales d by the largest distance of each row, and each V to a sum of 1. The paper
does neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.progress import Progress, silent
from shoplens.records import Vectors
from shoplens.reranking.neighbours import Neighbours, nearest

_ROWS = 1000
"""Vectors whose sets are computed at a time."""
_PAIRS = 2_000
"""Pairs of vectors whose similarity is computed at a time: they stay in a core's cache."""

Positions = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Encodings:
    """Sparse vectors, one after the other, each with its columns in ascending order."""

    starts: npt.NDArray[np.int64]
    """(n + 1,) where each begins."""
    columns: npt.NDArray[np.int32]
    """(m,) positions of neighbours."""
    values: npt.NDArray[np.float32]
    """(m,) above 0."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def sums(self) -> npt.NDArray[np.float64]:
        """Return (n,) the sum of each vector's values."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.starts))
        return np.bincount(rows, self.values, minlength=len(self)).astype(np.float64)


class ReciprocalSets:
    """The neighbours of many vectors, with which of them are mutual.

    Args:
        vectors: (n, d) float32 of unit length.
        k1: neighbours that are considered.
        k2: neighbours that encodings are averaged over.
        progress: told how far it is.
    """

    def __init__(self, vectors: Vectors, k1: int, k2: int, progress: Progress = silent) -> None:
        self._vectors = vectors
        self._progress = progress
        self.k1, self.k2, self.half = k1, k2, round(k1 / 2)
        self.near: Neighbours = nearest(
            vectors, vectors, max(k1, k2) + 1, own=True, progress=progress
        )
        self._mutual = self._mutually(k1)
        self._mutual_half = self._mutually(self.half)

    def _mutually(self, k: int) -> npt.NDArray[np.bool_]:
        """Return for each vector which of its N(., k) are in its R(., k)."""
        near = self.near.positions[:, : k + 1]
        mutual = np.empty(near.shape, dtype=np.bool_)
        for start in range(0, len(near), _ROWS):
            block = near[start : start + _ROWS]
            rows = np.arange(start, start + len(block))
            mutual[start : start + _ROWS] = (near[block] == rows[:, None, None]).any(axis=2)
        return mutual

    def expanded(
        self, near: Positions, mutual: npt.NDArray[np.bool_]
    ) -> tuple[Positions, Positions]:
        """Return R* of some vectors.

        Args:
            near: (b, k) their N(., k1), as positions here.
            mutual: (b, k) which of these are in R(., k1).

        Returns:
            (m,) the number of the vector, ascending, and (m,) the members, ascending for each.
        """
        kept = np.where(mutual, near, -1)
        others = self.near.positions[near, : self.half + 1]
        others_mutual = self._mutual_half[near]
        shared = np.zeros(others.shape, dtype=np.bool_)
        for place in range(kept.shape[1]):
            shared |= others == kept[:, None, place, None]
        n_shared = (shared & others_mutual).sum(axis=2)
        taken = mutual & (3 * n_shared >= 2 * others_mutual.sum(axis=2))
        more = others_mutual & taken[:, :, None]
        rows, places = np.nonzero(mutual)
        more_rows, more_places, more_inner = np.nonzero(more)
        keys = np.concatenate(
            (
                rows * np.int64(len(self._vectors)) + near[rows, places],
                more_rows * np.int64(len(self._vectors))
                + others[more_rows, more_places, more_inner],
            )
        )
        members = np.unique(keys)
        found = np.divmod(members, max(1, len(self._vectors)))
        return found[0].astype(np.int32), found[1].astype(np.int32)

    def weights(self) -> Encodings:
        """Return V before it is averaged."""
        n = len(self._vectors)
        near = self.near.positions[:, : self.k1 + 1]
        parts = _Parts(n)
        for start in range(0, n, _ROWS):
            block = slice(start, start + _ROWS)
            rows, columns = self.expanded(near[block], self._mutual[block])
            parts.add(rows, columns, np.exp(self._similarity(rows + start, columns) - 1))
            self._progress("encode", min(start + _ROWS, n), n)
        return parts.together()

    def _similarity(self, rows: Positions, columns: Positions) -> npt.NDArray[np.float32]:
        """Return the similarity of pairs of vectors (m,)."""
        similarity = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _PAIRS):
            pairs = slice(start, start + _PAIRS)
            similarity[pairs] = np.einsum(
                "pd,pd->p", self._vectors[rows[pairs]], self._vectors[columns[pairs]]
            )
        return similarity


def averaged(weights: Encodings, near: Positions) -> Encodings:
    """Return for each row of `near` (b, k) the mean of the encodings at these positions.

    With the encodings before they are averaged, and the k2 nearest others after each vector itself,
    this is V.
    """
    n_columns = int(weights.columns.max(initial=0)) + 1
    parts = _Parts(len(near))
    for start in range(0, len(near), _ROWS):
        block = near[start : start + _ROWS]
        entries, owners = entries_of(weights, block.ravel())
        rows = owners // max(1, block.shape[1])
        keys = rows * np.int64(n_columns) + weights.columns[entries]
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        firsts = np.flatnonzero(np.diff(keys, prepend=-1))
        sums = np.add.reduceat(weights.values[entries][order], firsts) if len(firsts) else keys[:0]
        row, column = np.divmod(keys[firsts], n_columns)
        parts.add(row, column.astype(np.int32), (sums / block.shape[1]).astype(np.float32))
    return parts.together()


class _Parts:
    """Encodings of n vectors that are made one block of `_ROWS` vectors after the other."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._counts: list[npt.NDArray[np.int64]] = []
        self._columns = [np.empty(0, np.int32)]
        self._values = [np.empty(0, np.float32)]

    def add(
        self,
        rows: npt.NDArray[np.integer],
        columns: Positions,
        values: npt.NDArray[np.float32],
    ) -> None:
        """Add the entries of the next block: for each the vector, counted from the block's first,
        in rising order, its column and its value."""
        size = min(_ROWS, self._n - _ROWS * len(self._counts))
        self._counts.append(np.bincount(rows, minlength=size))
        self._columns.append(columns)
        self._values.append(values)

    def together(self) -> Encodings:
        """Return all of them."""
        starts = np.cumsum(np.concatenate((np.zeros(1, np.int64), *self._counts)))
        return Encodings(starts, np.concatenate(self._columns), np.concatenate(self._values))


def entries_of(
    encodings: Encodings, positions: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where the entries of the encodings at some positions are, one after the other.

    Returns:
        (m,) indices of `columns` and `values`, and (m,) the number of the position they belong to.
    """
    starts = encodings.starts[positions]
    lengths = encodings.starts[positions.astype(np.int64) + 1] - starts
    owners = np.repeat(np.arange(len(positions)), lengths)
    firsts = np.cumsum(lengths) - lengths
    return np.arange(len(owners)) - firsts[owners] + starts[owners], owners
