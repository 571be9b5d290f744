"""Means over queries with bootstrap intervals, for scores, comparisons and leaderboards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.evaluation.formulas import PerQuery

N_DRAWS = 1000
"""Number of draws of a bootstrap interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def estimate(
    values: PerQuery, groups: npt.NDArray[np.int64], draws: int = N_DRAWS, seed: int = 0
) -> Estimate:
    """Average over queries, with a percentile bootstrap interval that resamples groups.

    Queries of one product are alike, so products, not queries, are drawn with replacement (a
    cluster bootstrap: Davison and Hinkley, Bootstrap Methods, 1997, section 3.8).

    Args:
        values: (q,) one number per query, q > 0.
        groups: (q,) which product each query belongs to, numbered from 0 without gaps.
        draws: number of resamples.
        seed: seed of the random generator.

    Returns:
        The mean and the 2.5 and 97.5 percentiles of the resampled means.
    """
    return estimates(values[None], groups, draws, seed)[0]


def estimates(
    values: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int64],
    draws: int = N_DRAWS,
    seed: int = 0,
) -> tuple[Estimate, ...]:
    """Apply `estimate` to each row, with the same draws of products.

    Drawing costs far more than averaging, and a challenge can have a thousand submissions.

    Args:
        values: (n, q) float64, one row of values per query for each of n rankings, without NaN.
        groups: (q,) which product each query belongs to, numbered from 0 without gaps.
        draws: number of resamples.
        seed: seed of the random generator.

    Returns:
        n means over queries, each with its 95 % interval.
    """
    counts = np.bincount(groups)
    sums = [np.asarray(np.bincount(groups, row, len(counts)), np.float64) for row in values]
    means = resampled_means(sums, counts, draws, seed)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    # Row by row: sums over a whole matrix are added up in an order that depends on its shape.
    averages = [float(row.mean()) for row in np.ascontiguousarray(values)]
    return tuple(
        Estimate(*found) for found in zip(averages, low.tolist(), high.tolist(), strict=True)
    )


def resampled_means(
    sums: list[npt.NDArray[np.float64]],
    counts: npt.NDArray[np.int64],
    draws: int = N_DRAWS,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """Return the means over queries after drawing groups with replacement.

    Args:
        sums: for each of n quantities, (g,) the sum over the queries of each group.
        counts: (g,) number of queries in each group.
        draws: number of resamples.
        seed: seed of the random generator.

    Returns:
        (draws, n) float64.
    """
    n = len(counts)
    generator = np.random.default_rng(seed)
    means = np.empty((draws, len(sums)))
    for draw in range(draws):
        times = np.bincount(generator.integers(n, size=n), minlength=n)
        total = times @ counts
        # One product at a time: the rounding of a matrix product depends on the neighbouring rows.
        means[draw] = [(times @ row) / total for row in sums]
    return means
