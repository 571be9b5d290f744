"""Fusion: one ranking from those of several models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from shoplens.errors import RankingError
from shoplens.ranking import Ranking

_RANK_CONSTANT = 60
"""k of reciprocal rank fusion, as published."""

Fusion = Literal["scores", "ranks"]
"""What is added up."""


def fuse(
    rankings: Sequence[Ranking],
    *,
    weights: Sequence[float] | None = None,
    by: Fusion = "scores",
) -> Ranking:
    """Combine rankings of the same queries and the same gallery, of several models or chains.

    `scores` adds the scores, each row's scaled to 0..1 first (CombSUM: Fox and Shaw, TREC-2, 1994).
    `ranks` adds 1 / (60 + rank) (reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009).
    A photo that a row does not hold adds 0. A row is combined with the rows of the same query
    alone, so rankings by gallery-side chains stay gallery-side.

    Args:
        rankings: two or more, with rows of one length.
        weights: what each counts; None for 1 each.
        by: what is added.

    Returns:
        A ranking of the same shape; equal sums are in the order of the first ranking.

    Raises `RankingError` if the rankings do not fit together.
    """
    if len(rankings) < 2:
        raise RankingError(f"fusion takes two rankings or more, got {len(rankings)}")
    factors = [1.0] * len(rankings) if weights is None else [float(one) for one in weights]
    if len(factors) != len(rankings) or not all(np.isfinite(f) and f > 0 for f in factors):
        raise RankingError(f"{len(rankings)} rankings need as many weights above 0; got {weights}")
    first = rankings[0]
    for ranking in rankings:
        _require_alike(first, ranking, by)
    ids, scores = np.empty_like(first.ids), np.empty(first.ids.shape, dtype=np.float32)
    for row in range(len(first)):
        ids[row], scores[row] = _fused_row(rankings, factors, by, row)
    told = [" + ".join(ranking.chain) for ranking in rankings]
    return replace(
        first,
        ids=ids,
        scores=scores,
        model_name=" and ".join(dict.fromkeys(str(r.model_name) for r in rankings)),
        fingerprint=first.fingerprint
        if len({ranking.fingerprint for ranking in rankings}) == 1
        else None,
        chain=(*(f"{f:g} x ({one})" for f, one in zip(factors, told, strict=True)), f"fuse:{by}"),
        batch_side=any(ranking.batch_side for ranking in rankings),
        n_failed={
            side: max(ranking.n_failed.get(side, 0) for ranking in rankings)
            for side in ("queries", "gallery")
        },
        seconds={},
    )


def _require_alike(first: Ranking, other: Ranking, by: Fusion) -> None:
    if not np.array_equal(first.query_ids, other.query_ids):
        raise RankingError("the rankings are for other queries, or for the same in another order")
    if first.ids.shape != other.ids.shape:
        raise RankingError(f"rows of {first.ids.shape[1]} and {other.ids.shape[1]} photos differ")
    if by == "scores" and other.scores is None:
        raise RankingError("a ranking has no scores; fuse by ranks, or save rankings as .npz")
    if first.blank is not None or other.blank is not None:
        raise RankingError("rankings with blank places cannot be fused")


def _fused_row(
    rankings: Sequence[Ranking], factors: Sequence[float], by: Fusion, row: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    k = rankings[0].ids.shape[1]
    every = np.concatenate([ranking.ids[row] for ranking in rankings])
    _, firsts, place = np.unique(every, return_index=True, return_inverse=True)
    parts = [
        factor * (1 / (_RANK_CONSTANT + 1 + np.arange(k)) if by == "ranks" else _scaled(r, row))
        for factor, r in zip(factors, rankings, strict=True)
    ]
    values = np.concatenate(parts)
    compared = np.isfinite(values)
    sums = np.zeros(len(firsts), dtype=np.float64)
    np.add.at(sums, place[compared], values[compared])
    # What no ranking could compare stays behind the rest.
    sums[np.bincount(place[compared], minlength=len(firsts)) == 0] = -np.inf
    order = np.lexsort((firsts, -sums))[:k]
    return every[firsts[order]], sums[order]


def _scaled(ranking: Ranking, row: int) -> npt.NDArray[np.float64]:
    """Return a row's scores from 0 (its lowest) to 1 (its highest); -inf stays."""
    assert ranking.scores is not None
    scores: npt.NDArray[np.float64] = ranking.scores[row].astype(np.float64)
    compared = np.isfinite(scores)
    if compared.any():
        lowest = scores[compared][-1]
        width = scores[0] - lowest
        scores[compared] = (scores[compared] - lowest) / width if width > 0 else 1
    return scores
