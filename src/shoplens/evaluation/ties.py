"""Tests which of many teams differ: all pairs at once, paired by query, clustered by product.

This is the randomisation test of `shoplens.evaluation.comparison` (it swaps the names of two
rankings product by product), with the same swaps for all pairs. A real difference must be larger
than the largest standardised difference of any pair under a swap (the single-step max-T correction:
Westfall and Young, Resampling-Based Multiple Testing, 1993). Of any number of equally good teams,
any two are told apart at most one time in twenty. Two teams alone get the result of
`shoplens compare`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoplens.evaluation.comparison import N_FLIPS

SIGNIFICANT = 0.05
"""Corrected p-values up to this mean that two teams differ."""

_AT_A_TIME = 512
"""Number of swaps tried at a time; limits memory."""

_ROUNDING = 1e-12
"""Smaller differences (of values in 0..1) count as rounding."""

Matrix = npt.NDArray[np.float64]


def adjusted_p_values(
    values: Matrix, groups: npt.NDArray[np.int64], *, draws: int = N_FLIPS, seed: int = 0
) -> Matrix:
    """Return the p-value of each pair's difference, corrected for all pairs.

    Args:
        values: (n, q) float64, one row of values per query for each of n rankings, without NaN.
        groups: (q,) which product each query belongs to.
        draws: number of random swaps. If no more swaps exist, all are tried.
        seed: seed of the random generator.

    Returns:
        (n, n) float64, symmetric; 1 on the diagonal and for pairs without a difference.
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
    """Return 1 / the spread of each pair's total difference under swaps.

    (n, products) to (n, n); 0 for pairs without a difference.
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
