"""What a catalogue holds, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoplens.catalog.model_stamp import ModelStamp


@dataclass(frozen=True, slots=True)
class CatalogStats:
    """What a catalogue holds."""

    uri: str
    engine: str
    """`embedded` or `milvus`."""
    model: ModelStamp | None
    """None as long as nothing was put in."""
    n_photos: int
    n_products: int
    n_failed: int
    """Photos that could not be embedded; see `Catalog.failures`."""
    attributes: Mapping[str, str]
    """For each attribute, the types of its values: `int`, `float`, `bool`, `str`, or several."""
    chain: tuple[str, ...] = ()
    """The steps by which searches are re-ranked that name no chain (see `Catalog.chain`)."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What only this engine has to say: sizes, indexes."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as `shoplens catalog stats --json` writes them."""
        model = self.model
        return {
            "uri": self.uri,
            "engine": self.engine,
            "model": None
            if model is None
            else {
                "name": model.name,
                "fingerprint": model.fingerprint,
                "dimension": model.dimension,
            },
            "n_photos": self.n_photos,
            "n_products": self.n_products,
            "n_failed": self.n_failed,
            "attributes": dict(self.attributes),
            "chain": list(self.chain),
            **self.details,
        }
