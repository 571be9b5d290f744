"""The terms of a challenge: its data, dates, rounds and limits."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from shoplens.challenge.registry.database import Database
from shoplens.challenge.registry.instants import for_people, from_text, to_text
from shoplens.challenge.registry.names import fold
from shoplens.challenge.sandbox.limits import Limits
from shoplens.errors import ChallengeError, DataError
from shoplens.json_text import parse_json

ATTEMPTS = 4
"""Attempts a day for each submission that may count, where a round does not say how many."""

Policy = Literal["strict", "lenient"]
"""How answers are checked, see `shoplens.answers.answer`."""


@dataclass(frozen=True, slots=True)
class Round:
    """A part of a challenge, with its own dates and limits."""

    name: str
    starts: datetime
    ends: datetime
    """The first moment that is no longer in it."""
    per_day: int
    """Submissions of a team on one UTC day."""
    limits: Limits = field(default_factory=Limits)
    """Of a run."""
    attempts_per_day: int | None = None
    """Submissions of a team on one UTC day with those that do not count, as they did not start;
    None for `ATTEMPTS` times as many as count."""

    @property
    def max_attempts(self) -> int:
        """How many submissions a team may hand in on one UTC day, counted or not."""
        return self.attempts_per_day or ATTEMPTS * self.per_day

    def holds(self, moment: datetime) -> bool:
        """Whether a moment lies in the round."""
        return self.starts <= moment < self.ends


@dataclass(frozen=True, slots=True)
class Terms:
    """What was fixed when the challenge was created."""

    title: str
    created: datetime
    data: Path
    """The labelled set, an absolute path."""
    table_hashes: Mapping[str, str]
    """sha256 of the bytes of `gallery.csv` and `queries.csv`."""
    n_queries: int
    n_gallery: int
    seed: int
    public_share: float
    """The share of queries asked for on the public side."""
    starts: datetime
    ends: datetime
    """From this moment on, private scores are shown and no submission is accepted."""
    data_deadline: datetime
    """External data declared from this moment on are late."""
    selections: int
    """How many submissions a team may select for the final ranking."""
    places: int
    """How many places win a prize."""
    policy: Policy
    accepts_answers: bool
    """Whether teams may hand in answer arrays, besides submissions that are run."""
    rounds: tuple[Round, ...]
    """In order of time; they do not overlap."""

    def is_over(self, now: datetime) -> bool:
        """Whether the end has come, and with it the private scores."""
        return now >= self.ends

    def round_at(self, now: datetime) -> Round | None:
        """Return the round that is on, None between rounds and outside the challenge."""
        return next((one for one in self.rounds if one.holds(now)), None)

    def latest_round(self, now: datetime) -> Round:
        """Return the round that is on or was last, the first one before it begins."""
        begun = [one for one in self.rounds if one.starts <= now]
        return begun[-1] if begun else self.rounds[0]


def read_terms(connection: sqlite3.Connection) -> Terms:
    """Read the terms and rounds from a challenge's file."""
    row = connection.execute("SELECT * FROM challenge").fetchone()
    rounds = connection.execute("SELECT * FROM rounds ORDER BY starts")
    return Terms(
        title=row["title"],
        created=from_text(row["created"]),
        data=Path(row["data"]),
        table_hashes={
            "gallery.csv": row["gallery_sha256"],
            "queries.csv": row["queries_sha256"],
        },
        n_queries=row["n_queries"],
        n_gallery=row["n_gallery"],
        seed=row["seed"],
        public_share=row["public_share"],
        starts=from_text(row["starts"]),
        ends=from_text(row["ends"]),
        data_deadline=from_text(row["data_deadline"]),
        selections=row["selections"],
        places=row["places"],
        policy=row["policy"],
        accepts_answers=bool(row["accepts_answers"]),
        rounds=tuple(
            Round(
                one["name"],
                from_text(one["starts"]),
                from_text(one["ends"]),
                one["per_day"],
                parse_json(one["limits"], Limits, f"the limits of round {one['name']!r}"),
                one["attempts_per_day"],
            )
            for one in rounds
        ),
    )


def check_dates(
    starts: datetime, ends: datetime, data_deadline: datetime, rounds: Sequence[Round]
) -> None:
    """Check that dates do not contradict each other.

    Raises `DataError` that names the two dates.
    """
    if ends <= starts:
        raise DataError(
            f"the end, {for_people(ends)}, is not after the start, {for_people(starts)}"
        )
    if not starts <= data_deadline <= ends:
        raise DataError(
            f"the deadline for declaring data, {for_people(data_deadline)}, is outside the "
            f"challenge, {for_people(starts)} to {for_people(ends)}"
        )
    if len({fold(one.name) for one in rounds}) < len(rounds):
        raise DataError("two rounds have the same name")
    before: Round | None = None
    for one in sorted(rounds, key=lambda one: one.starts):
        if one.ends <= one.starts:
            raise DataError(
                f"round {one.name!r} ends, {for_people(one.ends)}, before it begins, "
                f"{for_people(one.starts)}"
            )
        if one.starts < starts or one.ends > ends:
            raise DataError(
                f"round {one.name!r}, {for_people(one.starts)} to {for_people(one.ends)}, is "
                f"outside the challenge, {for_people(starts)} to {for_people(ends)}"
            )
        if before is not None and one.starts < before.ends:
            raise DataError(
                f"round {one.name!r} begins, {for_people(one.starts)}, before round "
                f"{before.name!r} ends, {for_people(before.ends)}"
            )
        before = one


def move_end(database: Database, ends: datetime, *, now: datetime, who: str | None = None) -> Terms:
    """Move the end of a challenge.

    Rounds that would begin after the end are dropped, the last one that is left ends with the
    challenge.

    Raises:
        ChallengeError: the challenge is over, so private scores have been shown.
        DataError: the new end is in the past, or before the start.
    """
    with database.change(now, who) as change:
        terms = read_terms(change.connection)
        if terms.is_over(now):
            raise ChallengeError(
                f"the challenge ended {for_people(terms.ends)} and private scores are public: that "
                "cannot be undone"
            )
        if ends < now:
            raise DataError(f"the new end, {for_people(ends)}, is in the past")
        if ends <= terms.rounds[0].starts:
            raise DataError(
                f"the new end, {for_people(ends)}, is not after the start of the first round, "
                f"{for_people(terms.rounds[0].starts)}"
            )
        end = to_text(ends)
        change.execute(
            "UPDATE challenge SET ends = ?1, data_deadline = min(data_deadline, ?1)", (end,)
        )
        change.execute("DELETE FROM rounds WHERE starts >= ?", (end,))
        change.execute(
            "UPDATE rounds SET ends = ? WHERE starts = (SELECT max(starts) FROM rounds)", (end,)
        )
        change.record("end moved", before=to_text(terms.ends), after=end)
        return read_terms(change.connection)
