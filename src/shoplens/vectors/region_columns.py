"""The columns of a table that hold regions of photos with their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens.arrow import arrow
from shoplens.errors import RankingError
from shoplens.vectors.regions import PhotoRegions, RegionVectors

LIMIT, BOXES, VECTORS = REGION_COLUMNS = ("regions", "region_boxes", "region_vectors")
"""How many regions were asked for, null for none; x0, y0, x1 and y1 of each, and the vectors, one
after the other."""
_UNIT_TOLERANCE = 1e-3


def region_types() -> dict[str, Any]:
    """Return the types of the columns in Arrow, by their names."""
    pyarrow = arrow()
    numbers = pyarrow.list_(pyarrow.float64()), pyarrow.list_(pyarrow.float32())
    return dict(zip(REGION_COLUMNS, (pyarrow.int64(), *numbers), strict=True))


def region_cells(photos: Sequence[PhotoRegions | None]) -> dict[str, list[Any]]:
    """Return the cells of some photos, by the names of their columns; None is a null."""
    boxes = [
        None
        if one is None
        else [edge for box in one.boxes for edge in (box.x0, box.y0, box.x1, box.y1)]
        for one in photos
    ]
    return {
        LIMIT: [None if one is None else one.limit for one in photos],
        BOXES: boxes,
        VECTORS: [None if one is None else one.vectors.ravel() for one in photos],
    }


def read_regions(
    path: Path, table: Any, lines: npt.NDArray[np.integer[Any]], dimension: int
) -> RegionVectors | None:
    """Return the regions that a table holds of n photos; None where it holds none.

    Args:
        path: of the table, for messages.
        table: an Arrow table.
        lines: (n,) the line of the table for each photo; -1 for none.
        dimension: of the photos' vectors.

    Raises `RankingError` if boxes and vectors do not fit together, or a vector is not of unit
    length.
    """
    if not set(REGION_COLUMNS) <= set(table.column_names):
        return None
    limits = [limit for limit in table[LIMIT].to_pylist() if limit is not None]
    if not limits:
        return None
    box_starts, boxes = _lists(path, table, BOXES, 4)
    starts, vectors = _lists(path, table, VECTORS, dimension)
    if not np.array_equal(box_starts, starts):
        raise RankingError(f"{path}: there must be as many {BOXES} as {VECTORS} in each row")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (np.abs(lengths - 1) <= _UNIT_TOLERANCE).all():
        raise RankingError(f"{path}: {VECTORS} holds vectors that are not of unit length")
    found = lines >= 0
    counts = np.zeros(len(lines), np.int64)
    counts[found] = np.diff(starts)[lines[found]]
    ends = np.concatenate(([0], np.cumsum(counts)))
    first = np.where(found, starts[lines], 0)
    places = np.repeat(first - ends[:-1], counts) + np.arange(ends[-1])
    return RegionVectors(
        max(limits),
        ends,
        np.rint(boxes[places]).astype(np.int32),
        np.ascontiguousarray(vectors[places], dtype=np.float32),
    )


def _lists(
    path: Path, table: Any, name: str, width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Return where the parts of each row begin, with the end, and all parts (m, width)."""
    column = table[name].combine_chunks()
    try:
        numbers = column.flatten().to_numpy(zero_copy_only=False)
        lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    except AttributeError:
        raise RankingError(f"{path}: {name} holds {column.type}; it must hold lists") from None
    if numbers.dtype.kind not in "fiu" or (lengths % width).any():
        raise RankingError(f"{path}: {name} must hold lists of {width} numbers for each region")
    starts = np.concatenate(([0], np.cumsum(lengths // width, dtype=np.int64)))
    return starts, numbers.reshape(-1, width)
