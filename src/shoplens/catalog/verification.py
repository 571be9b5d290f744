"""What `verify` finds in a catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CatalogFault:
    """Something that `verify` found."""

    where: str
    """The file, table or photo."""
    problem: str
    repaired: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}{' (repaired)' if self.repaired else ''}"

    def to_json(self) -> dict[str, Any]:
        """Return the fault as `shoplens catalog verify --json` writes it."""
        return {"where": self.where, "problem": self.problem, "repaired": self.repaired}


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `verify`."""

    faults: tuple[CatalogFault, ...]
    n_photos: int
    """Photos that were checked."""

    @property
    def ok(self) -> bool:
        """Whether no fault is left."""
        return all(fault.repaired for fault in self.faults)

    def to_json(self) -> dict[str, Any]:
        """Return the result as `shoplens catalog verify --json` writes it."""
        return {
            "ok": self.ok,
            "n_photos": self.n_photos,
            "faults": [fault.to_json() for fault in self.faults],
        }
