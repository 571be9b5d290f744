"""Finding 64-bit hashes that differ in few bits, without comparing all pairs.

Multi-index hashing (Norouzi, Punjani & Fleet, *Fast Search in Hamming Space with Multi-Index
Hashing*, CVPR 2012): a hash is cut into four bands of 16 bits. Of two hashes at most r bits apart
at least one band is at most r // 4 bits apart, so it is enough to look, for each band, at the
others that have the same band or one with those few bits turned over. Bands need not be equally
near: where r + 1 is no multiple of four, some may be searched a bit less far.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
"""(n,) uint64."""

_BANDS = 4
_BITS = 16
_CHUNK = 4_000_000
"""Candidates looked at together: some 100 MB."""

_BIT_COUNT = np.array([bin(n).count("1") for n in range(1 << _BITS)], dtype=np.uint8)


def distances(first: Hashes, second: Hashes) -> npt.NDArray[np.uint8]:
    """Return how many bits each pair of hashes differs in; (n,) uint8."""
    differing = np.bitwise_xor(first, second).view(np.uint16)
    counts: npt.NDArray[np.uint8] = (
        _BIT_COUNT[differing].reshape(-1, _BANDS).sum(axis=1, dtype=np.uint8)
    )
    return counts


def near_pairs(
    first: Hashes, second: Hashes, radius: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return all pairs of a hash of `first` and one of `second` at most `radius` bits apart.

    Args:
        first: (n,) uint64.
        second: (m,) uint64.
        radius: bits, 0..64. Work grows with what a band has to be turned over: up to 3 it takes
            one look-up a band and hash, up to 7 seventeen, up to 11 a hundred and thirty-seven.

    Returns:
        Positions in `first` and in `second`, (p,) int64 each, each pair once, in order.
    """
    found = [np.empty(0, dtype=np.int64)]
    for band in range(_BANDS):
        shift = np.uint64(_BITS * band)
        keys = _band(first, shift)
        order = np.argsort(_band(second, shift), kind="stable")
        sizes = np.bincount(_band(second, shift), minlength=1 << _BITS)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        for mask in _masks((radius - band) // _BANDS):
            wanted = keys ^ mask
            for rows, columns in _expand(starts[wanted], sizes[wanted], order):
                near = distances(first[rows], second[columns]) <= radius
                found.append(rows[near] * len(second) + columns[near])
    pairs = np.unique(np.concatenate(found))
    return pairs // max(1, len(second)), pairs % max(1, len(second))


def _band(hashes: Hashes, shift: np.uint64) -> npt.NDArray[np.int64]:
    band: npt.NDArray[np.int64] = ((hashes >> shift) & np.uint64(0xFFFF)).astype(np.int64)
    return band


def _masks(radius: int) -> Iterator[int]:
    """Yield every pattern of at most `radius` of a band's bits."""
    for n in range(radius + 1):
        for bits in combinations(range(_BITS), n):
            yield sum(1 << bit for bit in bits)


def _expand(
    starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], order: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield, some at a time, each row with each of the positions that its bucket holds."""
    rows = np.flatnonzero(sizes)
    ends = np.cumsum(sizes[rows])
    begin = 0
    while begin < len(rows):
        before = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + _CHUNK, side="right")))
        some = rows[begin:end]
        counts = sizes[some]
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        yield np.repeat(some, counts), order[np.repeat(starts[some], counts) + offsets]
        begin = end
