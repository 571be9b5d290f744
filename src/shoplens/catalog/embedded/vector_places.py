"""Where the vectors of rows are, where rows have several."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def vector_places(
    starts: npt.NDArray[np.int64], rows: npt.NDArray[np.integer[Any]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where the vectors of some rows are, row by row.

    Args:
        starts: (n + 1,) The vectors of row i are those from `starts[i]` up to `starts[i + 1]`, one
            at least.
        rows: (m,) positions of rows.

    Returns:
        Positions of their vectors, and (m,) where among these each row's begin.
    """
    counts = starts[rows + 1] - starts[rows]
    firsts = np.cumsum(counts) - counts
    return np.repeat(starts[rows] - firsts, counts) + np.arange(counts.sum()), firsts
