"""Accepting submissions: folders that are run, and answer arrays."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from shoplens.answers.answer import check_answer, read_answer
from shoplens.answers.ranking_files import reranking_class
from shoplens.challenge.registry.copies import store_copy
from shoplens.challenge.registry.ground_truth import require_unchanged
from shoplens.challenge.registry.instants import day_of, for_people, to_text
from shoplens.challenge.registry.names import clean_name, clean_tag
from shoplens.challenge.registry.queue import Kind
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.teams import find_team
from shoplens.challenge.registry.terms import Round, Terms, read_terms
from shoplens.challenge.submission import read_submission
from shoplens.datasets.dataset import read_dataset
from shoplens.errors import ChallengeError

ANSWER = "answer.npy"
"""The name of an answer array in its copy."""
ANSWER_TAG = "answer array"
"""The tag of submissions that are not run, so that everybody sees it."""
RERANKING_TAG = "{} re-ranking"
"""The tag of saved rankings that say that they were re-ranked, with its class: `gallery-side` or
`batch-side`. The rules name the latter."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a team is told about its submission."""

    id: int
    round: str
    content: str
    """Hash of what was submitted."""
    left_today: int
    """How many more the team may send in on this UTC day."""
    same_as: tuple[int, ...]
    """Earlier submissions of the team with the same contents."""


def submit(
    registry: Registry,
    folder: Path,
    team: str,
    *,
    now: datetime,
    label: str | None = None,
    tags: Sequence[str] = (),
    who: str | None = None,
) -> Receipt:
    """Accept a submission: copy its folder and put it into the queue.

    Args:
        registry: the challenge.
        folder: the submission, as the starter kit lays it out.
        team: who submits it.
        now: the time it counts as submitted at.
        label: what the team calls it; None takes the folder's name.
        tags: what it uses, as in `external data`.
        who: for the trail; None takes the user's name.

    Raises:
        ChallengeError: no round is running, or the team has used up the day's submissions.
        DataError: no such team, or the folder is not a submission.
        MissingError: the folder, or a file that it needs, is not there.
    """
    submission = read_submission(folder)
    label = clean_name(submission.folder.name if label is None else label, "label")

    def copied(_terms: Terms) -> str:
        return store_copy(submission.folder, registry.submissions)

    return _take_in(registry, "folder", copied, team, label, tags, now, who)


def submit_answer(
    registry: Registry,
    file: Path,
    team: str,
    *,
    now: datetime,
    label: str | None = None,
    tags: Sequence[str] = (),
    who: str | None = None,
) -> Receipt:
    """Accept an answer array that the team made on its own machine, and put it into the queue.

    It is checked first: a faulty one is refused and does not count.

    Args:
        registry: the challenge.
        file: the answer, as `shoplens.answers.answer.read_answer` reads it.
        team: who submits it.
        now: the time it counts as submitted at.
        label: what the team calls it; None takes the file's name.
        tags: what it uses; `answer array` is added, and to a saved ranking that was re-ranked
            `gallery-side re-ranking` or `batch-side re-ranking`.
        who: for the trail; None takes the user's name.

    Raises:
        ChallengeError: the challenge takes no answer arrays, no round is running, or the team has
            used up the day's submissions.
        RankingError: the file is no answer, or a faulty one; the message has every finding.
        DataError: no such team, or the ground truth has changed.
        MissingError: the file or the ground truth is not there.
    """
    label = clean_name(file.stem if label is None else label, "label")

    def copied(terms: Terms) -> str:
        require_unchanged(terms.data, terms.table_hashes)
        dataset = read_dataset(terms.data)
        query_ids = dataset.queries.ids
        array = read_answer(file, query_ids)
        check_answer(array, query_ids, dataset.gallery.ids, terms.policy).require()
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / ANSWER, array, allow_pickle=False)
            return store_copy(Path(folder), registry.submissions)

    reranked = reranking_class(file)
    known = [ANSWER_TAG, *([] if reranked is None else [RERANKING_TAG.format(reranked)])]
    return _take_in(registry, "answer", copied, team, label, (*tags, *known), now, who)


