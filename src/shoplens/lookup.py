"""Find photos by their ids, millions at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LOOKUP_ROWS = 256
"""Rows of an answer that are looked up at a time."""

_FIRST_CELLS = 2**20
"""Size of the table in which repeats are looked for."""


def find_ids(
    ids: npt.NDArray[np.int32], gallery_ids: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """Return the gallery position of each id.

    Args:
        ids: (q, k) int32.
        gallery_ids: (n,) int32, unique.

    Returns:
        (q, k) int32, positions from 0; -1 for ids that no gallery photo has.
    """
    found = np.full(ids.shape, -1, dtype=np.int32)
    if not len(gallery_ids):
        return found
    # A hash table with linear probing, at most a quarter full: a binary search of 14 million ids
    # takes six times as long.
    bits = max(4, (4 * len(gallery_ids)).bit_length())
    table = np.full(2**bits, -1, dtype=np.int32)
    slots = _slots(gallery_ids, bits)
    waiting = np.arange(len(gallery_ids), dtype=np.int32)
    while len(waiting):
        free = waiting[table[slots[waiting]] < 0]
        table[slots[free]] = free
        waiting = waiting[table[slots[waiting]] != waiting]
        slots[waiting] = (slots[waiting] + 1) % len(table)
    for start in range(0, len(ids), _LOOKUP_ROWS):
        wanted = ids[start : start + _LOOKUP_ROWS]
        slots = _slots(wanted, bits).ravel()
        positions = table[slots]
        flat = wanted.ravel()
        other = np.flatnonzero(gallery_ids[positions] != flat)
        while len(other := other[positions[other] >= 0]):
            slots[other] = (slots[other] + 1) % len(table)
            positions[other] = table[slots[other]]
            other = other[gallery_ids[positions[other]] != flat[other]]
        found[start : start + _LOOKUP_ROWS] = positions.reshape(wanted.shape)
    return found


def _slots(ids: npt.NDArray[np.int32], bits: int) -> npt.NDArray[np.uint32]:
    """Return the first slot, of 2^bits, that each id may be in (Fibonacci hashing)."""
    spread = ids.astype(np.uint32) * np.uint32(2654435769)
    return np.asarray(spread >> np.uint32(32 - bits))


def find_repeats(positions: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_] | None:
    """Return which places repeat an earlier place of their row, or None if there are no repeats.

    Args:
        positions: (q, k) int32; negative positions are blank and repeat nothing.
    """
    # Each photo's first column is written to the photo's cell of the row; it is written last, as
    # the last of several values for a cell stays.
    width = int(positions.max(initial=-1)) + 2
    columns = np.arange(positions.shape[1], dtype=np.int32)
    step = max(1, _FIRST_CELLS // width)
    first = np.empty(step * width, dtype=np.int32)
    repeated = None
    for start in range(0, len(positions), step):
        block = positions[start : start + step]
        cells = np.where(block < 0, width - 1, block) + width * np.arange(len(block))[:, None]
        first[cells[:, ::-1].ravel()] = np.tile(columns[::-1], len(block))
        later = (first[cells] != columns) & (block >= 0)
        if later.any():
            if repeated is None:
                repeated = np.zeros(positions.shape, dtype=np.bool_)
            repeated[start : start + step] = later
    return repeated
