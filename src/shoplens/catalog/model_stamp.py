"""The model that made a catalogue's vectors."""

from __future__ import annotations

from dataclasses import dataclass

from shoplens.models.gettable import gettable
from shoplens.models.model_folder import is_builtin


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
        return is_builtin(self.name) or gettable(self.name) is not None
