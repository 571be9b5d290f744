"""Boards made by hand, for the tests of the leaderboard and of the site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from shoplens.challenge.leaderboard import Board, Entry, Note, Seeker, Side, TeamCard

START = datetime(2026, 3, 1, 9, tzinfo=timezone.utc)


def entry(
    number: int,
    team: str,
    precision: Sequence[float] | np.ndarray | None,
    *,
    hours: float | None = None,
    selected: bool = False,
    verdict: str = "ok",
    label: str = "",
    tags: tuple[str, ...] = (),
    notes: tuple[Note, ...] = (),
    record: Mapping[str, Any] | None = None,
    run: Path | None = None,
) -> Entry:
    """A submission, by default sent in `number` hours after the start."""
    return Entry(
        submission_id=number,
        team=team,
        label=label or f"try {number}",
        submitted=START + timedelta(hours=number if hours is None else hours),
        precision=None if precision is None else np.array(precision, dtype=np.float64),
        seconds=12.5 if verdict == "ok" else float("nan"),
        peak_memory_mb=812.0 if verdict == "ok" else float("nan"),
        tags=tags,
        verdict=verdict,
        run=run,
        selected=selected,
        notes=notes,
        record=record or {},
    )


def board(
    *entries: Entry,
    side: Side = "public",
    groups: Sequence[int] | np.ndarray | None = None,
    sealed: bool = True,
    pages: Mapping[str, str] | None = None,
    teams: tuple[TeamCard, ...] = (),
    seekers: tuple[Seeker, ...] = (),
    title: str = "Autumn",
    updated: datetime | None = None,
    ends: datetime | None = None,
    round: str = "",
    deciding_round: str = "",
) -> Board:
    """A board; by default each query is of a product of its own."""
    lengths = [len(e.precision) for e in entries if e.precision is not None]
    products = np.arange(lengths[0] if lengths else 4) if groups is None else np.array(groups)
    return Board(
        title=title,
        side=side,
        groups=products.astype(np.int64),
        entries=entries,
        pages=pages or {},
        sealed=sealed,
        places=3,
        n_queries=len(products),
        n_gallery=2600,
        teams=teams,
        seekers=seekers,
        updated=updated,
        ends=ends,
        round=round,
        deciding_round=deciding_round,
    )


def spread(mean: float, n: int = 60) -> np.ndarray:
    """AP values around a mean, always the same ones."""
    return mean + 0.1 * np.sin(np.arange(n))
