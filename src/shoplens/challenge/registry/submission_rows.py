"""Reading parts of a submission from the file, inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import numpy as np

from shoplens.challenge.leaderboard import Note
from shoplens.challenge.registry.instants import from_text
from shoplens.errors import DataError
from shoplens.evaluation.formulas import PerQuery
from shoplens.json_text import parse_object


def unpack(blob: bytes | None) -> PerQuery | None:
    """Return AP@1000 of each scored query, (s,) float64, as the file keeps it."""
    return None if blob is None else np.frombuffer(blob, dtype="<f8").astype(np.float64)


def read_record(row: sqlite3.Row, over: bool) -> Mapping[str, Any]:
    """Return the record of a submission's run, empty where there is none.

    While the private side is sealed, metrics are left out: they are over both sides.
    """
    if row["record"] is None:
        return {}
    values = parse_object(row["record"], f"the record of submission {row['id']}")
    if not over:
        values.pop("metrics", None)
    return values


def read_tags(connection: sqlite3.Connection, number: int) -> tuple[str, ...]:
    """Return a submission's tags."""
    rows = connection.execute(
        "SELECT tag FROM tags WHERE submission_id = ? ORDER BY tag", (number,)
    )
    return tuple(row["tag"] for row in rows)


def find_submission(connection: sqlite3.Connection, number: int) -> sqlite3.Row:
    """Return a submission's row.

    Raises `DataError` when there is none of that number.
    """
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM submissions WHERE id = ?", (number,)
    ).fetchone()
    if row is None:
        raise DataError(f"there is no submission {number}")
    return row


def read_notes(connection: sqlite3.Connection, number: int) -> tuple[Note, ...]:
    """Return a submission's notes, the earliest first."""
    rows = connection.execute("SELECT * FROM notes WHERE submission_id = ? ORDER BY id", (number,))
    return tuple(Note(from_text(row["written"]), row["author"], row["text"]) for row in rows)
