"""A single model that is adapted, frozen: its vectors of photos, what its head takes of them, and
the model with another head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shoplens.embedding.sets import embed
from shoplens.errors import ModelError, ShoplensError
from shoplens.models.conversion import converted
from shoplens.models.devices import CPU, Device, parse_device
from shoplens.models.encoder import Encoder
from shoplens.models.heads import features_name, with_features, with_head
from shoplens.models.linear_head import LinearHead
from shoplens.models.model_folder import Folder, read_model, write_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.models.outputs import with_outputs
from shoplens.models.recipe import Recipe
from shoplens.models.sessions import OnnxRuntimeSession
from shoplens.models.unit_length import unit
from shoplens.models.zoo import is_hub_name
from shoplens.pixels.decoding import Decoded
from shoplens.progress import Progress, silent
from shoplens.records import Domain, Failure, PhotoSet, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Photos as a frozen model sees them; those that failed are left out."""

    photos: PhotoSet
    sha256: tuple[str, ...]
    """Of each photo's file, in hex."""
    vectors: Vectors
    """(n, d) float32, the model's vectors."""
    features: Vectors
    """(n, f) float32, what its head takes, rows of unit length."""
    failures: tuple[Failure, ...]

    def __len__(self) -> int:
        return len(self.photos)


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedModel:
    """A model with another head, in memory."""

    encoder: Encoder
    write: Callable[[Path, bool], None]
    """Writes it into a folder; true replaces a model that is there. Raises `ShoplensError` when it
    cannot be written."""


