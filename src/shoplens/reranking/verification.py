"""Geometric verification of the first candidates: is the query's surface in their photos?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.cores import usable_cores
from shoplens.progress import Progress, silent
from shoplens.reranking.local_features import LocalFeatures, local_features, n_verified, opencv
from shoplens.reranking.photographs import Scores, n_read, rescored_by_photos
from shoplens.reranking.reranker import Cost, Ranked, Reranker, parameter

_SECONDS_PER_PHOTO = 0.03
"""Of a core, to read a photo and find its corners."""
_SECONDS_PER_PAIR = 5e-3
_FEATURE_BYTES = 1000 * 40
_KEPT = 5000
"""Photos whose corners are kept: 200 MB."""


@dataclass(frozen=True, slots=True)
class Verification(Reranker):
    """Geometric verification: corners of the query that lie in a candidate as one plane would.

    It is for printed goods: books, packages, posters. A candidate with fewer than `least` places
    that agree keeps its score, so other products lose and gain nothing. With m places, the score s
    becomes s + (1 - s) * m / (m + least).
    """

    name = "verify"
    about = "looks for the query's printed surface in the photos of the first candidates"
    paper = "Philbin et al., CVPR 2007; MAGSAC++: Barath et al., CVPR 2020"
    reads_photos = True

    n: int = parameter(50, 1, 1000, "candidates that are looked at")
    least: int = parameter(10, 4, 1000, "places that must agree")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Raise the scores of candidates that show the query's surface."""
        opencv()  # If it is missing, that is told before photos are read.
        return rescored_by_photos(
            ranked, self.n, self.name, local_features, self._scores, kept=_KEPT, progress=progress
        )

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of the corners of all photos, and of comparing them."""
        n_queries, n_gallery = n_read(ranked, self.n)
        n_photos = n_queries + n_gallery
        n_pairs = n_queries * min(self.n, ranked.ranking.ids.shape[1])
        seconds = n_photos * _SECONDS_PER_PHOTO / usable_cores() + n_pairs * _SECONDS_PER_PAIR
        return Cost(seconds, min(n_gallery, _KEPT) * _FEATURE_BYTES / 1e6, n_photos)

    def _scores(
        self, query: LocalFeatures, candidates: Sequence[LocalFeatures | None], scores: Scores
    ) -> Scores:
        found = [0 if photo is None else n_verified(query, photo) for photo in candidates]
        return self.raised(scores, np.array(found))

    def raised(self, scores: Scores, n_places: npt.NDArray[np.int64]) -> Scores:
        """Return the scores (m,) of candidates in which so many places agree (m,)."""
        share = np.where(n_places >= self.least, n_places / (n_places + self.least), 0)
        return np.asarray(scores + (1 - scores) * share, dtype=np.float32)
