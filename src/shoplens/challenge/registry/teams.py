"""Teams, their members, and the list of people who look for team mates."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from shoplens.challenge.leaderboard import Seeker
from shoplens.challenge.registry.database import Change, Database
from shoplens.challenge.registry.instants import from_text
from shoplens.challenge.registry.lookalikes import look_alike, require_one_script
from shoplens.challenge.registry.names import clean_name, clean_text, fold, meant
from shoplens.challenge.registry.terms import read_terms
from shoplens.errors import ChallengeError, DataError


@dataclass(frozen=True, slots=True)
class Team:
    """A team and who is in it."""

    id: int
    name: str
    founded: datetime
    members: tuple[str, ...]
    """In the order in which they joined."""


def add_team(
    database: Database,
    name: str,
    members: tuple[str, ...] = (),
    *,
    now: datetime,
    who: str | None = None,
) -> None:
    """Add a team.

    Raises:
        DataError: a name is faulty, taken (upper and lower case are the same name), looks like
            another team's, or mixes alphabets in a word.
        ChallengeError: a member is in a team already, or the challenge is over.
    """
    name = clean_name(name, "team")
    require_one_script(name, "team")
    with database.change(now, who) as change:
        _require_open(change, now)
        for one in change.execute("SELECT name, folded FROM teams"):
            if one["folded"] == fold(name):
                raise DataError(f"there is a team {one['name']!r} already: choose another name")
            if look_alike(one["name"], name):
                raise DataError(
                    f"{name!r} looks like the name of team {one['name']!r}: choose another name"
                )
        change.execute(
            "INSERT INTO teams (name, folded, founded) VALUES (?, ?, ?)",
            (name, fold(name), change.at),
        )
        change.record("team added", team=name)
        for member in members:
            _add_member(change, name, member)


def join_team(
    database: Database, team: str, member: str, *, now: datetime, who: str | None = None
) -> None:
    """Put a person into a team, and take them off the list of people who look for one.

    Raises:
        DataError: no such team, or the name is faulty.
        ChallengeError: the person is in a team already, or the challenge is over.
    """
    with database.change(now, who) as change:
        _require_open(change, now)
        _add_member(change, team, member)


def leave_team(
    database: Database, team: str, member: str, *, now: datetime, who: str | None = None
) -> None:
    """Take a person out of a team. The team and its submissions stay.

    Raises:
        DataError: no such team, or the person is not in it.
        ChallengeError: the challenge is over.
    """
    with database.change(now, who) as change:
        _require_open(change, now)
        row = find_team(change.connection, team)
        members = change.execute("SELECT name FROM members WHERE team_id = ?", (row["id"],))
        names = {fold(one["name"]): one["name"] for one in members}
        if fold(member) not in names:
            raise DataError(
                f"team {row['name']!r} has no member {member!r}{meant(member, names.values())}"
            )
        change.execute("DELETE FROM members WHERE folded = ?", (fold(member),))
        change.record("member left", team=row["name"], member=names[fold(member)])


def list_teams(database: Database) -> tuple[Team, ...]:
    """Return the teams in the order in which they were added."""
    with database.reading() as connection:
        return read_teams(connection)


def read_teams(connection: sqlite3.Connection) -> tuple[Team, ...]:
    """Return the teams, inside a transaction."""
    members: dict[int, list[str]] = {}
    for row in connection.execute("SELECT team_id, name FROM members ORDER BY id"):
        members.setdefault(row["team_id"], []).append(row["name"])
    return tuple(
        Team(row["id"], row["name"], from_text(row["founded"]), tuple(members.get(row["id"], ())))
        for row in connection.execute("SELECT * FROM teams ORDER BY id")
    )


def find_team(connection: sqlite3.Connection, name: str) -> sqlite3.Row:
    """Return a team's row, inside a transaction.

    Raises `DataError` when there is none of that name.
    """
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM teams WHERE folded = ?", (fold(name),)
    ).fetchone()
    if row is None:
        known = [one["name"] for one in connection.execute("SELECT name FROM teams")]
        raise DataError(f"there is no team {name!r}{meant(name, known)}")
    return row


def seek(
    database: Database,
    name: str,
    contact: str,
    about: str,
    *,
    now: datetime,
    who: str | None = None,
) -> None:
    """Put a person, or a team, on the public list of those who look for team mates.

    An earlier entry of the same name is replaced.

    Raises:
        DataError: a name or text is empty, too long or holds invisible characters.
        ChallengeError: the person is in a team, or the challenge is over.
    """
    name = clean_name(name, "name")
    contact = clean_text(contact, "contact")
    about = clean_text(about, "about")
    with database.change(now, who) as change:
        _require_open(change, now)
        team = _team_of(change, name)
        if team is not None:
            raise ChallengeError(
                f"{name} is in team {team!r}; the team can look for more, under its own name"
            )
        change.execute("DELETE FROM seekers WHERE folded = ?", (fold(name),))
        change.execute(
            "INSERT INTO seekers (name, folded, contact, about, posted) VALUES (?, ?, ?, ?, ?)",
            (name, fold(name), contact, about, change.at),
        )
        change.record("seeking team mates", name=name)


def stop_seeking(database: Database, name: str, *, now: datetime, who: str | None = None) -> None:
    """Take somebody off the list of those who look for team mates.

    Raises `DataError` when they are not on it.
    """
    with database.change(now, who) as change:
        if not _remove_seeker(change, name):
            known = [one["name"] for one in change.execute("SELECT name FROM seekers")]
            raise DataError(f"{name!r} is not on the list{meant(name, known)}")


def list_seekers(database: Database) -> tuple[Seeker, ...]:
    """Return who looks for team mates, the latest first."""
    with database.reading() as connection:
        return read_seekers(connection)


def read_seekers(connection: sqlite3.Connection) -> tuple[Seeker, ...]:
    """Return who looks for team mates, inside a transaction."""
    rows = connection.execute("SELECT * FROM seekers ORDER BY posted DESC, id DESC")
    return tuple(
        Seeker(row["name"], row["contact"], row["about"], from_text(row["posted"])) for row in rows
    )


def _add_member(change: Change, team: str, member: str) -> None:
    row = find_team(change.connection, team)
    member = clean_name(member, "member")
    other = _team_of(change, member)
    if other is not None:
        raise ChallengeError(
            f"{member} is in team {other!r} already, and a person can be in one team only: "
            "leave that one first"
        )
    change.execute(
        "INSERT INTO members (team_id, name, folded, joined) VALUES (?, ?, ?, ?)",
        (row["id"], member, fold(member), change.at),
    )
    change.record("member joined", team=row["name"], member=member)
    _remove_seeker(change, member)


def _team_of(change: Change, member: str) -> str | None:
    row = change.execute(
        "SELECT teams.name FROM members JOIN teams ON teams.id = team_id WHERE members.folded = ?",
        (fold(member),),
    ).fetchone()
    return None if row is None else str(row["name"])


def _remove_seeker(change: Change, name: str) -> bool:
    removed = change.execute("DELETE FROM seekers WHERE folded = ?", (fold(name),)).rowcount > 0
    if removed:
        change.record("no longer seeking team mates", name=name)
    return removed


def _require_open(change: Change, now: datetime) -> None:
    if read_terms(change.connection).is_over(now):
        raise ChallengeError("the challenge is over: teams can no longer change")