def require_admitted(registry: Registry, team: str, *, now: datetime) -> None:
    """Check that a team may hand in something now, before anything of it is looked at.

    Raises:
        ChallengeError: no round is running, or the team has used up the day's submissions.
        DataError: no such team.
    """
    with registry.database.reading() as connection:
        _admit(connection, "folder", team, now)


def _take_in(
    registry: Registry,
    kind: Kind,
    copied: Callable[[Terms], str],
    team: str,
    label: str,
    tags: Sequence[str],
    now: datetime,
    who: str | None,
) -> Receipt:
    """Put a submission into the queue; `copied` copies it and returns the hash of the copy."""
    tags = [clean_tag(tag) for tag in tags]
    registry.database.upgrade(now, who)
    with registry.database.reading() as connection:
        _admit(connection, kind, team, now)
        terms = read_terms(connection)
    content = copied(terms)
    with registry.database.change(now, who) as change:
        # Again, now that no other can come in between.
        row, round, left = _admit(change.connection, kind, team, now)
        same = change.execute(
            "SELECT id FROM submissions WHERE team_id = ? AND content = ? ORDER BY id",
            (row["id"], content),
        )
        same_as = tuple(one["id"] for one in same)
        number = change.execute(
            "INSERT INTO submissions (team_id, round_id, label, content, submitted, state, kind) "
            "VALUES (?, (SELECT id FROM rounds WHERE name = ?), ?, ?, ?, 'queued', ?)",
            (row["id"], round.name, label, content, change.at, kind),
        ).lastrowid
        for tag in dict.fromkeys(tags):
            change.execute("INSERT INTO tags VALUES (?, ?)", (number, tag))
        change.record("submitted", submission=number, team=row["name"], content=content)
    return Receipt(int(number or 0), round.name, content, left - 1, same_as)


def _admit(
    connection: sqlite3.Connection, kind: Kind, team: str, now: datetime
) -> tuple[sqlite3.Row, Round, int]:
    """Return the team, the round that is on and how many the team may still send in today."""
    terms = read_terms(connection)
    row = find_team(connection, team)
    round = _round_on(terms, now)
    if kind == "answer" and not terms.accepts_answers:
        raise ChallengeError(
            "this challenge runs what teams submit, and takes no answer arrays: hand in a folder "
            "(`shoplens challenge new` writes one)"
        )
    begin, end = day_of(now)
    attempts, counted = connection.execute(
        "SELECT count(*), total(counted) FROM submissions "
        "WHERE team_id = ? AND submitted >= ? AND submitted < ?",
        (row["id"], to_text(begin), to_text(end)),
    ).fetchone()
    left = min(round.per_day - int(counted), round.max_attempts - attempts)
    if left <= 0:
        used, allowed, with_those = int(counted), round.per_day, ""
        if used < allowed:
            used, allowed = attempts, round.max_attempts
            with_those = " with those that could not be started"
        raise ChallengeError(
            f"team {row['name']!r} handed in {used} submissions{with_those} on "
            f"{begin:%Y-%m-%d} (UTC), and {allowed} a day are allowed: the next day begins "
            f"{for_people(end)}"
        )
    return row, round, left


def _round_on(terms: Terms, now: datetime) -> Round:
    if (round := terms.round_at(now)) is not None:
        return round
    if terms.is_over(now):
        raise ChallengeError(f"the challenge ended {for_people(terms.ends)}")
    following = [one for one in terms.rounds if one.starts > now]
    ahead = (
        f"round {following[0].name!r} begins {for_people(following[0].starts)}"
        if following
        else "no later round follows"
    )
    raise ChallengeError(f"no round is running at {for_people(now)}: {ahead}")
