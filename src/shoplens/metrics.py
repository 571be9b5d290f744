"""Retrieval metrics: pure functions from which results are relevant to numbers per query.

Everywhere `relevant` is (q, k) bool: whether the photo at a rank is of the query's product; and
`n_positive` is (q,) int: how many gallery photos are (GTP), found or not. Definitions, with
worked examples, are in `docs/metrics.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.errors import RankingError

Relevance = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
PerQuery = npt.NDArray[np.float64]

DEFAULT_METRICS = (
    "map@1000",
    "recall@1",
    "recall@10",
    "recall@100",
    "recall@1000",
    "hit@1",
    "hit@5",
    "hit@10",
    "hit@100",
    "precision@1",
    "precision@5",
    "precision@10",
    "mrr",
)

N_DRAWS = 1000
"""Draws of a bootstrap interval."""

_NAME = re.compile(r"(?P<kind>[a-z]+)(?:@(?P<k>[1-9][0-9]*))?")


def average_precision(relevant: Relevance, n_positive: Counts, k: int = 1000) -> PerQuery:
    """Return AP@k of each query: the sum of precision@i over the hits at rank i <= k, over GTP.

    GTP is the number of all positives in the gallery, also those beyond rank k (the challenge's
    definition). Other libraries divide by the hits found or by min(k, GTP).

    Args:
        relevant: (q, columns) bool.
        n_positive: (q,) GTP; every entry must be positive.
        k: how far to look; more than the columns is allowed.

    Returns:
        (q,) float64 in 0..1.
    """
    query, rank = np.nonzero(relevant[:, :k])
    # Hits come query by query, rank by rank: the i-th hit of a query has precision i / (rank + 1).
    first = np.searchsorted(query, np.arange(len(relevant)))
    precision = (np.arange(len(query)) - first[query] + 1) / (rank + 1)
    sums = np.bincount(query, precision, minlength=len(relevant))
    values: PerQuery = np.asarray(sums / n_positive)
    return values


def recall(relevant: Relevance, n_positive: Counts, k: int) -> PerQuery:
    """Return recall@k of each query: positives in the first k over all positives (GTP)."""
    values: PerQuery = np.asarray(relevant[:, :k].sum(axis=1) / n_positive)
    return values


def hit(relevant: Relevance, n_positive: Counts, k: int) -> PerQuery:
    """Return hit@k (CMC) of each query: 1 when the first k hold a positive, else 0."""
    return np.asarray(relevant[:, :k].any(axis=1), dtype=np.float64)


def precision(relevant: Relevance, n_positive: Counts, k: int) -> PerQuery:
    """Return precision@k of each query: positives in the first k over k, however long the row."""
    values: PerQuery = np.asarray(relevant[:, :k].sum(axis=1) / k)
    return values


def reciprocal_rank(relevant: Relevance, n_positive: Counts, k: int) -> PerQuery:
    """Return 1 / rank of each query's first positive within the first k, 0 without one."""
    seen = relevant[:, :k]
    if not seen.shape[1]:
        return np.zeros(len(seen))
    return np.where(seen.any(axis=1), 1 / (seen.argmax(axis=1) + 1), 0.0)


_KINDS: Mapping[str, Callable[[Relevance, Counts, int], PerQuery]] = {
    "map": average_precision,
    "recall": recall,
    "hit": hit,
    "precision": precision,
    "mrr": reciprocal_rank,
}


def per_query(name: str, relevant: Relevance, n_positive: Counts) -> PerQuery:
    """Return a metric's value of each query.

    Args:
        name: `map@K`, `recall@K`, `hit@K`, `precision@K`, or `mrr` (of the whole row).
        relevant: (q, columns) bool.
        n_positive: (q,) GTP, all positive.

    Returns:
        (q,) float64.

    Raises:
        RankingError: no such metric.
    """
    match = _NAME.fullmatch(name)
    kind = match["kind"] if match else ""
    k = match["k"] if match else None
    if kind not in _KINDS or (k is None) != (kind == "mrr"):
        raise RankingError(
            f"no metric {name!r}; there are map@K, recall@K, hit@K, precision@K and mrr"
        )
    return _KINDS[kind](relevant, n_positive, int(k) if k else relevant.shape[1])


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
