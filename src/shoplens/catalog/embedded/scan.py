"""The exact search: which rows of float16 matrices can be among the k nearest.

A scan compares every row with the query, at the speed of memory. Its scores are only approximate:
rows and query are rounded to float16, and sums are rounded in float32. How far they can be from the
exact score is known (`_slack`). So a row is a candidate if it could be among the k best, and the
caller computes the exact scores of the candidates, a few more than k.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from threading import Lock

import numpy as np
import numpy.typing as npt

from shoplens.catalog.embedded.vector_places import vector_places
from shoplens.cores import usable_cores
from shoplens.records import Vector, Vectors
from shoplens.vectors.regions import fused

try:
    import simsimd
except ImportError:  # No wheel for this platform: NumPy does the same more slowly.
    _SIMD = False
else:
    _SIMD = True
    # These kernels add up in float16, which would lose three digits.
    simsimd.disable_capability("sapphire")
    simsimd.disable_capability("sve_f16")

LONGEST = 1.001
"""The greatest length of a row or a query."""

_CHUNK = 16_384
"""Rows that are compared at a time."""
_SPARSE = 0.07
"""Where a smaller part of a block or a chunk is allowed, its rows are picked out; else all are
compared."""
_PICKED = 4096
"""Rows picked out of a block that are compared at a time."""
_HELPER_BYTES = 2**24
"""For less, another thread is not worth waiting for: it may get no core, or not the interpreter."""
_MOST_THREADS = 8
"""More do not read memory any faster."""
_FEW_QUERIES = 20
"""So many queries are faster one by one: NumPy takes long to widen the rows."""
_GROUP = 256
"""Queries whose scores with a chunk are in memory at a time."""

_Place = slice | npt.NDArray[np.int64]
"""Rows of a block that follow each other, or the positions of some."""

Candidates = list[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.float32]]]
"""For each block with candidates: its number, their positions (m,), ascending, and their
approximate scores (m,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows to search."""

    matrix: npt.NDArray[np.float16]
    """(v, d) float16, C-contiguous; in memory or in a mapped file. Vectors have a length of at most
    `LONGEST`."""
    allowed: npt.NDArray[np.bool_] | None
    """(n,) bool, the rows that may be found; None for all."""
    error: float
    """The largest L2 distance of a vector from the float32 vector that it stands for."""
    starts: npt.NDArray[np.int64] | None = None
    """(n + 1,) The vectors of row i are those from `starts[i]` up to `starts[i + 1]`, the whole
    photo's first; its score is what `fused` makes of theirs. None where each row has one."""

    def __len__(self) -> int:
        return len(self.matrix) if self.starts is None else len(self.starts) - 1


def candidates(query: Vector, blocks: Sequence[Block], k: int) -> Candidates:
    """Return the rows that can be among the k best.

    Args:
        query: (d,) float32, at most `LONGEST` long.
        blocks: of the same d.
        k: at least 1.

    Returns:
        Every allowed row whose score, by the vector that it stands for, is among the k best. That
        holds for the exact score and for that of `shoplens.similarities.exact_scores`. Of equal
        scores, all are here. There are a few rows more, whose scores are too close to tell.
    """
    if not _SIMD:
        return _by_products(query[None], blocks, k)[0]
    rounded = query.astype(np.float16)
    slacks = [_slack(query, rounded.astype(np.float32), block) for block in blocks]
    best = _Best(k)
    chunks = deque(
        (number, place) for number, block in enumerate(blocks) for place in _places(block)
    )

    def work() -> None:
        for number, place in _taken(chunks):
            if chunk := _chunk(number, blocks[number], place):
                # Its argument `out` is not used: simsimd 6.5 gives back a reference to None that
                # it does not own.
                scores = np.asarray(
                    simsimd.cdist(rounded[None], chunk.vectors, "dot", out_dtype="float32")
                )[0]
                best.add(chunk, chunk.scores(scores), slacks[number])

    n_bytes = sum(block.matrix.nbytes for block in blocks)
    helpers = min(_n_threads() - 1, len(chunks) - 1, n_bytes // _HELPER_BYTES)
    tasks = [_pool(os.getpid()).submit(work) for _ in range(helpers)]
    work()
    for task in tasks:
        # One that has not begun by now, behind those of other searches, has nothing left to do.
        if not task.cancel():
            task.result()
    return best.candidates()


def candidates_each(queries: Vectors, blocks: Sequence[Block], k: int) -> list[Candidates]:
    """Return for each query the rows that can be among the k best (see `candidates`).

    Args:
        queries: (q, d) float32. Many are compared with a chunk of rows at a time, which is much
            faster than one scan for each.
        blocks: of the same d.
        k: at least 1.
    """
    if _SIMD and len(queries) <= _FEW_QUERIES:
        return [candidates(query, blocks, k) for query in queries]
    return _by_products(queries, blocks, k)


@cache
def _n_threads() -> int:
    return min(_MOST_THREADS, usable_cores())


def _by_products(queries: Vectors, blocks: Sequence[Block], k: int) -> list[Candidates]:
    """Scan by matrix products in float32, which use all cores by themselves."""
    best = [_Best(k) for _ in queries]
    for number, block in enumerate(blocks):
        slacks = [_slack(query, query, block) for query in queries]
        for place in _places(block):
            if (chunk := _chunk(number, block, place)) is None:
                continue
            wide = chunk.vectors.astype(np.float32)
            for first in range(0, len(queries), _GROUP):
                products = queries[first : first + _GROUP] @ wide.T
                for query, scores in enumerate(products, start=first):
                    best[query].add(chunk, chunk.scores(scores), slacks[query])
    return [one.candidates() for one in best]


def _slack(query: Vector, used: Vector, block: Block) -> float:
    """Return how far an approximate score can be from the exact one.

    Args:
        query: (d,) float32.
        used: (d,) float32, the query as it is compared with rows.
        block: what it is compared with.
    """
    error = block.error
    length = float(np.linalg.norm(query.astype(np.float64)))
    missed = float(np.linalg.norm(query.astype(np.float64) - used))
    longest = LONGEST + error
    n = len(query)
    # With a row x, rounded to x' = x + e, and a query q, rounded to q', Cauchy-Schwarz bounds
    # |q.x - q'.x'| = |(q - q').x' - q.e|.
    rounding = missed * longest + length * error
    # A sum of n products in float32, in any order, with one more rounding for each product and one
    # for the result (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
    steps = (n + 2) * 2.0**-24
    summing = steps / (1 - steps) * (length + missed) * longest
    # `exact_scores` rounds components to 2^-26, which moves each vector by 2^-27 sqrt(n) at most,
    # and its result to float32.
    grid = 2.0**-27 * math.sqrt(n) * (length + longest + 1e-3) + 2.0**-24
    if block.starts is not None:
        # What holds for each of a row's scores holds for the best of them and for a mean of the
        # two. The mean is rounded to float32 in both.
        grid += 2.0**-23
    # The bounds themselves are computed in float64.
    return (rounding + summing + grid) * (1 + 1e-6)


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    """Some rows of a block."""

    number: int
    """The block's."""
    start: int
    """Where the chunk begins in the block; 0 where its rows are from all over it."""
    vectors: npt.NDArray[np.float16]
    """Those of the rows."""
    firsts: npt.NDArray[np.int64] | None = None
    """(m,) where the vectors of each row begin; None where each has one."""
    picked: npt.NDArray[np.int64] | None = None
    """Where they are, counted from `start`; None where they are all that follow."""
    allowed: npt.NDArray[np.bool_] | None = None
    """Which of them may be found; None for all."""

    def scores(self, of_vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the scores of the rows from those of their vectors."""
        if self.firsts is None:
            return of_vectors
        best = np.maximum.reduceat(of_vectors, self.firsts)
        return fused(of_vectors[self.firsts], best)


class _Best:
    """The candidates of one query so far. Threads may add to them at the same time."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._lock = Lock()
        self._floors = np.empty(0)
        """The k best of the lowest scores that rows seen so far can have."""
        self._limit = -math.inf
        """What the score of a row must be able to reach."""
        self._kept: list[
            tuple[int, npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float64]]
        ] = []
        """Block, positions, scores, and the highest that these can be."""

    def add(self, chunk: _Chunk, scores: npt.NDArray[np.float32], slack: float) -> None:
        """Add what can be among the k best of a chunk.

        Args:
            chunk: of m rows.
            scores: (m,) float32.
            slack: how far they can be from the exact ones.
        """
        # Rounded down, so that no row is lost to the rounding.
        limit = np.nextafter(np.float32(self._limit - slack), np.float32(-np.inf))
        near = np.flatnonzero(scores >= limit).astype(np.int64, copy=False)
        if chunk.allowed is not None:
            near = near[chunk.allowed[near]]
        if not len(near):
            return
        found = chunk.start + (near if chunk.picked is None else chunk.picked[near])
        close = scores[near]
        exact = close.astype(np.float64)
        with self._lock:
            floors = np.concatenate((self._floors, exact - slack))
            if len(floors) >= self._k:
                floors = np.partition(floors, len(floors) - self._k)[-self._k :]
                self._limit = float(floors[0])
            self._floors = floors
            keep = exact + slack >= self._limit
            self._kept.append((chunk.number, found[keep], close[keep], exact[keep] + slack))

    def candidates(self) -> Candidates:
        """Return the candidates, after everything was added."""
        by_block: dict[int, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]] = {}
        for block, positions, scores, highest in self._kept:
            keep = highest >= self._limit
            if keep.any():
                by_block.setdefault(block, []).append((positions[keep], scores[keep]))
        result = []
        for block, parts in sorted(by_block.items()):
            parts.sort(key=lambda part: int(part[0][0]))
            positions, scores = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            result.append((block, positions, scores))
        return result


def _places(block: Block) -> list[_Place]:
    """Return where the rows of a block are that are compared at a time."""
    n = len(block)
    if block.allowed is not None and np.count_nonzero(block.allowed) < _SPARSE * n:
        # One by one for the whole block: most chunks would hold a few of them only.
        picked = np.flatnonzero(block.allowed).astype(np.int64, copy=False)
        return [picked[start : start + _PICKED] for start in range(0, len(picked), _PICKED)]
    # Of one length, so that no thread is left with a whole chunk while the others are done.
    length = max(1, -(-n // (-(-n // _CHUNK) or 1)))
    return [slice(start, start + length) for start in range(0, n, length)]


def _chunk(number: int, block: Block, place: _Place) -> _Chunk | None:
    """Return a chunk of a block; None if nothing in it is allowed."""
    if not isinstance(place, slice):
        return _picked(number, block, 0, place)
    start = int(place.start)
    stop = min(int(place.stop), len(block))
    allowed = None if block.allowed is None else block.allowed[start:stop]
    n_allowed = stop - start if allowed is None else np.count_nonzero(allowed)
    if n_allowed == 0:
        return None
    if allowed is not None and n_allowed < _SPARSE * len(allowed):
        return _picked(number, block, start, np.flatnonzero(allowed).astype(np.int64, copy=False))
    if n_allowed == stop - start:
        allowed = None
    # Slices of a memory map are slow to make.
    matrix = np.asarray(block.matrix)
    if block.starts is None:
        return _Chunk(number, start, matrix[start:stop], allowed=allowed)
    starts = block.starts[start : stop + 1]
    vectors = matrix[starts[0] : starts[-1]]
    return _Chunk(number, start, vectors, starts[:-1] - starts[0], allowed=allowed)


def _picked(number: int, block: Block, start: int, picked: npt.NDArray[np.int64]) -> _Chunk:
    """Return a chunk of some rows of a block, at positions counted from `start`."""
    matrix = np.asarray(block.matrix)
    rows = picked + start
    if block.starts is None:
        return _Chunk(number, start, matrix[rows], picked=picked)
    places, firsts = vector_places(block.starts, rows)
    return _Chunk(number, start, matrix[places], firsts, picked=picked)


def _taken(chunks: deque[tuple[int, _Place]]) -> Iterator[tuple[int, _Place]]:
    """Yield chunks that no other thread has taken."""
    while True:
        try:
            yield chunks.popleft()
        except IndexError:
            return


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of this process; those of its parent do not exist in it."""
    return ThreadPoolExecutor(max(1, _n_threads() - 1), thread_name_prefix="catalogue-scan")
