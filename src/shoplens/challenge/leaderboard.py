"""The leaderboard: the rank of each team, and how certain it is.

The registry makes a `Board`, the scored submissions of one side of the split. `standings` turns it
into one `Standing` for each team. `shoplens.evaluation.ties` decides who shares a rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shoplens.errors import RankingError
from shoplens.evaluation.bootstrap import Estimate, estimates
from shoplens.evaluation.formulas import PerQuery
from shoplens.evaluation.ties import SIGNIFICANT, adjusted_p_values

Side = Literal["public", "private"]
"""A side of the split: scores on the public side are shown at once, the private side is sealed."""

FEWEST_PRODUCTS = 6
"""With fewer products on a side, the test of `shoplens.evaluation.ties` cannot tell any teams
apart: of the 2^5 ways to swap 5 products, the 2 most extreme ones alone are more than 5 %."""


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote about a submission."""

    written: datetime
    author: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One submission, as one side of the split scored it."""

    submission_id: int
    team: str
    label: str
    """What the team calls it."""
    submitted: datetime
    """With a time zone."""
    precision: PerQuery | None
    """(q,) float64 AP@1000 of each query of the board's side, NaN for queries without a positive;
    None where the submission was not scored."""
    seconds: float
    """Wall-clock time of its run; NaN where it was not run."""
    peak_memory_mb: float
    """In 10^6 bytes; NaN where it is not known."""
    tags: tuple[str, ...]
    """What it used, as in `external data` or `batch-side re-ranking`."""
    verdict: str
    """How its run ended, `ok` or another word of `shoplens.challenge.running`."""
    run: Path | None
    """The folder of its run, where it was kept."""
    selected: bool
    """Whether it counts on the private side. The registry selects for teams that did not."""
    notes: tuple[Note, ...] = ()
    """Plain text, the earliest first."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """Its run as `shoplens challenge run --json` writes it. Metrics in it are over both sides, so
    what is published is picked field by field (`shoplens.challenge.site`)."""


@dataclass(frozen=True, slots=True)
class ExternalData:
    """External data that a team declared."""

    about: str
    link: str
    declared: datetime
    late: bool = False
    """Whether it was declared after the deadline for it."""


@dataclass(frozen=True, slots=True)
class TeamCard:
    """What is shown of a team."""

    name: str
    members: tuple[str, ...]
    external: tuple[ExternalData, ...] = ()


@dataclass(frozen=True, slots=True)
class Seeker:
    """A person, or a team, that looks for team mates."""

    name: str
    contact: str
    about: str
    posted: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """All submissions to a challenge, as one side of its split scored them."""

    title: str
    side: Side
    groups: npt.NDArray[np.int64]
    """(q,) which product each query of this side belongs to."""
    entries: tuple[Entry, ...]
    pages: Mapping[str, str]
    """Markdown by name: rules, dates, prizes, faq, contact; those the organiser wrote."""
    sealed: bool
    """Whether private scores are still secret."""
    places: int
    """How many places win a prize."""
    n_queries: int
    n_gallery: int
    teams: tuple[TeamCard, ...] = ()
    seekers: tuple[Seeker, ...] = ()
    updated: datetime | None = None
    """When anything shown here last changed; the newest submission's date where it is None."""
    ends: datetime | None = None
    """When the challenge ends, and private scores are shown."""
    round: str = ""
    """Which of several rounds it is of; empty where there is only one."""
    deciding_round: str = ""
    """The last of several rounds, which decides; empty where there is only one."""

    @property
    def as_of(self) -> datetime | None:
        """The date of what is shown; None where nothing happened yet."""
        return self.updated or max((entry.submitted for entry in self.entries), default=None)


