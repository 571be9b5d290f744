"""What cleaning does to the rows of a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shoplens.curation.cleaning.tables import DatasetTables
from shoplens.errors import PhotoError
from shoplens.records import Box, Photo

Task = Literal["pairs", "products", "copies", "boxes"]
Kind = Literal["left_out", "product_id", "box"]
"""What becomes of a row: it is left out, or its product or its box is another."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row that is left out, or that gets another product or box."""

    photo: Photo
    """As it is in the dataset."""
    kind: Kind
    reason: str
    becomes: str | Box | None = None
    """The new product, or the new box; None if the row is left out."""
    beside: Photo | None = None
    """The photo that it was compared with."""
    score: float | None = None
    """What decided: of pairs the similarity, of boxes the score of the proposal."""


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What cleaning a dataset comes to."""

    task: Task
    tables: DatasetTables
    changes: tuple[Change, ...]
    """Those that someone should look at first come first."""
    spared: tuple[Change, ...] = ()
    """What would have been changed next, had the threshold been lower or higher."""
    counts: Mapping[str, int | float] = field(default_factory=dict)
    """What else was counted, by its name in JSON."""
    failures: tuple[tuple[Photo, PhotoError], ...] = ()
    """Photos that could not be looked at. Their rows stay as they are."""
    similarities: tuple[float, ...] = ()
    """What the threshold is compared with, of all photos; empty for tasks without one."""
    threshold: float | None = None

    @property
    def n_left_out(self) -> int:
        """How many rows are left out."""
        return sum(change.kind == "left_out" for change in self.changes)

    def rows(self) -> list[dict[str, Any]]:
        """Return the list of changes, as `changes.csv` and JSON have it."""
        return [
            {
                **_place(self.tables, change.photo),
                "change": change.kind,
                "from": _before(change),
                "to": "" if change.becomes is None else str(change.becomes),
                "reason": change.reason,
                "beside": "" if change.beside is None else change.beside.name,
                "score": None if change.score is None else round(change.score, 4),
            }
            for change in sorted(self.changes, key=lambda change: change.photo.id)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the values as `shoplens dataset clean --json` writes them."""
        return {
            "task": self.task,
            "n_photos": len(self.tables.photos),
            "n_left_out": self.n_left_out,
            "n_changed": len(self.changes) - self.n_left_out,
            "threshold": self.threshold,
            **dict(self.counts),
            "failures": dict(Counter(error.reason for _, error in self.failures)),
            "changes": self.rows(),
        }


def _place(tables: DatasetTables, photo: Photo) -> dict[str, Any]:
    table, row = tables.places[photo.id]
    return {"table": tables.tables[table].name, "row": row, "img_path": photo.name}


def _before(change: Change) -> str:
    if change.kind == "box":
        return "" if change.photo.box is None else str(change.photo.box)
    return change.photo.product_id or ""
