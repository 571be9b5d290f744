"""Ensembles: several models whose cosines are averaged.

On disk an ensemble is a folder (or a zip of it) with `ensemble.json`::

    {"name": "both", "members": [{"model": "lite0-products", "weight": 2},
                                 {"model": "my-vit", "weight": 1}]}

`model` is a folder or zip beside `ensemble.json`, or the name of a model as `load_encoder` takes
it; `weight` is 1 where it is left out. With `"head": "head.npz"`, what the members give goes
through a linear head (see `shoplens.models.linear_head`), a file beside `ensemble.json`; then
`nested` may name lengths that its vectors can be cut to.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from shoplens.cores import usable_cores
from shoplens.errors import MissingError, ModelError
from shoplens.json_text import parse_json
from shoplens.models.encoder import Encoder, require_models
from shoplens.models.linear_head import LinearHead
from shoplens.models.model_folder import ENSEMBLE_FILE, Folder, model_folder
from shoplens.models.preparer import Preparer
from shoplens.models.unit_length import unit
from shoplens.models.views import Prepared, Target
from shoplens.models.zoo import is_hub_name
from shoplens.parallel import is_worker, parallel_map
from shoplens.pixels.decoding import Decoded
from shoplens.records import Domain, Vectors

_DEEPEST = 4
"""Levels of ensembles below an ensemble."""


class _Calls:
    """How many calls are under way in this process: entering gives their number, this one too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0

    def __enter__(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._number -= 1


_CALLS = _Calls()


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
    cosines. With a head, v is what the head takes. Each member prepares photos by its own recipe.
    The members of a member that is an ensemble without a head stand in its place, and share its
    weight.

    Raises `ModelError` when there are no members, or the head does not fit them.
    """

    def __init__(
        self,
        name: str,
        members: Sequence[Member],
        version: str = "1",
        *,
        head: LinearHead | None = None,
        nested: Sequence[int] = (),
        sources: Sequence[str] = (),
    ) -> None:
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
        self.sources = tuple(sources)
        """Where its head comes from."""
        self.head = head
        """What the joined vectors go through; None: nothing."""
        width = sum(member.encoder.dimension for member in self.members)
        if head is not None and head.n_features != width:
            raise ModelError(
                f"the head of ensemble {name} takes {head.n_features} numbers, and its members "
                f"give {width}"
            )
        self.dimension = width if head is None else head.dimension
        self.nested: tuple[int, ...] = tuple(nested)
        if self.nested and head is None:
            raise ModelError(f"ensemble {name} cannot be cut (`nested`) without a head")
        if list(self.nested) != sorted({n for n in self.nested if 0 < n < self.dimension}):
            raise ModelError(
                f"`nested` of ensemble {name} must be ascending lengths below {self.dimension}, "
                f"got {list(self.nested)}"
            )
        parts = [[member.encoder.fingerprint, member.weight] for member in self.members]
        text = f"ensemble {json.dumps(parts)}" + ("" if head is None else f" {head.digest}")
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
        if not prepared:
            return np.empty((0, self.dimension), dtype=np.float32)
        require_models(self.name, len(self.recipes), prepared)
        shares, start = [], 0
        for member in self.members:
            end = start + len(member.encoder.recipes)
            shares.append((member.encoder, [one[start:end] for one in prepared]))
            start = end

        def vectors_of(share: tuple[Encoder, list[Prepared]]) -> Vectors:
            encoder, views = share
            return encoder.embed(views, domains)

        with _CALLS as n_calls:
            # Where each core has work already, further threads would only get in the way.
            if len(shares) > 1 and not is_worker() and n_calls < usable_cores():
                vectors = list(parallel_map(vectors_of, shares, len(shares)))
            else:
                vectors = [vectors_of(share) for share in shares]
        return self.joined(vectors, domains)

    def joined(self, vectors: Sequence[Vectors], domains: Domain | Sequence[Domain]) -> Vectors:
        """Return the ensemble's vectors of photos from its members'.

        Args:
            vectors: (n, d_i) unit rows of each member, in order.
            domains: who took each photo, or all of them.
        """
        features = side_by_side(vectors, [member.weight for member in self.members])
        return features if self.head is None else self.head.vectors(features, domains)


def side_by_side(vectors: Sequence[Vectors], weights: Sequence[float]) -> Vectors:
    """Join vectors of the same photos, so that cosines are the weighted mean of theirs.

    Args:
        vectors: (n, d_i) unit rows each.
        weights: their shares, above 0.

    Returns:
        (n, sum of d_i) float32, rows of unit length.
    """
    parts = [math.sqrt(weight) * part for weight, part in zip(weights, vectors, strict=True)]
    return unit(np.concatenate(parts, axis=1).astype(np.float32, copy=False))


def _singles(member: Member) -> tuple[Member, ...]:
    """Return the members of a member that is an ensemble without a head, else itself, weight 1."""
    if isinstance(member.encoder, Ensemble) and member.encoder.head is None:
        return member.encoder.members
    return (Member(member.encoder, 1.0),)


class MemberEntry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A member as `ensemble.json` names it."""

    model: str
    weight: float = 1.0


class EnsembleFile(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What `ensemble.json` holds."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    members: list[MemberEntry]
    version: str = "1"
    head: Annotated[str, msgspec.Meta(pattern=r"^[^/\\]+$")] | None = None
    """A file beside it."""
    nested: list[int] = []
    sources: list[str] = []
    """Where the head comes from."""


def load_ensemble(
    model: str | Folder, load: Callable[[str | Folder], Encoder], depth: int = 0
) -> Ensemble | None:
    """Load an ensemble; return None where a model is none.

    Args:
        model: as `load_encoder` takes it.
        load: loads a model that is no ensemble, from a folder (or file) or by its name.
        depth: of how many ensembles it is a member.

    Raises:
        MissingError: there is no such model, or a file of it is not there.
        ModelError: `ensemble.json` or the head is faulty, or a member cannot be loaded.
    """
    if is_hub_name(model):
        return None

    def member(of: str | Folder) -> Encoder:
        return load_ensemble(of, load, depth + 1) or load(of)

    with model_folder(model) as folder:
        if not (folder / ENSEMBLE_FILE).is_file():
            return None
        if depth > _DEEPEST:
            raise ModelError("ensembles are nested too deeply; is this one a member of itself?")
        return _read_ensemble(folder, member)


def _read_ensemble(folder: Folder, load: Callable[[str | Folder], Encoder]) -> Ensemble:
    described = read_ensemble_file(folder)
    members = [Member(load(member_of(folder, m.model)), m.weight) for m in described.members]
    head = None
    if described.head is not None:
        head = LinearHead.from_bytes(head_file(folder, described).read_bytes())
    return Ensemble(
        described.name,
        members,
        described.version,
        head=head,
        nested=described.nested,
        sources=described.sources,
    )


def read_ensemble_file(folder: Folder) -> EnsembleFile:
    """Read the `ensemble.json` of a folder.

    Raises `ModelError` when it is faulty.
    """
    text = (folder / ENSEMBLE_FILE).read_bytes()
    return parse_json(text, EnsembleFile, ENSEMBLE_FILE, ModelError)


def head_file(folder: Folder, ensemble: EnsembleFile) -> Folder:
    """Return the file of an ensemble's head.

    Raises `MissingError` when it is not there.
    """
    file = folder / str(ensemble.head)
    if not file.is_file():
        raise MissingError(f"ensemble {ensemble.name} has no {ensemble.head}, its head")
    return file


def member_of(folder: Folder, model: str) -> str | Folder:
    """Return the folder or file that a member names beside `ensemble.json`, else the name."""
    beside = folder / model
    return beside if model and beside.exists() else model
