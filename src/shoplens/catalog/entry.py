"""What a catalogue holds of a photo."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shoplens.attributes import NO_ATTRIBUTES, Value
from shoplens.records import Box, Vector, Vectors
from shoplens.vectors.regions import PhotoRegions

PhotoId = int | str
"""A whole number of 64 bits where the photo has one, else a text (for a folder, its path)."""

_WHOLE = re.compile(r"-?[1-9][0-9]{0,18}|0")


def photo_id_of(value: int | str) -> PhotoId:
    """Return a photo id in its one form: a text that writes a whole number is that number.

    So an id means the same on the command line, in a URL and in Python. `007` stays a text.
    """
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        number = int(value)
        return number if -(2**63) <= number < 2**63 else value
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A photo in a catalogue, with its vector."""

    photo_id: PhotoId
    vector: Vector
    """(d,) float32 of unit length."""
    product_id: str | None = None
    """Read as text and never interpreted; None where it is not known."""
    path: str = ""
    """The photo as its table or folder names it."""
    source: str = ""
    """The folder, table or archive that it was read from; empty where only the vector is known."""
    sha256: str | None = None
    """SHA-256 of the photo's bytes, in hex; None where it is not known."""
    box: Box | None = None
    """The region that was embedded; None for the whole photo."""
    attributes: Mapping[str, Value] = field(default_factory=lambda: NO_ATTRIBUTES)
    """Further columns of its table, by name. Names are not empty; numbers are finite."""
    stamp: str = ""
    """What a file on disk is known by without being read: its size and time. Empty for others."""
    regions: PhotoRegions | None = None
    """Regions of the photo with vectors of their own; None where none were asked for."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        return self.facts() == other.facts() and np.array_equal(self.vectors, other.vectors)

    __hash__ = None  # type: ignore[assignment]

    @property
    def vectors(self) -> Vectors:
        """(1 + r, d) float32: the photo's vector, and those of its regions."""
        if self.regions is None:
            return self.vector[None]
        return np.concatenate((self.vector[None], self.regions.vectors))

    @property
    def n_regions(self) -> int:
        """How many regions were asked for."""
        return 0 if self.regions is None else self.regions.limit

    def facts(self) -> tuple[object, ...]:
        """Return everything but the vectors and the stamp."""
        return (
            self.photo_id,
            self.product_id,
            self.path,
            self.source,
            self.sha256,
            self.box,
            # 1, 1.0 and True are equal, but not the same.
            {name: (type(value), value) for name, value in self.attributes.items()},
            None if self.regions is None else (self.regions.limit, self.regions.boxes),
        )


@dataclass(frozen=True, slots=True)
class FailedPhoto:
    """A photo that could not be embedded, kept beside the others."""

    photo_id: PhotoId
    path: str
    source: str
    reason: str
    """A key of `shoplens.records.REASONS`."""
    detail: str
    product_id: str | None = None
    attributes: Mapping[str, Value] = field(default_factory=lambda: NO_ATTRIBUTES)

    def to_json(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return {
            "photo_id": self.photo_id,
            "product_id": self.product_id,
            "path": self.path,
            "source": self.source,
            "reason": self.reason,
            "detail": self.detail,
            "attributes": dict(self.attributes),
        }


def failures_json(failed: Sequence[FailedPhoto]) -> dict[str, Any]:
    """Return photos that could not be embedded as `shoplens catalog failures --json` writes them:
    how many, for which reasons, the most frequent one first, and each of them."""
    return {
        "n_failed": len(failed),
        "failures": dict(Counter(photo.reason for photo in failed).most_common()),
        "failed_photos": [photo.to_json() for photo in failed],
    }
