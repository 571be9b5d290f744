"""A mean over queries, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.metrics.formulas import PerQuery

N_DRAWS = 1000
"""Draws of a bootstrap interval."""


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
        values: (q,) one number a query, q > 0.
        groups: (q,) which product each query belongs to, numbered from 0 without gaps.
        draws: how many resamples.
        seed: of the random generator.

    Returns:
        The mean and the 2.5 and 97.5 percentiles of the resampled means.
    """
    sums = np.bincount(groups, values)
    counts = np.bincount(groups)
    n = len(counts)
    generator = np.random.default_rng(seed)
    means = np.empty(draws)
    for draw in range(draws):
        times = np.bincount(generator.integers(n, size=n), minlength=n)
        means[draw] = (times @ sums) / (times @ counts)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))
