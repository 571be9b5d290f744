"""Pooling inside products: photos of one product get nearly the same score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.progress import Progress, silent
from shoplens.reranking.products import product_numbers
from shoplens.reranking.reranker import Cost, Ranked, Reranker, parameter

_SECONDS_PER_PLACE = 1e-7
_STEP = 100
"""Queries between two reports of progress."""


@dataclass(frozen=True, slots=True)
class ProductPooling(Reranker):
    """Pooling inside products: a photo's score is mixed with the soft maximum of its product's.

    The soft maximum of scores is T log(mean(exp(score / T))): their highest for a low temperature
    T, and their mean for a high one. It needs the product of each gallery photo; photos without one
    stand for themselves. Only photos of the row count.
    """

    name = "product-score"
    about = "mixes each photo's score with the soft maximum of its product's scores"
    paper = "Ramon and De Raedt, Multi Instance Neural Networks, ICML workshop 2000 (the pooling)"
    needs_products = True

    weight: float = parameter(0.9, 0, 1, "share of the product's score")
    temperature: float = parameter(0.05, 0.001, 100, "of the soft maximum")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Pool the scores of each row."""
        products = product_numbers(ranked.gallery, self.name)[ranked.positions()]
        scores = ranked.scores.copy()
        for row, numbers in enumerate(products):
            n_usable = int(np.isfinite(scores[row]).sum())
            if n_usable:
                scores[row, :n_usable] = self._pooled(scores[row, :n_usable], numbers[:n_usable])
            if (row + 1) % _STEP == 0 or row + 1 == len(scores):
                progress("pool", row + 1, len(scores))
        return ranked.reordered(scores)

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of a pass over the scores."""
        return Cost(ranked.scores.size * _SECONDS_PER_PLACE, 3 * ranked.scores.nbytes / 1e6)

    def _pooled(
        self, scores: npt.NDArray[np.float32], numbers: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float64]:
        _, place = np.unique(numbers, return_inverse=True)
        # The first is the highest. What is too far below it for float64 counts as the smallest.
        lowered = np.exp((scores.astype(np.float64) - scores[0]) / self.temperature)
        means = np.bincount(place, lowered) / np.bincount(place)
        floor = np.finfo(np.float64).tiny
        pooled = scores[0] + self.temperature * np.log(np.maximum(means, floor))
        return np.asarray((1 - self.weight) * scores + self.weight * pooled[place])
