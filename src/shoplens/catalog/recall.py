"""Measure what an approximate search finds of what an exact one finds, and what it costs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplens.catalog.base import Catalog
from shoplens.catalog.entry import PhotoId
from shoplens.errors import CatalogError
from shoplens.hits import SearchResult
from shoplens.progress import Progress, silent
from shoplens.reranking import NONE


@dataclass(frozen=True, slots=True)
class Times:
    """How long searches took, in milliseconds."""

    p50: float
    p99: float

    def to_json(self) -> dict[str, float]:
        """Return the times as `shoplens catalog recall --json` writes them."""
        return {"p50": round(self.p50, 3), "p99": round(self.p99, 3)}


@dataclass(frozen=True, slots=True)
class RecallReport:
    """The usual search beside the exact one."""

    k: int
    where: str | None
    n_photos: int
    """Photos that pass the filter."""
    n_queries: int
    recall: float
    """recall@k: the share of the exact hits that are found, mean over queries."""
    lowest: float
    """The recall of the worst query."""
    n_exact: int
    """Queries that were answered exactly without being asked to: so few photos are faster to
    compare one by one."""
    usual_ms: Times
    exact_ms: Times

    def to_json(self) -> dict[str, Any]:
        """Return the report as `shoplens catalog recall --json` writes it."""
        return {
            "k": self.k,
            "where": self.where,
            "n_photos": self.n_photos,
            "n_queries": self.n_queries,
            "recall": self.recall,
            "lowest": self.lowest,
            "n_exact": self.n_exact,
            "usual_ms": self.usual_ms.to_json(),
            "exact_ms": self.exact_ms.to_json(),
        }


def measure_recall(
    catalog: Catalog,
    *,
    k: int = 100,
    n_queries: int = 200,
    where: str | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> RecallReport:
    """Search for photos of the catalogue in both ways: as usual, and exactly.

    The queries are photos drawn from those that pass the filter. A photo is not looked for among
    its own hits, which would be easy.

    Args:
        catalog: the catalogue.
        k: hits of each query.
        n_queries: photos to draw; all, if there are fewer.
        where: a filter (see `Catalog.search`).
        seed: of the draw.
        progress: told how many queries are done.

    Returns:
        The recall, and the time of both. A hit counts as found if its score is at least that of the
        last exact hit: which of several equal photos comes last does not matter.

    Raises:
        CatalogError: fewer than two photos pass the filter.
        FilterError: `where` is not a filter.
    """
    ids = catalog.ids(where)
    if len(ids) < 2:
        raise CatalogError(
            f"{catalog.uri}: recall needs two photos, and {len(ids)} pass the filter"
            if where
            else f"{catalog.uri}: recall needs two photos, and there are {len(ids)}"
        )
    drawn = np.random.default_rng(seed).permutation(len(ids))[:n_queries].tolist()
    # The first search opens files and fills caches, which is not what is measured.
    _search(catalog, ids[drawn[0]], k, where, exact=False)
    recalls, n_exact = [], 0
    usual_ms, exact_ms = [], []
    for number, row in enumerate(drawn, start=1):
        usual, spent = _search(catalog, ids[row], k, where, exact=False)
        usual_ms.append(spent)
        exact, spent = _search(catalog, ids[row], k, where, exact=True)
        exact_ms.append(spent)
        recalls.append(_recall(usual, exact))
        n_exact += usual.exact
        progress("recall", number, len(drawn))
    return RecallReport(
        k=k,
        where=where,
        n_photos=len(ids),
        n_queries=len(drawn),
        recall=float(np.mean(recalls)),
        lowest=min(recalls),
        n_exact=n_exact,
        usual_ms=_times(usual_ms),
        exact_ms=_times(exact_ms),
    )


def _search(
    catalog: Catalog, photo_id: PhotoId, k: int, where: str | None, *, exact: bool
) -> tuple[SearchResult, float]:
    """Return the hits of a photo and the milliseconds that it took."""
    started = time.perf_counter()
    found = catalog.search(photo_id=photo_id, k=k, where=where, exact=exact, rerank=NONE)
    return found, (time.perf_counter() - started) * 1000


def _recall(usual: SearchResult, exact: SearchResult) -> float:
    last = exact[-1].score
    return sum(hit.score >= last for hit in usual) / len(exact)


def _times(milliseconds: list[float]) -> Times:
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return Times(float(p50), float(p99))
