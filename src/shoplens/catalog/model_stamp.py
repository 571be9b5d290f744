"""The model that made a catalogue's vectors."""

from __future__ import annotations

from dataclasses import dataclass

from shoplens.models import builtin_names
from shoplens.models.gettable import gettable


@dataclass(frozen=True, slots=True)
class ModelStamp:
    """The model that made a catalogue's vectors. All of them are of one model."""

    name: str
    fingerprint: str
    dimension: int

    @property
    def found_by_name(self) -> bool:
        """Whether its name is enough to load it: of a built-in model, or of one that `shoplens
        models get` brings."""
        return self.name in builtin_names() or gettable(self.name) is not None
