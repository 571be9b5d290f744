"""Which teams a test can tell apart: all pairs at once, paired by query, clustered by product.

It is the randomisation test of `shoplens.evaluation.comparison` (two rankings' names are swapped
product by product), with one set of swaps for all pairs. The largest standardised difference that
any pair shows under a swap is what a real difference has to beat (the single-step max-T correction:
Westfall and Young, Resampling-Based Multiple Testing, 1993). Of any number of teams that are
equally good, two are so told apart at most one time in twenty; and two teams alone are judged as
`shoplens compare` judges them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoplens.evaluation.comparison import N_FLIPS

SIGNIFICANT = 0.05
"""Corrected p-values up to this tell two teams apart."""

_AT_A_TIME = 512
"""Swaps gone through at a time: bounds memory."""

_ROUNDING = 1e-12
"""Differences no larger than this (of values in 0..1) are the rounding of equal ones."""

Matrix = npt.NDArray[np.float64]


def adjusted_p_values(
    values: Matrix, groups: npt.NDArray[np.int64], *, draws: int = N_FLIPS, seed: int = 0
) -> Matrix:
    """Return how often a difference as large as that of each pair comes of chance, in any pair.

    Args:
        values: (n, q) float64, a row of values per query for each of n rankings, none NaN.
        groups: (q,) which product each query belongs to.
        draws: random swaps; every possible one where there are no more than that.
        seed: of the random generator.

    Returns:
        (n, n) float64, symmetric; 1 on the diagonal and for pairs without any difference.
    """
    products = np.unique(groups, return_inverse=True)[1]
    n_products = int(products.max()) + 1
    sums: Matrix = np.array(
        [np.bincount(products, row, n_products) for row in values], dtype=np.float64
    )
    weights = _weights(sums)
    totals = sums.sum(axis=1)
    observed = np.abs(totals[:, None] - totals) * weights
    reached = np.zeros(observed.shape)
    exact = 2**n_products <= draws
    generator = np.random.default_rng(seed)
    n_swaps = 2**n_products if exact else draws
    for start in range(0, n_swaps, _AT_A_TIME):
        count = min(_AT_A_TIME, n_swaps - start)
        if exact:
            bits = np.arange(start, start + count) >> np.arange(n_products)[:, None] & 1
        else:
            bits = generator.integers(2, size=(n_products, count), dtype=np.int8)
        largest = np.sort(_largest(sums @ (2.0 * bits - 1), weights))
        reached += count - np.searchsorted(largest, observed - 1e-9)
    return reached / n_swaps if exact else (reached + 1) / (n_swaps + 1)


def _weights(sums: Matrix) -> Matrix:
    """Return 1 over what the total of each pair's differences spreads by under swaps.

    (n, products) to (n, n); 0 for pairs without any difference.
    """
    weights = np.zeros((len(sums), len(sums)))
    for row, of_one in enumerate(sums):
        differences = np.where(np.abs(sums - of_one) > _ROUNDING, sums - of_one, 0.0)
        spread = np.sqrt((differences**2).sum(axis=1))
        weights[row, spread > 0] = 1 / spread[spread > 0]
    return weights


def _largest(totals: Matrix, weights: Matrix) -> Matrix:
    """Return the largest weighted difference of any pair: (n, swaps) to (swaps,)."""
    largest = np.zeros(totals.shape[1])
    for row in range(len(totals) - 1):
        differences = np.abs(totals[row + 1 :] - totals[row]) * weights[row + 1 :, row, None]
        np.maximum(largest, differences.max(axis=0), out=largest)
    return largest
