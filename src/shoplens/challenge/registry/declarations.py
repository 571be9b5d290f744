"""External data that teams declare publicly."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from shoplens.challenge.registry.database import Database
from shoplens.challenge.registry.instants import for_people, from_text
from shoplens.challenge.registry.names import clean_link, clean_text
from shoplens.challenge.registry.teams import find_team
from shoplens.challenge.registry.terms import read_terms
from shoplens.errors import ChallengeError, DataError


@dataclass(frozen=True, slots=True)
class Declaration:
    """External data that a team declared."""

    id: int
    team: str
    link: str
    about: str
    declared: datetime
    late: bool
    """Whether the deadline had passed. The organiser decides what follows from that."""


def declare(
    database: Database,
    team: str,
    link: str,
    about: str,
    *,
    now: datetime,
    who: str | None = None,
) -> Declaration:
    """Declare data that a team uses; after the deadline it is marked as late.

    Raises:
        DataError: no such team, not a web link, an empty or too long text, or the team has
            declared the link before.
        ChallengeError: the challenge is over.
    """
    link, about = clean_link(link), clean_text(about, "about")
    with database.change(now, who) as change:
        terms = read_terms(change.connection)
        if terms.is_over(now):
            raise ChallengeError(
                f"the challenge ended {for_people(terms.ends)}: data can no longer be declared"
            )
        row = find_team(change.connection, team)
        before = change.execute(
            "SELECT declared FROM declarations WHERE team_id = ? AND link = ?", (row["id"], link)
        ).fetchone()
        if before is not None:
            raise DataError(
                f"team {row['name']!r} declared {link} {for_people(from_text(before['declared']))}"
            )
        late = now >= terms.data_deadline
        number = change.execute(
            "INSERT INTO declarations (team_id, link, about, declared, late) "
            "VALUES (?, ?, ?, ?, ?)",
            (row["id"], link, about, change.at, late),
        ).lastrowid
        change.record("data declared", team=row["name"], link=link, late=late)
    return Declaration(int(number or 0), row["name"], link, about, now, late)


def list_declarations(database: Database) -> tuple[Declaration, ...]:
    """Return what was declared, in order of time."""
    with database.reading() as connection:
        return read_declarations(connection)


def read_declarations(connection: sqlite3.Connection) -> tuple[Declaration, ...]:
    """Return what was declared, inside a transaction."""
    rows = connection.execute(
        "SELECT declarations.*, teams.name AS team FROM declarations "
        "JOIN teams ON teams.id = team_id ORDER BY declarations.id"
    )
    return tuple(
        Declaration(
            row["id"],
            row["team"],
            row["link"],
            row["about"],
            from_text(row["declared"]),
            bool(row["late"]),
        )
        for row in rows
    )
