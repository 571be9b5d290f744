"""The queue: which worker runs which submission.

A worker claims a submission for a short while, its lease, and extends the lease while it works.
When it is killed the lease runs out, and the next worker takes the submission again. Whoever lost
its claim cannot write a result any more, so each submission gets exactly one.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from shoplens.challenge.registry.database import Change, Database
from shoplens.challenge.registry.instants import from_text, to_text
from shoplens.challenge.registry.submission_rows import find_submission
from shoplens.challenge.registry.terms import Round, read_terms
from shoplens.errors import ChallengeError
from shoplens.evaluation.formulas import PerQuery

LEASE = timedelta(seconds=30)
"""How long a claim holds without being extended."""

MAX_DEATHS = 3
"""A submission is given up after this many workers died while they ran it."""

HARNESS_FAILED = "harness_failed"
"""The verdict on a submission that was not run, through no fault of its own."""

_WAITING = "(state = 'queued' OR (state = 'running' AND lease_until <= ?))"


Kind = Literal["folder", "answer"]
"""What was submitted: a folder that is run, or an answer array."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A submission that one worker has taken."""

    number: int
    """Of the submission."""
    attempt: int
    """The number of this attempt, from 1; it tells the claim from earlier ones."""
    team: str
    label: str
    content: str
    kind: Kind
    round: Round
    worker: str


@dataclass(frozen=True, slots=True, eq=False)
class SubmissionOutcome:
    """The result of a run."""

    verdict: str
    """See `shoplens.challenge.running`, or `HARNESS_FAILED`."""
    reason: str
    counted: bool
    """Whether it counts towards the daily limit."""
    seconds: float | None = None
    """Wall-clock time."""
    peak_memory_mb: float | None = None
    """In 10^6 bytes."""
    run: str | None = None
    """Name of the run's folder below `runs`."""
    record: str | None = None
    """JSON, as `shoplens challenge run --json` writes it."""
    ap: PerQuery | None = None
    """(s,) AP@1000 of each scored query, in the order of the split."""


def count_waiting(database: Database, now: datetime) -> int:
    """Return how many submissions wait for a worker, those of dead workers included."""
    with database.reading() as connection:
        return _count_waiting(connection, now)


def _count_waiting(connection: sqlite3.Connection, now: datetime) -> int:
    return int(
        connection.execute(
            f"SELECT count(*) FROM submissions WHERE {_WAITING}", (to_text(now),)
        ).fetchone()[0]
    )


@dataclass(frozen=True, slots=True)
class Held:
    """A submission that some worker has."""

    number: int
    worker: str
    until: datetime
    """When other workers can take it, unless the worker extends its claim."""


def list_held(database: Database) -> tuple[Held, ...]:
    """Return the submissions that workers have, those of workers that died included."""
    with database.reading() as connection:
        rows = connection.execute("SELECT * FROM submissions WHERE state = 'running' ORDER BY id")
        return tuple(Held(row["id"], row["worker"], from_text(row["lease_until"])) for row in rows)


def claim(
    database: Database, worker: str, *, now: datetime, lease: timedelta = LEASE
) -> Claim | None:
    """Take the submission that has waited longest; None when none waits.

    No two workers get the same one. A submission whose worker died is taken again. After
    `MAX_DEATHS` deaths it has failed, which does not count towards the team's daily limit.
    """
    if not count_waiting(database, now):
        return None
    with database.change(now, worker) as change:
        while row := change.execute(
            "SELECT submissions.*, teams.name AS team, rounds.name AS round FROM submissions "
            "JOIN teams ON teams.id = team_id JOIN rounds ON rounds.id = round_id "
            f"WHERE {_WAITING} ORDER BY submissions.id LIMIT 1",
            (change.at,),
        ).fetchone():
            deaths = row["deaths"] + (row["state"] == "running")
            if deaths < MAX_DEATHS:
                return _take(change, row, deaths, worker, now + lease)
            reason = f"its worker died {deaths} times while it ran"
            _close(change, row["id"], SubmissionOutcome(HARNESS_FAILED, reason, counted=False))
    return None


