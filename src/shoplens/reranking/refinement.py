"""Refinement of the first candidates, by each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.progress import Progress, silent
from shoplens.records import Vector, Vectors
from shoplens.reranking.neighbours import nearest
from shoplens.reranking.reranker import Cost, Ranked, Reranker, parameter

_SECONDS_PER_PRODUCT = 2e-11
"""What a multiplication takes in small products of matrices, float32."""
_STEP = 100
"""Queries between two reports of progress."""


@dataclass(frozen=True, slots=True)
class Refinement(Reranker):
    """Refinement as in SuperGlobal: candidates are averaged with their like among candidates.

    The query is then compared twice with the refined candidates: by itself, and by the mean of the
    best of them. The score is the mean of both. The paper takes the maximum of each component of
    these instead of their mean. Its vectors have no negative components, and ours do.
    """

    name = "superglobal"
    about = "averages the first candidates with their like among them, and compares again"
    paper = "Shao et al., Global Features are All You Need, ICCV 2023"

    m: int = parameter(400, 1, 1000, "candidates that are refined")
    k: int = parameter(9, 1, 1000, "candidates that each is averaged with")
    beta: float = parameter(0.15, 0, 100, "what their similarity is multiplied by, to weigh them")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Refine and compare, query by query."""
        positions = ranked.positions(self.m)
        scores = ranked.scores[:, : self.m].copy()
        for row, (places, known) in enumerate(zip(positions, scores, strict=True)):
            n_usable = int(np.isfinite(known).sum())
            if n_usable:
                candidates = ranked.gallery.vectors[places[:n_usable]]
                scores[row, :n_usable] = self._scores(ranked.queries.vectors[row], candidates)
            if (row + 1) % _STEP == 0 or row + 1 == len(scores):
                progress("refine", row + 1, len(scores))
        return ranked.reordered(scores)

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of a product of small matrices for each query, and of sorting it."""
        n_queries, dimension = ranked.queries.vectors.shape
        m = min(self.m, ranked.ranking.ids.shape[1])
        seconds = n_queries * m * m * (dimension + 200) * _SECONDS_PER_PRODUCT
        return Cost(seconds, (12 * m * m + 4 * n_queries * m) / 1e6)

    def _scores(self, query: Vector, candidates: Vectors) -> npt.NDArray[np.float32]:
        near, weights = refining_weights(candidates, self.k, self.beta)

        def compared(vector: Vector) -> npt.NDArray[np.float32]:
            # The mean of products is the product with the mean: the means need not be made.
            return np.asarray((weights * (candidates @ vector)[near]).sum(axis=1))

        first = compared(query)
        best = np.argsort(-first, kind="stable")[: self.k + 1]
        shares = np.bincount(near[best].ravel(), weights[best].ravel(), len(candidates))
        mean = (shares / len(best)).astype(np.float32) @ candidates
        length = np.linalg.norm(mean)
        second = compared(mean / length) if length else first
        return np.asarray((first + second) / 2, dtype=np.float32)


def refining_weights(
    candidates: Vectors, k: int, beta: float
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return what each candidate is averaged of: itself with the weight 1 and the `k` most similar
    others, which weigh `beta` times their similarity.

    The means are not of unit length: where a candidate's like differ from it, its mean is shorter,
    and scores lower.

    Args:
        candidates: (m, d) float32 of unit length.

    Returns:
        (m, 1 + k) int32 positions, first the candidate's own, and (m, 1 + k) float32 their weights,
        of sum 1. There are fewer if there are fewer candidates.
    """
    near = nearest(candidates, candidates, k + 1, own=True)
    weights = np.float32(beta) * np.clip(near.similarity, 0, None)
    weights[:, 0] = 1
    return near.positions, weights / weights.sum(axis=1, keepdims=True)
