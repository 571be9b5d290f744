"""Query expansion: search again with the mean of the query and its nearest photos."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from shoplens.progress import Progress, silent
from shoplens.records import Vectors
from shoplens.reranking.reranker import Cost, Ranked, Reranker, parameter, unit_rows

_WIDEST_GAP = 2.0
"""Cosines differ by no more than this."""


@dataclass(frozen=True, slots=True)
class AverageExpansion(Reranker):
    """Average query expansion: all photos that pass the gate weigh as much as the query."""

    name = "aqe"
    about = "searches again with the mean of the query and its nearest photos"
    paper = "Chum et al., Total Recall, ICCV 2007"

    k: int = parameter(2, 1, 1000, "photos that are averaged with the query, at most")
    gap: float = parameter(0.05, 0, _WIDEST_GAP, "how far below the best score they may be")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Search again with each query's mean."""
        return _expanded(ranked, self.k, 0.0, self.gap, progress)

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of another ranking."""
        return _cost(ranked)


@dataclass(frozen=True, slots=True)
class AlphaExpansion(Reranker):
    """Alpha query expansion: a photo weighs its score to the power alpha, the query 1."""

    name = "alpha-qe"
    about = "the same, and each photo weighs its score to the power alpha"
    paper = "Radenović et al., Fine-tuning CNN Image Retrieval, TPAMI 2019"

    k: int = parameter(2, 1, 1000, "photos that are averaged with the query, at most")
    alpha: float = parameter(3, 0, 100, "power of their scores that they weigh")
    gap: float = parameter(0.1, 0, _WIDEST_GAP, "how far below the best score they may be")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Search again with each query's weighted mean."""
        return _expanded(ranked, self.k, self.alpha, self.gap, progress)

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of another ranking."""
        return _cost(ranked)


def _expanded(ranked: Ranked, k: int, alpha: float, gap: float, progress: Progress) -> Ranked:
    vectors = expanded_vectors(ranked, k, alpha, gap)
    return ranked.compared_again(
        queries=replace(ranked.queries, vectors=vectors), progress=progress
    )


def expanded_vectors(ranked: Ranked, k: int, alpha: float, gap: float) -> Vectors:
    """Return each query's weighted mean with its nearest photos.

    A photo is averaged if it is among the first `k` of the row and its score is at most `gap` below
    the first. So a query whose best photo stands out is only mixed with that one.

    Returns:
        (q, d) float32 of unit length; zero where the query has no vector.
    """
    scores = ranked.scores[:, :k].astype(np.float64)
    k = scores.shape[1]
    used = np.isfinite(scores) & (scores >= scores[:, :1] - gap)
    weights = np.where(used, np.clip(np.where(used, scores, 0), 0, None) ** alpha, 0)
    positions = ranked.positions(k)
    total = ranked.queries.vectors.astype(np.float64)
    # Place by place, and not as one product, whose rounding would depend on the other rows.
    for place in range(k):
        total += weights[:, place, None] * ranked.gallery.vectors[positions[:, place]]
    return unit_rows(total, ranked.queries.vectors)


def _cost(ranked: Ranked) -> Cost:
    n_queries, dimension = ranked.queries.vectors.shape
    return Cost(
        ranked.seconds_for(n_queries * len(ranked.gallery)), 3 * 8 * n_queries * dimension / 1e6
    )
