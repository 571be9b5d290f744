"""What an engine finds for a vector."""

from __future__ import annotations

from dataclasses import dataclass

from shoplens.catalog.entry import Entry


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest entries of one query."""

    found: tuple[tuple[Entry, float], ...]
    """Entries with their scores, best first; equal scores in the order in which they were put
    in."""
    exact: bool
    """Whether every vector that passes the filter was compared."""
    exhausted: bool
    """Whether no entry that passes the filter is left out."""
