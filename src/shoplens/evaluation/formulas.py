"""One function for each metric.

Everywhere `relevant` is (q, columns) bool: whether the photo at a rank is of the query's product;
`n_positive` is (q,) int: how many gallery photos are (GTP), found or not, every entry positive;
and `k` is how far down a row to look: one number for all queries, or (q,) int, one for each. It may
be more than there are columns: what a row lacks counts as not relevant. The result is (q,) float64
in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Relevance = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
PerQuery = npt.NDArray[np.float64]
Depth = int | Counts


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """The relevant results within the first k, query by query, rank by rank."""

    n_queries: int
    query: npt.NDArray[np.intp]
    """(h,) the query of each."""
    rank: npt.NDArray[np.intp]
    """(h,) its rank, from 1."""
    number: npt.NDArray[np.intp]
    """(h,) the how-manieth of its query it is, from 1."""

    @classmethod
    def within(cls, relevant: Relevance, k: Depth) -> _Hits:
        if isinstance(k, np.ndarray):
            query, rank = np.nonzero(relevant)
            near = rank < k[query]
            query, rank = query[near], rank[near]
        else:
            query, rank = np.nonzero(relevant[:, :k])
        first = np.searchsorted(query, np.arange(len(relevant)))
        number = np.arange(len(query)) - first[query] + 1
        return cls(len(relevant), query, rank + 1, number)

    def sum(self, values: npt.NDArray[np.float64]) -> PerQuery:
        """Add up, for each query, what its hits are worth."""
        return np.bincount(self.query, values, minlength=self.n_queries).astype(np.float64)

    def count(self) -> Counts:
        return np.bincount(self.query, minlength=self.n_queries).astype(np.int64)

    def sum_of_precision(self) -> PerQuery:
        """Add up the precision at the rank of each hit."""
        return self.sum(self.number / self.rank)


def average_precision(relevant: Relevance, n_positive: Counts, k: Depth = 1000) -> PerQuery:
    """Return AP@k: the sum of precision@i over the hits at rank i <= k, over GTP.

    GTP is the number of all positives in the gallery, also those beyond rank k: the challenge's
    definition, and that of trec_eval (`map_cut`) and ranx.
    """
    return _ratio(_Hits.within(relevant, k).sum_of_precision(), n_positive)


def average_precision_of_found(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return AP@k over the hits found, 0 where none is.

    So torchmetrics (`retrieval_average_precision`), scikit-learn (`average_precision_score` of
    the first k alone) and pytorch-metric-learning (`mean_average_precision`). A hit found late
    lowers it below what not finding it would give.
    """
    hits = _Hits.within(relevant, k)
    return _ratio(hits.sum_of_precision(), np.maximum(hits.count(), 1))


def average_precision_of_findable(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return AP@k over min(k, GTP): 1 where the first k could not be better.

    So Open Metric Learning, the Kaggle competitions and the Google Landmarks retrieval challenge.
    """
    return _ratio(_Hits.within(relevant, k).sum_of_precision(), np.minimum(k, n_positive))


def trapezoidal_average_precision(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return the area under precision over recall in the first k, by trapezoids, over GTP.

    Each hit counts with the mean of the precision just before it and at it (before rank 1: 1). So
    Oxford5k and Paris6k (Philbin et al. 2007) and their revisited forms (Radenovic et al. 2018).
    """
    hits = _Hits.within(relevant, k)
    before = np.ones(len(hits.rank))
    np.divide(hits.number - 1, hits.rank - 1, out=before, where=hits.rank > 1)
    return _ratio(hits.sum((before + hits.number / hits.rank) / 2), n_positive)


def recall(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return recall@k: positives in the first k over all positives (GTP)."""
    return _ratio(_Hits.within(relevant, k).count(), n_positive)


def hit(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return hit@k (CMC): 1 when the first k hold a positive, else 0."""
    return (_Hits.within(relevant, k).count() > 0).astype(np.float64)


def precision(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return precision@k: positives in the first k over k, however long the row."""
    return _ratio(_Hits.within(relevant, k).count(), k)


def precision_of_findable(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return positives in the first k over min(k, GTP).

    Open Metric Learning calls it precision@k, BEIR capped recall.
    """
    return _ratio(_Hits.within(relevant, k).count(), np.minimum(k, n_positive))


def reciprocal_rank(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return 1 / rank of the first positive within the first k, 0 without one."""
    hits = _Hits.within(relevant, k)
    return hits.sum((hits.number == 1) / hits.rank)


def discounted_gain(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return nDCG@k: hits weighed by 1 / log2(rank + 1), over the same of min(k, GTP) first hits.

    Jarvelin and Kekalainen 2002, for relevance 0 or 1; trec_eval's `ndcg_cut`.
    """
    hits = _Hits.within(relevant, k)
    findable = np.minimum(k, n_positive)
    ideal = np.cumsum(1 / np.log2(np.arange(2, max(findable.max(initial=1), 1) + 2)))
    return _ratio(hits.sum(1 / np.log2(hits.rank + 1)), ideal[findable - 1])


def _ratio(a: npt.NDArray[Any], b: npt.NDArray[Any] | int) -> PerQuery:
    return np.asarray(a / b, dtype=np.float64)
