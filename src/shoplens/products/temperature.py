"""The temperature of `logsum`, learned from labelled searches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoplens.ranking import Ranking

TEMPERATURES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def fit_temperature(
    ranking: Ranking, products: npt.NDArray[np.int64], queries: npt.NDArray[np.int64]
) -> float:
    """Return the temperature under which the queries' products come first most often.

    That is the one with the highest mean reciprocal rank of the query's product; of several, the
    lowest.

    Args:
        ranking: with scores.
        products: (q, k) the number of each ranked photo's product.
        queries: (q,) the number of each query's product.
    """
    assert ranking.scores is not None
    sums = np.zeros(len(TEMPERATURES))
    for row, own in enumerate(queries.tolist()):
        known = np.isfinite(ranking.scores[row])
        if not known.any():
            continue
        scores = ranking.scores[row][known].astype(np.float64)
        numbers, inverse = np.unique(products[row][known], return_inverse=True)
        at = np.searchsorted(numbers, own)
        if at == len(numbers) or numbers[at] != own:
            continue
        for column, temperature in enumerate(TEMPERATURES):
            parts = np.bincount(inverse, np.exp((scores - scores.max()) / temperature))
            sums[column] += 1 / (1 + np.count_nonzero(parts > parts[at]))
    return TEMPERATURES[int(np.argmax(sums))]
