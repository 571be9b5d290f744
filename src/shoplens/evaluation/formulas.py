"""One function per metric.

All functions have the same arguments and result:

- `relevant` is (q, columns) bool: whether the photo at a rank shows the query's product.
- `n_positive` is (q,) int, each at least 1: how many gallery photos show it (GTP), found or not.
- `k` is the number of ranks to look at: one number for all queries, or (q,) int, one for each. It
  may be larger than the number of columns; missing places count as not relevant.
- The result is (q,) float64 in 0..1.
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
    """The relevant results within the first k, in order of query and rank."""

    n_queries: int
    query: npt.NDArray[np.intp]
    """(h,) the query of each hit."""
    rank: npt.NDArray[np.intp]
    """(h,) its rank, counted from 1."""
    number: npt.NDArray[np.intp]
    """(h,) its number among the hits of its query, counted from 1."""

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
        """Return the sum of `values` over the hits of each query."""
        return np.bincount(self.query, values, minlength=self.n_queries).astype(np.float64)

    def count(self) -> Counts:
        return np.bincount(self.query, minlength=self.n_queries).astype(np.int64)

    def sum_of_precision(self) -> PerQuery:
        """Return the sum of the precision at the rank of each hit."""
        return self.sum(self.number / self.rank)


def average_precision(relevant: Relevance, n_positive: Counts, k: Depth = 1000) -> PerQuery:
    """Return AP@k: the sum of precision@i over the hits at rank i <= k, divided by GTP.

    GTP counts all positives in the gallery, including those after rank k. This is the definition of
    the challenge, of trec_eval (`map_cut`) and of ranx.
    """
    return _ratio(_Hits.within(relevant, k).sum_of_precision(), n_positive)


def average_precision_of_found(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return AP@k divided by the number of hits found, or 0 if there are none.

    This is the definition of torchmetrics (`retrieval_average_precision`), scikit-learn
    (`average_precision_score` of only the first k) and pytorch-metric-learning
    (`mean_average_precision`). A late hit can lower the value.
    """
    hits = _Hits.within(relevant, k)
    return _ratio(hits.sum_of_precision(), np.maximum(hits.count(), 1))


def average_precision_of_findable(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return AP@k divided by min(k, GTP): 1 if the first k could not be better.

    This is the definition of Open Metric Learning, of Kaggle competitions and of the Google
    Landmarks retrieval challenge.
    """
    return _ratio(_Hits.within(relevant, k).sum_of_precision(), np.minimum(k, n_positive))


def trapezoidal_average_precision(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return the area under precision over recall in the first k by the trapezoidal rule.

    Each hit counts with the mean of the precision at its rank and at the rank before (1 before rank
    1). This is the definition of Oxford5k and Paris6k (Philbin et al. 2007) and of their revisited
    versions (Radenovic et al. 2018).
    """
    hits = _Hits.within(relevant, k)
    before = np.ones(len(hits.rank))
    np.divide(hits.number - 1, hits.rank - 1, out=before, where=hits.rank > 1)
    return _ratio(hits.sum((before + hits.number / hits.rank) / 2), n_positive)


def recall(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return recall@k: positives in the first k divided by all positives (GTP)."""
    return _ratio(_Hits.within(relevant, k).count(), n_positive)


def hit(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return hit@k (CMC): 1 if there is a positive in the first k, otherwise 0."""
    return (_Hits.within(relevant, k).count() > 0).astype(np.float64)


def precision(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return precision@k: positives in the first k divided by k, even if the row is shorter."""
    return _ratio(_Hits.within(relevant, k).count(), k)


def precision_of_findable(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return positives in the first k divided by min(k, GTP).

    Open Metric Learning calls it precision@k, BEIR capped recall.
    """
    return _ratio(_Hits.within(relevant, k).count(), np.minimum(k, n_positive))


def reciprocal_rank(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return 1 / rank of the first positive within the first k, or 0 if there is none."""
    hits = _Hits.within(relevant, k)
    return hits.sum((hits.number == 1) / hits.rank)


def discounted_gain(relevant: Relevance, n_positive: Counts, k: Depth) -> PerQuery:
    """Return nDCG@k: the sum of 1 / log2(rank + 1) over hits, divided by its highest value.

    Jarvelin and Kekalainen 2002, for relevance 0 or 1; trec_eval's `ndcg_cut`.
    """
    hits = _Hits.within(relevant, k)
    findable = np.minimum(k, n_positive)
    ideal = np.cumsum(1 / np.log2(np.arange(2, max(findable.max(initial=1), 1) + 2)))
    return _ratio(hits.sum(1 / np.log2(hits.rank + 1)), ideal[findable - 1])


def _ratio(a: npt.NDArray[Any], b: npt.NDArray[Any] | int) -> PerQuery:
    return np.asarray(a / b, dtype=np.float64)
