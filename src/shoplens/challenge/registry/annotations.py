"""Notes and tags of submissions, and which submissions are final."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shoplens.challenge.registry.database import Database
from shoplens.challenge.registry.instants import for_people
from shoplens.challenge.registry.names import clean_tag, clean_text
from shoplens.challenge.registry.submission_rows import find_submission, read_tags
from shoplens.challenge.registry.teams import find_team
from shoplens.challenge.registry.terms import read_terms
from shoplens.errors import ChallengeError, DataError


def add_note(
    database: Database, number: int, text: str, *, now: datetime, who: str | None = None
) -> None:
    """Write a note to a submission.

    Raises `DataError` when there is no such submission, or the text is empty or too long.
    """
    text = clean_text(text, "note")
    with database.change(now, who) as change:
        find_submission(change.connection, number)
        change.execute(
            "INSERT INTO notes (submission_id, written, author, text) VALUES (?, ?, ?, ?)",
            (number, change.at, change.who, text),
        )
        change.record("note written", submission=number)


def change_tags(
    database: Database,
    number: int,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    *,
    now: datetime,
    who: str | None = None,
) -> tuple[str, ...]:
    """Add tags to a submission and remove others; return the tags it then has.

    Raises `DataError` when there is no such submission, a tag is faulty, or a tag to remove is not
    there.
    """
    added, removed = [clean_tag(tag) for tag in add], [clean_tag(tag) for tag in remove]
    with database.change(now, who) as change:
        find_submission(change.connection, number)
        before = read_tags(change.connection, number)
        for tag in removed:
            if tag not in before:
                had = ", ".join(before) or "none"
                raise DataError(f"submission {number} has no tag {tag!r}; it has {had}")
            change.execute("DELETE FROM tags WHERE submission_id = ? AND tag = ?", (number, tag))
        for tag in added:
            change.execute("INSERT OR IGNORE INTO tags VALUES (?, ?)", (number, tag))
        change.record("tags changed", submission=number, added=added, removed=removed)
        return read_tags(change.connection, number)


def select(
    database: Database,
    team: str,
    numbers: Sequence[int],
    *,
    now: datetime,
    who: str | None = None,
) -> None:
    """Name a team's final submissions of a round, in place of those it named before.

    Args:
        database: of the challenge.
        team: whose.
        numbers: of the submissions, all of one round; none removes the choice for the latest
            round.
        now: the time.
        who: for the trail; None takes the user's name.

    Raises:
        DataError: no such team or submission.
        ChallengeError: the challenge is over, these are too many, of several rounds or another
            team's, or one of them has no score.
    """
    chosen = sorted(set(numbers))
    with database.change(now, who) as change:
        terms = read_terms(change.connection)
        if terms.is_over(now):
            raise ChallengeError(
                f"the challenge ended {for_people(terms.ends)}: final submissions "
                "can no longer be chosen"
            )
        row = find_team(change.connection, team)
        found = [find_submission(change.connection, number) for number in chosen]
        for one in found:
            if one["team_id"] != row["id"]:
                raise ChallengeError(f"submission {one['id']} is not one of team {row['name']!r}")
            if one["ap"] is None:
                raise ChallengeError(
                    f"submission {one['id']} has no score ({one['verdict'] or one['state']})"
                )
        if len(chosen) > terms.selections:
            raise ChallengeError(
                f"you named {len(chosen)} submissions; a team may select {terms.selections}"
            )
        rounds = {one["round_id"] for one in found}
        if len(rounds) > 1:
            raise ChallengeError("the submissions are of several rounds: name those of one")
        latest = change.execute(
            "SELECT id FROM rounds WHERE name = ?", (terms.latest_round(now).name,)
        ).fetchone()["id"]
        change.execute(
            "DELETE FROM selections WHERE submission_id IN "
            "(SELECT id FROM submissions WHERE team_id = ? AND round_id = ?)",
            (row["id"], rounds.pop() if rounds else latest),
        )
        for number in chosen:
            change.execute("INSERT INTO selections VALUES (?, ?)", (number, change.at))
        change.record("final submissions named", team=row["name"], submissions=chosen)
