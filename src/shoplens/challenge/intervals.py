"""Intervals of many rankings of the same queries at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoplens.metrics import N_DRAWS, Estimate


def estimates(
    values: npt.NDArray[np.float64], groups: npt.NDArray[np.int64], *, seed: int = 0
) -> tuple[Estimate, ...]:
    """Do what `shoplens.metrics.estimate` does for each row, with the same draws of products.

    Drawing costs far more than averaging, and a challenge has a thousand submissions.

    Args:
        values: (n, q) float64, a row of values per query for each of n rankings, none NaN.
        groups: (q,) which product each query belongs to, numbered from 0 without gaps.
        seed: of the random generator.

    Returns:
        n means over queries, each with its 95 % interval.
    """
    counts = np.bincount(groups)
    n = len(counts)
    sums = np.array([np.bincount(groups, row, n) for row in values])
    generator = np.random.default_rng(seed)
    times = np.array(
        [np.bincount(generator.integers(n, size=n), minlength=n) for _ in range(N_DRAWS)],
        dtype=np.float64,
    )
    means = (times @ sums.T) / (times @ counts)[:, None]
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    # Row by row: sums over a whole matrix are added up in an order that depends on its shape.
    averages = [float(row.mean()) for row in np.ascontiguousarray(values)]
    return tuple(
        Estimate(*found) for found in zip(averages, low.tolist(), high.tolist(), strict=True)
    )
