"""Ensembles: several models whose cosines are averaged.

On disk an ensemble is a folder (or a zip of it) with `ensemble.json`::

    {"name": "both", "members": [{"model": "lite0-products", "weight": 2},
                                 {"model": "my-vit", "weight": 1}]}

`model` is a folder or zip beside `ensemble.json`, or the name of a model as `load_encoder` takes
it; `weight` is 1 where it is left out.
"""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shoplens.errors import ModelError
from shoplens.models.encoder import Encoder, unit
from shoplens.models.recipe import Recipe
from shoplens.records import Domain, Vectors

ENSEMBLE_FILE = "ensemble.json"
"""What makes a folder an ensemble."""


@dataclass(frozen=True, slots=True)
class Member:
    """A model of an ensemble.

    Raises `ModelError` when the weight is impossible.
    """

    encoder: Encoder
    weight: float
    """Its share in the mean of cosines, before all are divided by their sum."""

    def __post_init__(self) -> None:
        weight = self.weight
        number = isinstance(weight, int | float) and type(weight) is not bool
        if not (number and math.isfinite(weight) and weight > 0):
            raise ModelError(
                f"the weight of {self.encoder.recipe.name} must be a number above 0, "
                f"got {weight!r:.80}"
            )


class Ensemble:
    """Several encoders as one.

    A photo's vector is the concatenation of the members' unit vectors v_i, each times the square
    root of its weight w_i (the weights divided by their sum)::

        v = (sqrt(w_1) v_1, ..., sqrt(w_m) v_m)        v . u = sum of w_i (v_i . u_i)

    so it has unit length, and a cosine of two of them is the weighted mean of the members'
    cosines. Each member prepares photos by its own recipe: embed them by `shoplens.embedding`, or
    by `shoplens.models.views`.

    Raises `ModelError` when there are no members or one is an ensemble itself.
    """

    def __init__(self, name: str, members: Sequence[Member], version: str = "1") -> None:
        if not members:
            raise ModelError(f"ensemble {name} has no members")
        for member in members:
            if isinstance(member.encoder, Ensemble):
                raise ModelError(
                    f"ensemble {name}: its member {member.encoder.recipe.name} is an ensemble; "
                    "list that one's members instead"
                )
        total = sum(member.weight for member in members)
        self._members = tuple(Member(m.encoder, m.weight / total) for m in members)
        recipes = [member.encoder.recipe for member in members]
        first = recipes[0]
        self._recipe = Recipe(
            name=name,
            version=version,
            dimension=sum(recipe.dimension for recipe in recipes),
            input_size=max(recipe.input_size for recipe in recipes),
            fit=first.fit,
            pixels="uint8_nhwc",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            licence=" AND ".join(dict.fromkeys(recipe.licence for recipe in recipes)),
            sources=tuple(dict.fromkeys(s for recipe in recipes for s in recipe.sources)),
            pad_colour=first.pad_colour,
        )
        parts = [[member.encoder.fingerprint, member.weight] for member in self._members]
        text = f"ensemble {json.dumps(parts)}"
        self._fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def members(self) -> tuple[Member, ...]:
        """The models, in the order of their components; their weights sum to 1."""
        return self._members

    @property
    def recipe(self) -> Recipe:
        """Name, dimension, licences and sources; how photos are prepared the members' recipes say.

        `input_size` is the largest of theirs.
        """
        return self._recipe

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the members' fingerprints and weights, in their order."""
        return self._fingerprint

    @property
    def batch_size(self) -> int:
        """The largest of the members'."""
        return max(member.encoder.batch_size for member in self._members)

    def encode(self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos (see `Encoder.encode`), all members shown the same pixels.

        Raises `ModelError` when the members' recipes prepare photos in different ways.
        """
        if len({member.encoder.recipe.preparation() for member in self._members}) > 1:
            raise ModelError(
                f"the members of ensemble {self._recipe.name} prepare photos in different ways, "
                "so they cannot share pixels: use shoplens.models.views"
            )
        return self.joined([member.encoder.encode(pixels, domains) for member in self._members])

    def joined(self, vectors: Sequence[Vectors]) -> Vectors:
        """Return the ensemble's vectors from the members': (n, d_i) unit rows each, in order."""
        roots = [math.sqrt(member.weight) for member in self._members]
        parts = [root * part for root, part in zip(roots, vectors, strict=True)]
        return unit(np.concatenate(parts, axis=1).astype(np.float32, copy=False))


Folder = Path | zipfile.Path
"""What both a folder on disk and one inside a zip offer."""


def read_ensemble(folder: Folder, load: Callable[[str | Folder], Encoder]) -> Ensemble:
    """Load the ensemble that a folder with `ensemble.json` describes.

    Args:
        folder: the folder.
        load: loads a model that is no ensemble, from a folder (or file) or by its name.

    Raises:
        MissingError: a member is not there.
        ModelError: `ensemble.json` is faulty, or a member cannot be loaded.
    """
    try:
        values = json.loads((folder / ENSEMBLE_FILE).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{ENSEMBLE_FILE} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{ENSEMBLE_FILE} must hold one JSON object")
    known = {"name", "version", "members"}
    if not {"name", "members"} <= values.keys() <= known:
        raise ModelError(
            f"{ENSEMBLE_FILE} must hold the keys name and members (and may hold version); it holds "
            f"{sorted(values)}"
        )
    entries = values["members"]
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict)
        and {"model"} <= entry.keys() <= {"model", "weight"}
        and isinstance(entry["model"], str)
        for entry in entries
    ):
        raise ModelError(
            f'{ENSEMBLE_FILE}: members must be a list of {{"model": "name or path", "weight": '
            f"number}} (got {entries!r:.80})"
        )
    members = [
        Member(load(_place(folder, entry["model"])), entry.get("weight", 1.0)) for entry in entries
    ]
    return Ensemble(values["name"], members, values.get("version", "1"))


def _place(folder: Folder, model: str) -> str | Folder:
    """Return the folder or file that a member names beside `ensemble.json`, else the name."""
    beside = folder / model
    return beside if model and beside.exists() else model
