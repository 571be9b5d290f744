"""Looking submissions up."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shoplens.challenge.leaderboard import Note
from shoplens.challenge.registry.instants import from_text
from shoplens.challenge.registry.queue import Kind
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.split import read_split
from shoplens.challenge.registry.submission_rows import (
    find_submission,
    read_notes,
    read_record,
    read_tags,
    unpack,
)
from shoplens.challenge.registry.teams import find_team
from shoplens.challenge.registry.terms import read_terms

State = Literal["queued", "running", "done", "failed"]
"""The state of a submission: `failed` through a fault of the harness, `done` otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class SubmissionRecord:
    """What is known of a submission, without what is sealed."""

    id: int
    team: str
    round: str
    label: str
    content: str
    """Hash of its folder, and the name of the copy."""
    kind: Kind
    submitted: datetime
    state: State
    attempt: int
    """How often a worker took it."""
    worker: str | None
    """The worker that runs it or ran it."""
    finished: datetime | None
    counted: bool
    """Whether it counts towards the daily limit."""
    verdict: str | None
    reason: str | None
    seconds: float | None
    """Wall-clock time of its run."""
    peak_memory_mb: float | None
    """In 10^6 bytes."""
    run: Path | None
    """The folder of its run."""
    selected: bool
    """Whether the team named it as a final one."""
    tags: tuple[str, ...]
    notes: tuple[Note, ...]
    public: float | None
    """mAP@1000 on the public side; None where it was not scored."""
    private: float | None
    """The same on the private side; None while that is sealed, too."""
    record: Mapping[str, Any]
    """Its run as `shoplens challenge run --json` writes it; without metrics, which are over both
    sides, while the private side is sealed."""


def list_submissions(
    registry: Registry, now: datetime, *, team: str | None = None, number: int | None = None
) -> tuple[SubmissionRecord, ...]:
    """Return submissions in the order in which they came in.

    Args:
        registry: the challenge.
        now: the time to look at them, which decides what is sealed.
        team: only those of this one.
        number: only the submission with this id.

    Raises `DataError` when there is no such team or submission.
    """
    with registry.database.reading() as connection:
        if team is not None:
            team = find_team(connection, team)["name"]
        if number is not None:
            find_submission(connection, number)
        over = read_terms(connection).is_over(now)
        is_public = read_split(connection).is_public
        rows = connection.execute(
            "SELECT submissions.*, teams.name AS team, rounds.name AS round, "
            "selections.submission_id IS NOT NULL AS selected FROM submissions "
            "JOIN teams ON teams.id = team_id JOIN rounds ON rounds.id = round_id "
            "LEFT JOIN selections ON submission_id = submissions.id "
            "WHERE (?1 IS NULL OR teams.name = ?1) AND (?2 IS NULL OR submissions.id = ?2) "
            "ORDER BY submissions.id",
            (team, number),
        )
        return tuple(_record(connection, registry, row, is_public, over) for row in rows)


def _record(
    connection: sqlite3.Connection,
    registry: Registry,
    row: sqlite3.Row,
    is_public: npt.NDArray[np.bool_],
    over: bool,
) -> SubmissionRecord:
    ap = unpack(row["ap"])
    return SubmissionRecord(
        id=row["id"],
        team=row["team"],
        round=row["round"],
        label=row["label"],
        content=row["content"],
        kind=row["kind"],
        submitted=from_text(row["submitted"]),
        state=row["state"],
        attempt=row["attempt"],
        worker=row["worker"],
        finished=None if row["finished"] is None else from_text(row["finished"]),
        counted=bool(row["counted"]),
        verdict=row["verdict"],
        reason=row["reason"],
        seconds=row["seconds"],
        peak_memory_mb=row["peak_memory_mb"],
        run=None if row["run"] is None else registry.runs / row["run"],
        selected=bool(row["selected"]),
        tags=read_tags(connection, row["id"]),
        notes=read_notes(connection, row["id"]),
        public=None if ap is None else float(ap[is_public].mean()),
        private=None if ap is None or not over else float(ap[~is_public].mean()),
        record=read_record(row, over),
    )