def extend(database: Database, mine: Claim, *, now: datetime, lease: timedelta = LEASE) -> bool:
    """Extend a claim; False when it is lost."""
    with database.change(now, mine.worker) as change:
        return (
            change.execute(
                "UPDATE submissions SET lease_until = ? "
                "WHERE id = ? AND attempt = ? AND state = 'running'",
                (to_text(now + lease), mine.number, mine.attempt),
            ).rowcount
            > 0
        )


def finish(database: Database, mine: Claim, outcome: SubmissionOutcome, *, now: datetime) -> bool:
    """Store the result of a run; False, and nothing is stored, when the claim is lost."""
    with database.change(now, mine.worker) as change:
        if not _is_held(change, mine):
            return False
        _close(change, mine.number, outcome)
        return True


def give_back(database: Database, mine: Claim, *, now: datetime) -> None:
    """Put a claimed submission back into the queue, as if it had not been taken."""
    with database.change(now, mine.worker) as change:
        if _is_held(change, mine):
            change.execute(
                "UPDATE submissions SET state = 'queued', worker = NULL, lease_until = NULL "
                "WHERE id = ?",
                (mine.number,),
            )
            change.record("run broken off", submission=mine.number, attempt=mine.attempt)


def retry(database: Database, number: int, *, now: datetime, who: str | None = None) -> None:
    """Put a submission back into the queue that the harness failed to run; its date stays.

    Raises:
        DataError: no such submission.
        ChallengeError: it is waiting, or it ended by itself, so its result stands.
    """
    with database.change(now, who) as change:
        row = find_submission(change.connection, number)
        if row["state"] != "failed":
            raise ChallengeError(
                f"submission {number} is {row['state']}"
                + (f" ({row['verdict']}): its result stands" if row["verdict"] else "")
            )
        change.execute(
            # It counts again: else the team could send in another one in its place meanwhile.
            "UPDATE submissions SET state = 'queued', deaths = 0, finished = NULL, verdict = NULL, "
            "reason = NULL, counted = 1 WHERE id = ?",
            (number,),
        )
        change.record("to be tried again", submission=number)


def _take(change: Change, row: sqlite3.Row, deaths: int, worker: str, until: datetime) -> Claim:
    rounds = {one.name: one for one in read_terms(change.connection).rounds}
    attempt = row["attempt"] + 1
    change.execute(
        "UPDATE submissions SET state = 'running', attempt = ?, deaths = ?, worker = ?, "
        "lease_until = ? WHERE id = ?",
        (attempt, deaths, worker, to_text(until), row["id"]),
    )
    change.record("run begun", submission=row["id"], attempt=attempt)
    return Claim(
        row["id"],
        attempt,
        row["team"],
        row["label"],
        row["content"],
        row["kind"],
        rounds[row["round"]],
        worker,
    )


def _is_held(change: Change, mine: Claim) -> bool:
    return (
        change.execute(
            "SELECT 1 FROM submissions WHERE id = ? AND attempt = ? AND state = 'running' "
            "AND worker = ?",
            (mine.number, mine.attempt, mine.worker),
        ).fetchone()
        is not None
    )


def _close(change: Change, number: int, outcome: SubmissionOutcome) -> None:
    change.execute(
        "UPDATE submissions SET state = ?, lease_until = NULL, finished = ?, counted = ?, "
        "verdict = ?, reason = ?, seconds = ?, peak_memory_mb = ?, run = ?, record = ?, ap = ? "
        "WHERE id = ?",
        (
            "failed" if outcome.verdict == HARNESS_FAILED else "done",
            change.at,
            outcome.counted,
            outcome.verdict,
            outcome.reason,
            outcome.seconds,
            outcome.peak_memory_mb,
            outcome.run,
            outcome.record,
            None if outcome.ap is None else np.asarray(outcome.ap, dtype="<f8").tobytes(),
            number,
        ),
    )
    change.record("run ended", submission=number, verdict=outcome.verdict, counted=outcome.counted)
