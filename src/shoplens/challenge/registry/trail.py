"""The trail: what was changed, when and by whom. Nothing is ever removed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shoplens.challenge.registry.database import Database
from shoplens.challenge.registry.instants import from_text
from shoplens.json_text import parse_object


@dataclass(frozen=True, slots=True)
class Event:
    """One change."""

    number: int
    at: datetime
    who: str
    what: str
    detail: Mapping[str, Any]


def list_events(database: Database, latest: int | None = None) -> tuple[Event, ...]:
    """Return the changes in the order in which they were made; with `latest` only so many."""
    with database.reading() as connection:
        rows = connection.execute(
            "SELECT * FROM (SELECT * FROM events ORDER BY id DESC LIMIT ?) ORDER BY id",
            (-1 if latest is None else latest,),
        )
        return tuple(
            Event(
                row["id"],
                from_text(row["at"]),
                row["who"],
                row["what"],
                parse_object(row["detail"], f"event {row['id']}"),
            )
            for row in rows
        )
