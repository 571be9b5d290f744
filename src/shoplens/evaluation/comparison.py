"""Tests whether one ranking is better than another, paired by query and clustered by product.

Photos of one product are alike, and so are their scores. So the interval draws whole products, and
the test swaps whole products, not single queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from shoplens.errors import RankingError
from shoplens.evaluation.bootstrap import resampled_means
from shoplens.evaluation.formulas import PerQuery

N_FLIPS = 10_000
"""Draws of a randomisation test. If there are no more patterns than this, all are tried."""

_BLOCK = 2**22
"""Numbers drawn at a time; limits memory and does not change results."""

_ROUNDING = 1e-12
"""Smaller differences (of values in 0..1) count as rounding."""

Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one ranking is than another, by one metric."""

    value: float
    """Mean over queries of the first minus the second."""
    low: float
    high: float
    """95 % bootstrap interval of `value`."""
    p_value: float
    """Probability of a difference at least as large, in either direction, by chance alone."""
    wins: int
    """Queries on which the first is better."""
    ties: int
    losses: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two of several rankings, compared by one metric."""

    metric: str
    first: int
    second: int
    """Their positions among those compared."""
    difference: Difference
    adjusted: float
    """The p-value corrected for all pairs and metrics compared (`holm`)."""


def compare_all(
    values: Mapping[str, Sequence[PerQuery]],
    groups: Groups,
    *,
    draws: int = N_FLIPS,
    seed: int = 0,
) -> tuple[Pair, ...]:
    """Compare each pair of several rankings, and correct for all the tests.

    Args:
        values: for each metric, two or more (q,) arrays with each ranking's values per query;
            NaN for queries that do not count.
        groups: (q,) which product each query belongs to.
        draws: number of draws of each randomisation test.
        seed: seed of the random generator.

    Returns:
        The pairs, metric by metric.

    Raises as `paired_difference` does.
    """
    tests = [
        (metric, first, second, paired_difference(one, other, groups, draws=draws, seed=seed))
        for metric, of_runs in values.items()
        for (first, one), (second, other) in combinations(enumerate(of_runs), 2)
    ]
    adjusted = holm([difference.p_value for _, _, _, difference in tests])
    return tuple(Pair(*test, corrected) for test, corrected in zip(tests, adjusted, strict=True))


def paired_difference(
    a: PerQuery, b: PerQuery, groups: Groups, *, draws: int = N_FLIPS, seed: int = 0
) -> Difference:
    """Compare two rankings of the same queries by a metric's values per query.

    The interval is a percentile bootstrap that draws products with replacement (Davison and
    Hinkley, Bootstrap Methods, 1997, section 3.8). The test is a randomisation test that swaps the
    two rankings' names product by product (Smucker, Allan and Carterette, CIKM 2007). It is exact
    if there are at most `draws` patterns of swaps. Otherwise patterns are drawn, and one is added
    to both counts (Phipson and Smyth, 2010), so that p is never 0.

    Args:
        a: (q,) float64; NaN in both arrays for queries that do not count.
        b: (q,) float64.
        groups: (q,) which product each query belongs to, any integers.
        draws: number of draws of the randomisation test; the interval uses 1,000.
        seed: seed of the random generator.

    Returns:
        The `Difference` a - b.

    Raises:
        RankingError: the arrays are for different queries, or no query counts.
    """
    if a.shape != b.shape or a.shape != groups.shape or a.ndim != 1:
        raise RankingError(
            f"a comparison needs values for the same queries; got arrays of shapes {a.shape} and "
            f"{b.shape}, products of shape {groups.shape}"
        )
    counted = ~np.isnan(a)
    if not np.array_equal(counted, ~np.isnan(b)):
        raise RankingError("the two rankings were not scored on the same queries")
    if not counted.any():
        raise RankingError("no query counts in both rankings, so there is nothing to compare")
    differences = np.asarray(a - b, dtype=np.float64)[counted]
    differences[np.abs(differences) <= _ROUNDING] = 0.0
    products = np.unique(groups[counted], return_inverse=True)[1]
    sums = np.asarray(np.bincount(products, differences), dtype=np.float64)
    means = resampled_means([sums], np.bincount(products), seed=seed)
    low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return Difference(
        value=float(differences.mean()),
        low=low,
        high=high,
        p_value=_chance(sums, draws, seed),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
    )


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Correct p-values for multiple tests, and return them in the same order.

    If you reject those of at most 0.05, the chance of any error is at most one in twenty (Holm,
    Scandinavian Journal of Statistics 6, 1979).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return tuple(adjusted.tolist())


def _chance(sums: npt.NDArray[np.float64], draws: int, seed: int) -> float:
    """Return the p-value of the sum of `sums` if a coin toss decides the sign of each."""
    sums = sums[np.abs(sums) > _ROUNDING]
    n = len(sums)
    if not n:
        return 1.0
    # Signs are taken eight products at a time: a byte picks one of their 256 signed sums.
    padded = np.zeros(-(-n // 8) * 8)
    padded[:n] = sums
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    tables = padded.reshape(-1, 8) @ (2.0 * bits.T - 1)
    bound = abs(sums.sum()) - 1e-10 * np.abs(sums).sum()
    if 2**n <= draws:
        patterns = np.arange(2**n, dtype="<u4").view(np.uint8).reshape(-1, 4)[:, : len(tables)]
        return float(np.mean(np.abs(_signed(tables, patterns)) >= bound))
    generator = np.random.default_rng(seed)
    reached = 0
    step = max(1, _BLOCK // len(tables))
    for start in range(0, draws, step):
        shape = (min(step, draws - start), len(tables))
        patterns = generator.integers(256, size=shape, dtype=np.uint8)
        reached += int((np.abs(_signed(tables, patterns)) >= bound).sum())
    return (reached + 1) / (draws + 1)


def _signed(
    tables: npt.NDArray[np.float64], patterns: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    total: npt.NDArray[np.float64] = tables[np.arange(len(tables)), patterns].sum(axis=1)
    return total