@dataclass(frozen=True, slots=True)
class Best:
    """The best score a team had from a moment on."""

    since: datetime
    score: float
    submission_id: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a team stands."""

    entry: Entry
    """The submission that counts."""
    estimate: Estimate
    """mAP@1000 on this side with its 95 % interval by product."""
    place: int
    """Position in the order of scores, from 1; no two teams have the same."""
    rank: int
    """The place of the first of those it shares the rank with."""
    tied: bool
    """Whether another team has the same rank."""
    span: tuple[int, int]
    """The ranks it could truly have: behind all that are shown to be better, ahead of all that are
    shown to be worse."""
    n_submissions: int
    """How many the team sent in, those that failed too."""
    history: tuple[Best, ...]
    """How its best score rose."""
    public: Standing | None = None
    """On the private side, where it stood on the public one."""

    @property
    def shift(self) -> int | None:
        """Places won (positive) or lost between the public and the private side."""
        return None if self.public is None else self.public.place - self.place


def score(entry: Entry) -> float | None:
    """Return a submission's mAP@1000 on its board's side; None where it was not scored."""
    if entry.precision is None or np.isnan(entry.precision).all():
        return None
    return float(entry.precision[~np.isnan(entry.precision)].mean())


def estimate_all(board: Board) -> dict[int, Estimate]:
    """Return the score of each submission of a board that has one, with its interval, by id.

    Raises as `standings` does.
    """
    scored = [entry for entry in board.entries if score(entry) is not None]
    if not scored:
        return {}
    of_scored = estimates(*_counted(scored, board.groups))
    return {entry.submission_id: e for entry, e in zip(scored, of_scored, strict=True)}


def standings(board: Board, public: Sequence[Standing] = ()) -> tuple[Standing, ...]:
    """Rank the teams of a board, best first.

    The best submission of each team counts: on the public side the best of all, on the private side
    the best of those selected, or of all if the team selected none. Equal scores are in the order
    in which they were handed in.

    The best team has rank 1. The next teams share it as long as the test of
    `shoplens.evaluation.ties` cannot tell them from the first team of that rank. The first team
    that it can tell apart opens a new rank, which is its place. Neighbours on either side of such a
    border may be indistinguishable: A like B and B like C does not mean A like C, and ranks have to
    be cut somewhere. `Standing.span` has no such cuts: it counts the teams that were shown to be
    better, and those shown to be worse.

    Args:
        board: one side of the challenge.
        public: the standings of the public side, where `board` is the private one: what the
            shake-up is measured against.

    Raises:
        RankingError: submissions were not scored on the same queries.
    """
    teams: dict[str, list[Entry]] = {}
    for entry in board.entries:
        teams.setdefault(entry.team, []).append(entry)
    counting = [best for entries in teams.values() if (best := _best(entries, board.side))]
    counting.sort(key=_order)
    if not counting:
        return ()
    values, groups = _counted(counting, board.groups)
    scores = estimates(values, groups)
    apart = adjusted_p_values(values, groups) <= SIGNIFICANT
    ranks = _ranks(apart)
    before = {standing.entry.team: standing for standing in public}
    n = len(counting)
    return tuple(
        Standing(
            entry=entry,
            estimate=scores[i],
            place=i + 1,
            rank=ranks[i],
            tied=ranks.count(ranks[i]) > 1,
            span=(1 + int(apart[i, :i].sum()), n - int(apart[i, i + 1 :].sum())),
            n_submissions=len(teams[entry.team]),
            history=_history(teams[entry.team]),
            public=before.get(entry.team),
        )
        for i, entry in enumerate(counting)
    )


def _best(entries: Sequence[Entry], side: Side) -> Entry | None:
    scored = [entry for entry in entries if score(entry) is not None]
    if side == "private":
        scored = [entry for entry in scored if entry.selected] or scored
    return min(scored, key=_order, default=None)


def _order(entry: Entry) -> tuple[float, datetime, int]:
    return -(score(entry) or 0.0), entry.submitted, entry.submission_id


def _counted(
    entries: Sequence[Entry], groups: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the (n, q) precisions and (q,) products of the queries that have a positive."""
    for entry in entries:
        if entry.precision is None or entry.precision.shape != groups.shape:
            raise RankingError(
                f"submission {entry.submission_id} does not have one score for each of the board's "
                f"{len(groups):,} queries"
            )
    values = np.array([entry.precision for entry in entries], dtype=np.float64)
    counted = ~np.isnan(values)
    if (counted != counted[0]).any():
        raise RankingError("the submissions of a board were not scored on the same queries")
    return values[:, counted[0]], np.unique(groups[counted[0]], return_inverse=True)[1]


def _ranks(apart: npt.NDArray[np.bool_]) -> list[int]:
    """Return each team's rank, from which can be told apart, in the order of scores."""
    ranks = [1]
    for i in range(1, len(apart)):
        ranks.append(i + 1 if apart[i, ranks[-1] - 1] else ranks[-1])
    return ranks


def _history(entries: Sequence[Entry]) -> tuple[Best, ...]:
    history: list[Best] = []
    for entry in sorted(entries, key=lambda e: (e.submitted, e.submission_id)):
        value = score(entry)
        if value is not None and (not history or value > history[-1].score):
            history.append(Best(entry.submitted, value, entry.submission_id))
    return tuple(history)