class FrozenModel:
    """A model folder's graph and recipe, and one look at photos for vectors and features.

    Args:
        model: as `load_encoder` takes it, or an opened folder; no ensemble (see `frozen_ensemble`).
        device: as `load_encoder` takes it.
        trim: domains whose photos lose their plain borders, instead of the recipe's `trim`.

    Raises:
        MissingError: there is no such model.
        ModelError: it is an ensemble, or takes several views of a photo, or its head is none of
            vectors.
    """

    def __init__(
        self, model: str | Folder, device: str = CPU, trim: tuple[Domain, ...] | None = None
    ) -> None:
        self._model = model, device
        folder = converted(model) if is_hub_name(model) else model
        self.weights, recipe = read_model(folder)
        if trim is not None:
            recipe = replace(recipe, trim=trim)
        self.recipe: Recipe = recipe
        if len(recipe.zooms) > 1 or recipe.flip:
            raise ModelError(
                f"model {recipe.name} takes several views of a photo (zooms or flip in its "
                "recipe); only models of one view can be adapted"
            )
        self.device: Device = parse_device(device)
        self.whole: Encoder = self.encoder(self.weights, recipe)
        """The model as it is."""
        self.fingerprint = self.whole.fingerprint
        self.n_features = _n_features(self.weights, recipe)
        self._both = self.encoder(
            with_features(self.weights, recipe.dimension, self.n_features),
            replace(recipe, dimension=recipe.dimension + self.n_features, centres={}, nested=()),
        )

    @property
    def name(self) -> str:
        """The model's."""
        return self.recipe.name

    @property
    def dimension(self) -> int:
        """Length of its vectors."""
        return self.recipe.dimension

    @property
    def input_size(self) -> int:
        """Side in pixels of the square that it takes."""
        return self.recipe.input_size

    @property
    def trim(self) -> tuple[Domain, ...]:
        """Domains whose photos lose their plain borders."""
        return self.recipe.trim

    def without_borders(self) -> FrozenModel | None:
        """Return the same model, shown sellers' photos without their plain borders.

        None: it is shown them so in any case.
        """
        trim = self.recipe.trim
        return None if "seller" in trim else FrozenModel(*self._model, (*trim, "seller"))

    def encoder(self, weights: bytes, recipe: Recipe) -> OnnxEncoder:
        """Load another graph where this one runs."""
        cuda = self.device.cuda[0] if self.device.cuda else None
        return OnnxEncoder(weights, recipe, cuda=cuda, openvino=self.device.openvino)

    def adapted(
        self, head: LinearHead, *, name: str, source: str, tuned: bytes | None = None
    ) -> AdaptedModel:
        """Return the model with another head.

        Args:
            head: of its features.
            name: of the new model.
            source: what the head was fitted to, in words.
            tuned: the ONNX file of a tuned network that the features are of; None: its own.
        """
        weights = with_head(tuned or self.weights, head.weight, head.bias)
        recipe = replace(
            self.recipe,
            name=name,
            version="1",
            dimension=head.dimension,
            nested=(),
            # Seven digits are all a float32 has; more would only make the file longer.
            centres={
                domain: tuple(float(f"{value:.7g}") for value in centre)
                for domain, centre in head.centres.items()
            },
            sources=(*self.recipe.sources, source),
        )
        return AdaptedModel(
            self.encoder(weights, recipe),
            lambda folder, replacing: write_model(folder, weights, recipe, replace=replacing),
        )

    def see(
        self,
        photos: PhotoSet,
        *,
        cache: bool = True,
        workers: int | None = None,
        progress: Progress = silent,
    ) -> Seen:
        """Look at photos of one domain.

        Args:
            photos: at least one of which can be used.
            cache: whether to read from the user's cache and write to it.
            workers: threads; None for one per usable core.
            progress: told how many photos are done.

        Raises `ShoplensError` when none of the photos can be used.
        """
        found = embed(photos, self._both, cache=cache, workers=workers, progress=progress)
        rows = np.flatnonzero(found.has_vector)
        if not len(rows):
            reasons = ", ".join(f"{n:,} {why}" for why, n in found.failures_by_reason().items())
            raise ShoplensError(f"none of {len(photos):,} photos can be used ({reasons})")
        kept = PhotoSet([photos[row] for row in rows.tolist()], numbered=photos.numbered)
        vectors, features = self._apart(found.vectors[rows], kept[0].domain)
        digests = tuple(found.sha256[row] or "" for row in rows.tolist())
        return Seen(kept, digests, vectors, features, found.failures)

    def look(self, pictures: Sequence[Decoded], domain: Domain) -> tuple[Vectors, Vectors]:
        """Look at pictures that are no files.

        Returns:
            Their vectors and their features, as `Seen` has them.

        Raises `PhotoError` when the model has no direction for one of them.
        """
        rows = [
            self._both.embed([self._both.prepare(picture, domain)], [domain])
            for picture in pictures
        ]
        return self._apart(np.concatenate(rows), domain)

    def _apart(self, both: Vectors, domain: Domain) -> tuple[Vectors, Vectors]:
        d = self.recipe.dimension
        return self._centred(unit(both[:, :d]), domain), unit(both[:, d:])

    def _centred(self, vectors: Vectors, domain: Domain) -> Vectors:
        if (centre := self.recipe.centres.get(domain)) is None:
            return vectors
        return unit(vectors - np.asarray(centre, dtype=np.float32))


def _n_features(weights: bytes, recipe: Recipe) -> int:
    """Return how many numbers a graph's head takes.

    Raises `ModelError` when it takes more than a row of numbers for each photo.
    """
    name = features_name(weights)
    if name is None:
        return recipe.dimension
    s = recipe.input_size
    blank = (
        np.zeros((1, s, s, 3), dtype=np.uint8)
        if recipe.pixels == "uint8_nhwc"
        else np.zeros((1, 3, s, s), dtype=np.float32)
    )
    _, features = OnnxRuntimeSession(with_outputs(weights, [name]), None).run_all(blank)
    if features.ndim != 2:
        raise ModelError(
            f"model {recipe.name} cannot be adapted: its head takes an array of shape "
            f"{features.shape}, not a row of numbers"
        )
    return int(features.shape[1])
