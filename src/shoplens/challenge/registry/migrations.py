"""Bringing the file of an older version up to date, step by step.

Whoever changes the tables in `schema` appends a step here, adds a fixture of the file as it was
before, and never edits an earlier step: files of every version since 1 are out there.
"""

from __future__ import annotations

import sqlite3

from shoplens.errors import DataError

FIRST = 1
"""The oldest version there is."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (  # From 1 to 2.
        "ALTER TABLE rounds ADD COLUMN attempts_per_day INTEGER CHECK (attempts_per_day > 0)",
    ),
    (  # From 2 to 3.
        "ALTER TABLE challenge ADD COLUMN accepts_answers INTEGER NOT NULL DEFAULT 0 "
        "CHECK (accepts_answers IN (0, 1))",
        "ALTER TABLE submissions ADD COLUMN kind TEXT NOT NULL DEFAULT 'folder' "
        "CHECK (kind IN ('folder', 'answer'))",
        "CREATE TABLE tokens (team_id INTEGER PRIMARY KEY REFERENCES teams, "
        "sha256 TEXT NOT NULL, made TEXT NOT NULL)",
    ),
)
"""The statements of each step; the first leads from version 1 to version 2."""

VERSION = FIRST + len(MIGRATIONS)
"""Of the tables in `schema`."""


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring tables of an older version up to date, inside a transaction that the caller began.

    Foreign keys are not to be enforced on this connection: a step may make a table anew. They are
    checked afterwards.

    Raises `DataError` when a row then refers to one that is not there.
    """
    for step in MIGRATIONS[version - FIRST :]:
        for statement in step:
            connection.execute(statement)
    broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        tables = ", ".join(sorted({row[0] for row in broken}))
        raise DataError(
            f"the challenge's file cannot be upgraded: rows of {tables} refer to rows that are not "
            "there; restore a backup"
        )
    connection.execute(f"PRAGMA user_version = {VERSION}")
