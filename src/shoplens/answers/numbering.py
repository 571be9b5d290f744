"""What the numbers of an answer stand for: gallery ids, or row positions in gallery.csv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shoplens.lookup import find_ids

Reading = Literal["ids", "positions"]
"""What the numbers count: `seller_img_id`s, or rows of gallery.csv from 0."""

UNKNOWN, BLANK, NAN, INFINITE, FRACTION = -1, -2, -3, -4, -5
"""Codes in place of a gallery position where a number stands for no photo: an unknown id, -1, NaN,
infinity, or a number that is not whole."""

_BLOCK_ROWS = 512
"""Rows that are read at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbering:
    """An answer as gallery positions."""

    positions: npt.NDArray[np.int32]
    """(q, k) int32, from 0; negative, one of the codes above, where there is no photo."""
    reading: Reading
    n_unknown: int
    """Numbers that are no known id."""
    ambiguous: bool
    """Whether all numbers are known ids, but could be row positions of other photos."""


def number(array: npt.NDArray[Any], gallery_ids: npt.NDArray[np.int32]) -> Numbering:
    """Decide what the numbers stand for, and find their photos.

    If all of them are known ids, they are ids. Otherwise they are whatever fits more of them, and
    ids in a tie.

    Args:
        array: (q, k) integers or floats.
        gallery_ids: (n,) int32, in the order of gallery.csv.
    """
    n = len(gallery_ids)
    numbers, odd = _whole_numbers(array)
    positions = find_ids(numbers, gallery_ids)
    if odd is not None:
        positions[odd != 0] = UNKNOWN
    n_unknown = int(np.count_nonzero(positions < 0))
    reading: Reading = "ids"
    ambiguous = False
    if n_unknown or not np.array_equal(gallery_ids, np.arange(n)):
        outside = (numbers < 0) | (numbers >= n)
        if odd is not None:
            outside |= odd != 0
        n_outside = int(np.count_nonzero(outside))
        if n_outside < n_unknown:
            reading = "positions"
            positions = np.where(outside, np.int32(UNKNOWN), numbers)
        ambiguous = not n_unknown and not n_outside and numbers.size > 0
    if n_unknown:
        positions[(positions < 0) & (numbers == -1)] = BLANK
    if odd is not None:
        np.copyto(positions, odd, where=odd != 0)
    return Numbering(positions, reading, n_unknown, ambiguous)


def _whole_numbers(
    array: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32] | None]:
    """Return the numbers as int32, and the code of each place that holds no such number.

    The second array is None where all are; otherwise 0 marks the others.
    """
    if np.can_cast(array.dtype, np.int32):
        return np.ascontiguousarray(array, dtype=np.int32), None
    limits = np.iinfo(np.int32)
    numbers = np.empty(array.shape, dtype=np.int32)
    odd = np.zeros(array.shape, dtype=np.int32)
    for start in range(0, len(array), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        block = array[rows]
        if block.dtype.kind == "f" and block.dtype.itemsize < 8:
            # A float16 or float32 cannot hold the largest int32, so could not be compared with it.
            block = block.astype(np.float64)
        with np.errstate(invalid="ignore"):
            small = (block >= limits.min) & (block <= limits.max)
        odd[rows][~small] = UNKNOWN
        if block.dtype.kind == "f":
            odd[rows][small & (block != np.rint(block))] = FRACTION
            odd[rows][np.isinf(block)] = INFINITE
            odd[rows][np.isnan(block)] = NAN
        numbers[rows] = np.where(odd[rows] == 0, block, 0)
    return numbers, odd if odd.any() else None


def close_up(
    positions: npt.NDArray[np.int32], repeated: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int32]:
    """Remove repeats from rows: later entries move up, and blanks fill the end."""
    closed: npt.NDArray[np.int32] = positions.copy()
    faulty = np.flatnonzero(repeated.any(axis=1))
    for start in range(0, len(faulty), _BLOCK_ROWS):
        rows = faulty[start : start + _BLOCK_ROWS]
        order = np.argsort(repeated[rows], axis=1, kind="stable")
        kept = np.where(repeated[rows], np.int32(BLANK), positions[rows])
        closed[rows] = np.take_along_axis(kept, order, axis=1)
    return closed
