"""Patch-level best match: places of the query's photo look for their like in a candidate's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoplens.cores import usable_cores
from shoplens.patches.patch_map import PatchMap, best_match, patch_map_of
from shoplens.progress import Progress, silent
from shoplens.reranking.photographs import Scores, n_read, rescored_by_photos
from shoplens.reranking.reranker import Cost, Ranked, Reranker, parameter

_SECONDS_PER_PHOTO = 0.05
"""Of a core, to read a photo and compute its map."""
_SECONDS_PER_PAIR = 2e-4
_MAP_BYTES = 4 * 144 * 193
_KEPT = 5000
"""Maps that are kept: half a gigabyte."""


@dataclass(frozen=True, slots=True)
class Patches(Reranker):
    """Best match of patches: a candidate is scored by how well each place of the query is found.

    The maps are those of lite0-products, whichever model the vectors are of.
    """

    name = "patches"
    about = "compares the photos of the first candidates place by place"
    paper = "Kordopatis-Zilos et al., ViSiL, ICCV 2019: Chamfer similarity of regions"
    reads_photos = True

    n: int = parameter(50, 1, 1000, "candidates that are compared")
    weight: float = parameter(1, 0, 100, "what the match weighs; the score before: 1")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Compare the query's places with those of the first candidates."""
        return rescored_by_photos(
            ranked,
            self.n,
            self.name,
            patch_map_of,
            self.scores,
            kept=_KEPT,
            progress=progress,
        )

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of the maps of all photos, and of comparing them."""
        n_queries, n_gallery = n_read(ranked, self.n)
        n_photos = n_queries + n_gallery
        n_pairs = n_queries * min(self.n, ranked.ranking.ids.shape[1])
        return Cost(
            n_photos * _SECONDS_PER_PHOTO / usable_cores() + n_pairs * _SECONDS_PER_PAIR,
            min(n_gallery, _KEPT) * _MAP_BYTES / 1e6,
            n_photos,
        )

    def scores(
        self, query: PatchMap, candidates: Sequence[PatchMap | None], scores: Scores
    ) -> Scores:
        """Return the new scores (m,) of candidates; None stands for photos that fail."""
        matches = np.array(
            [np.nan if photo is None else best_match(query, photo) for photo in candidates]
        )
        if np.isnan(matches).all():
            return scores
        # A photo that cannot be read is neither better nor worse for it.
        matches = np.where(np.isnan(matches), np.nanmean(matches), matches)
        return np.asarray((scores + self.weight * matches) / (1 + self.weight), dtype=np.float32)
