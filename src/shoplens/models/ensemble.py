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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from shoplens.errors import ModelError
from shoplens.json_text import parse_json
from shoplens.models.encoder import Encoder, require_models
from shoplens.models.model_folder import ENSEMBLE_FILE, Folder
from shoplens.models.preparer import Preparer
from shoplens.models.unit_length import unit
from shoplens.models.views import Prepared, Target
from shoplens.pixels.decoding import Decoded
from shoplens.records import Domain, Vectors


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
                f"the weight of {self.encoder.name} must be a number above 0, got {weight!r:.80}"
            )


class Ensemble:
    """Several encoders as one.

    A photo's vector is the concatenation of the members' unit vectors v_i, each times the square
    root of its weight w_i (the weights divided by their sum)::

        v = (sqrt(w_1) v_1, ..., sqrt(w_m) v_m)        v . u = sum of w_i (v_i . u_i)

    so it has unit length, and a cosine of two of them is the weighted mean of the members'
    cosines. Each member prepares photos by its own recipe. The members of a member that is an
    ensemble stand in its place, and share its weight.

    Raises `ModelError` when there are no members.
    """

    def __init__(self, name: str, members: Sequence[Member], version: str = "1") -> None:
        if not members:
            raise ModelError(f"ensemble {name} has no members")
        total = sum(member.weight for member in members)
        self.members = tuple(
            Member(single.encoder, single.weight * member.weight / total)
            for member in members
            for single in _singles(member)
        )
        """The models, in the order of their components; their weights sum to 1."""
        self.name: str = name
        self.version = version
        self.dimension = sum(member.encoder.dimension for member in members)
        self.nested: tuple[int, ...] = ()
        parts = [[member.encoder.fingerprint, member.weight] for member in self.members]
        text = f"ensemble {json.dumps(parts)}"
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.recipes = tuple(recipe for m in self.members for recipe in m.encoder.recipes)
        self._preparer = Preparer(self.recipes)
        self.preparation = json.dumps([member.encoder.preparation for member in self.members])
        self.concurrency = min(member.encoder.concurrency for member in self.members)

    @property
    def batch_size(self) -> int:
        """The largest of the members'."""
        return max(member.encoder.batch_size for member in self.members)

    def decode_target(self, domain: Domain | None = None) -> Target:
        """Return what is enough for every member."""
        return self._preparer.decode_target(domain)

    def prepare(self, photo: Decoded, domain: Domain) -> Prepared:
        """Make the views that each member wants; members that want the same ones share them."""
        return self._preparer.prepare(photo, domain)

    def embed(self, prepared: Sequence[Prepared], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos (see `Encoder.embed`): the members' vectors, joined."""
        require_models(self.name, len(self.members), prepared)
        return self._joined(
            [
                member.encoder.embed([(views[i],) for views in prepared], domains)
                for i, member in enumerate(self.members)
            ]
        )

    def _joined(self, vectors: Sequence[Vectors]) -> Vectors:
        """Return the ensemble's vectors from the members': (n, d_i) unit rows each, in order."""
        roots = [math.sqrt(member.weight) for member in self.members]
        parts = [root * part for root, part in zip(roots, vectors, strict=True)]
        return unit(np.concatenate(parts, axis=1).astype(np.float32, copy=False))


def _singles(member: Member) -> tuple[Member, ...]:
    """Return the members of a member that is an ensemble, else itself with the weight 1."""
    if isinstance(member.encoder, Ensemble):
        return member.encoder.members
    return (Member(member.encoder, 1.0),)


class MemberEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A member as `ensemble.json` names it."""

    model: str
    weight: float = 1.0


class EnsembleFile(msgspec.Struct, forbid_unknown_fields=True):
    """What `ensemble.json` holds."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    members: list[MemberEntry]
    version: str = "1"


def read_ensemble(folder: Folder, load: Callable[[str | Folder], Encoder]) -> Ensemble:
    """Load the ensemble that a folder with `ensemble.json` describes.

    Args:
        folder: the folder.
        load: loads a model, from a folder (or file) or by its name.

    Raises:
        MissingError: a member is not there.
        ModelError: `ensemble.json` is faulty, or a member cannot be loaded.
    """
    described = read_ensemble_file(folder)
    members = [Member(load(_place(folder, m.model)), m.weight) for m in described.members]
    return Ensemble(described.name, members, described.version)


def read_ensemble_file(folder: Folder) -> EnsembleFile:
    """Read the `ensemble.json` of a folder.

    Raises `ModelError` when it is faulty.
    """
    text = (folder / ENSEMBLE_FILE).read_bytes()
    return parse_json(text, EnsembleFile, ENSEMBLE_FILE, ModelError)


def _place(folder: Folder, model: str) -> str | Folder:
    """Return the folder or file that a member names beside `ensemble.json`, else the name."""
    beside = folder / model
    return beside if model and beside.exists() else model
