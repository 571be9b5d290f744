"""An ensemble that is adapted, frozen: what its networks see of photos, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from shoplens.adaptation.frozen import AdaptedModel, FrozenModel, Seen
from shoplens.errors import ShoplensError
from shoplens.models.devices import CPU
from shoplens.models.encoder import Encoder
from shoplens.models.ensemble import (
    Ensemble,
    EnsembleFile,
    Member,
    MemberEntry,
    load_ensemble,
    side_by_side,
)
from shoplens.models.heads import only_features
from shoplens.models.linear_head import LinearHead
from shoplens.models.model_folder import HEAD_FILE, MEMBER, Folder, write_ensemble
from shoplens.pixels.decoding import Decoded
from shoplens.progress import Progress, silent
from shoplens.records import Domain, PhotoSet, Vectors

_FEATURES = "-features"
"""What is added to the name of a network that has lost its head."""


class FrozenEnsemble:
    """An ensemble's networks, and one look at photos for its vectors and their features.

    Its features are those of all its networks, side by side, each as much as its weight says. A
    head that it has takes no part in them: the adapted ensemble has one of its own in its place.

    Args:
        ensemble: the ensemble.
        networks: its networks, in the order in which it joins them.
    """

    def __init__(self, ensemble: Ensemble, networks: Sequence[FrozenModel]) -> None:
        self._ensemble = ensemble
        self._networks = tuple(networks)
        self._weights = tuple(_weights(ensemble))
        self.name = ensemble.name
        self.dimension = ensemble.dimension
        self.fingerprint = ensemble.fingerprint
        self.input_size = max(network.input_size for network in networks)
        """Side in pixels of the largest square that a network takes."""
        self.trim = tuple(
            domain for domain in networks[0].trim if all(domain in n.trim for n in networks)
        )
        """Domains whose photos lose their plain borders for all networks."""

    def without_borders(self) -> None:
        """Return None: its networks see sellers' photos as their own recipes say."""

    def see(
        self,
        photos: PhotoSet,
        *,
        cache: bool = True,
        workers: int | None = None,
        progress: Progress = silent,
    ) -> Seen:
        """Look at photos of one domain, as `FrozenModel.see` does, with one network at a time.

        A photo that a network cannot use is left out.
        """
        looks = [
            network.see(photos, cache=cache, workers=workers, progress=progress)
            for network in self._networks
        ]
        ids = [{photo.id for photo in seen.photos} for seen in looks]
        usable = set.intersection(*ids)
        rows = [
            [row for row, photo in enumerate(seen.photos) if photo.id in usable] for seen in looks
        ]
        if not usable:
            raise ShoplensError(f"none of {len(photos):,} photos can be used by all networks")
        failures = {failure.id: failure for seen in looks for failure in seen.failures}
        kept = PhotoSet([looks[0].photos[row] for row in rows[0]], numbered=photos.numbered)
        vectors, features = self._joined(
            [seen.vectors[kept_rows] for seen, kept_rows in zip(looks, rows, strict=True)],
            [seen.features[kept_rows] for seen, kept_rows in zip(looks, rows, strict=True)],
            kept[0].domain,
        )
        return Seen(
            kept,
            tuple(looks[0].sha256[row] for row in rows[0]),
            vectors,
            features,
            tuple(failures.values()),
        )

    def look(self, pictures: Sequence[Decoded], domain: Domain) -> tuple[Vectors, Vectors]:
        """Look at pictures that are no files, as `FrozenModel.look` does."""
        looks = [network.look(pictures, domain) for network in self._networks]
        return self._joined([each for each, _ in looks], [each for _, each in looks], domain)

    def adapted(self, head: LinearHead, *, name: str, source: str) -> AdaptedModel:
        """Return an ensemble of the networks, without their heads, that has a head.

        The arguments are those of `FrozenModel.adapted`.
        """
        members = {}
        for number, network in enumerate(self._networks):
            recipe = replace(
                network.recipe,
                name=f"{network.name.removesuffix(_FEATURES)}{_FEATURES}",
                dimension=network.n_features,
                centres={},
                nested=(),
            )
            weights = only_features(network.weights, network.n_features)
            members[f"{MEMBER}{number}"] = (weights, recipe)
        encoders = [
            network.encoder(*member)
            for network, member in zip(self._networks, members.values(), strict=True)
        ]
        entries = [
            MemberEntry(place, weight) for place, weight in zip(members, self._weights, strict=True)
        ]
        file = EnsembleFile(name, entries, head=HEAD_FILE, sources=[source])
        return AdaptedModel(
            Ensemble(
                name,
                [Member(*each) for each in zip(encoders, self._weights, strict=True)],
                head=head,
                sources=[source],
            ),
            lambda folder, replacing: write_ensemble(
                folder, msgspec.json.encode(file), members, head.to_bytes(), replace=replacing
            ),
        )

    def _joined(
        self, vectors: Sequence[Vectors], features: Sequence[Vectors], domain: Domain
    ) -> tuple[Vectors, Vectors]:
        """Return the ensemble's vectors and features from those of its networks."""
        joined = _vectors(self._ensemble, iter(vectors), domain)
        return joined, side_by_side(features, self._weights)


Frozen = FrozenModel | FrozenEnsemble
"""A model that is adapted."""


def freeze(model: str | Path, device: str = CPU) -> Frozen:
    """Load a model for adaptation.

    Args:
        model: as `load_encoder` takes it.
        device: as `load_encoder` takes it.

    Raises:
        MissingError: there is no such model.
        ModelError: it, or one of its members, cannot be adapted (see `FrozenModel`).
    """
    networks: list[FrozenModel] = []

    def single(of: str | Folder) -> Encoder:
        networks.append(FrozenModel(of, device))
        return networks[-1].whole

    ensemble = load_ensemble(model, single)
    return FrozenModel(model, device) if ensemble is None else FrozenEnsemble(ensemble, networks)


def _weights(ensemble: Ensemble, share: float = 1.0) -> Iterator[float]:
    """Return the weight of each network."""
    for member in ensemble.members:
        if isinstance(member.encoder, Ensemble):
            yield from _weights(member.encoder, share * member.weight)
        else:
            yield share * member.weight


def _vectors(encoder: Encoder, of_networks: Iterator[Vectors], domain: Domain) -> Vectors:
    """Return an encoder's vectors from those of its networks, in order."""
    if not isinstance(encoder, Ensemble):
        return next(of_networks)
    parts = [_vectors(member.encoder, of_networks, domain) for member in encoder.members]
    return encoder.joined(parts, domain)
