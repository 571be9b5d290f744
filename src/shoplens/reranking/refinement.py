"""Refinement of the first candidates, by each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.progress import Progress, silent
from shoplens.records import Vector, Vectors
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
        """Return the cost of two products of small matrices for each query."""
        n_queries, dimension = ranked.queries.vectors.shape
        m = min(self.m, ranked.ranking.ids.shape[1])
        seconds = n_queries * 2 * m * m * (dimension + 50) * _SECONDS_PER_PRODUCT
        return Cost(seconds, (12 * m * m + 4 * n_queries * m) / 1e6)

    def _scores(self, query: Vector, candidates: Vectors) -> npt.NDArray[np.float32]:
        refined = refined_vectors(candidates, self.k, self.beta)
        first = refined @ query
        best = np.argsort(-first, kind="stable")[: self.k + 1]
        mean = refined[best].mean(axis=0)
        length = np.linalg.norm(mean)
        second = refined @ (mean / length) if length else first
        return np.asarray((first + second) / 2, dtype=np.float32)


def refined_vectors(candidates: Vectors, k: int, beta: float) -> Vectors:
    """Return each candidate's mean with the `k` most similar others, weighed by `beta` times their
    similarity; itself it weighs 1.

    Args:
        candidates: (m, d) float32 of unit length.

    Returns:
        (m, d) float32, not of unit length: where a candidate's like differ from it, its mean is
        shorter, and scores lower.
    """
    m = len(candidates)
    similarity = candidates @ candidates.T
    np.fill_diagonal(similarity, -2)
    weights = np.zeros_like(similarity)
    k = min(k, m - 1)
    if k:
        near = np.argpartition(similarity, m - k, axis=1)[:, m - k :]
        values = np.clip(np.take_along_axis(similarity, near, axis=1), 0, None)
        np.put_along_axis(weights, near, np.float32(beta) * values, axis=1)
    np.fill_diagonal(weights, 1)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights @ candidates, dtype=np.float32)
