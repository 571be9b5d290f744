"""Local scaling: photos that are near to many queries are put further back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoplens.progress import Progress, silent
from shoplens.reranking.neighbours import nearest
from shoplens.reranking.reranker import Cost, Ranked, Reranker, parameter


@dataclass(frozen=True, slots=True)
class LocalScaling(Reranker):
    """Cross-domain similarity local scaling (CSLS).

    A gallery photo's score is lowered by its mean similarity to its `k` nearest queries. So photos
    that are near to everything (hubs) are put behind those that are near to this query alone.
    """

    name = "csls"
    about = "lowers the scores of photos that are near to many queries"
    paper = "Conneau et al., Word Translation Without Parallel Data, ICLR 2018"
    batch_side = True

    k: int = parameter(10, 1, 1000, "queries that a photo's mean similarity is taken of")
    weight: float = parameter(0.35, 0, 1, "what it counts; 0.5 is the published form")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Lower each photo's scores by its mean similarity to queries."""
        queries, gallery = ranked.queries, ranked.gallery
        asked = queries.vectors[queries.has_vector]
        if not len(asked):
            return ranked
        found = nearest(gallery.vectors, asked, self.k, progress=progress)
        lowered = np.float32(self.weight) * found.similarity.mean(axis=1)
        return ranked.reordered(ranked.scores - lowered[ranked.positions()])

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of ranking the queries for each gallery photo."""
        pairs = len(ranked.queries) * len(ranked.gallery)
        return Cost(ranked.seconds_for(pairs), 64 + 3 * ranked.scores.nbytes / 1e6)
