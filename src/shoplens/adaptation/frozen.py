"""The model that is adapted, frozen: its vectors of photos, and what its head takes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shoplens.embedding.sets import embed
from shoplens.errors import ModelError, ShoplensError
from shoplens.models.conversion import converted
from shoplens.models.devices import CPU, Device, parse_device
from shoplens.models.heads import features_name, with_features
from shoplens.models.model_folder import ENSEMBLE_FILE, model_folder, read_model
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


class FrozenModel:
    """A model folder's graph and recipe, and one look at photos for vectors and features.

    Args:
        model: as `load_encoder` takes it; no ensemble.
        device: as `load_encoder` takes it.
        trim: domains whose photos lose their plain borders, instead of the recipe's `trim`.

    Raises:
        MissingError: there is no such model.
        ModelError: it is an ensemble, or takes several views of a photo, or its head is none of
            vectors.
    """

    def __init__(
        self, model: str | Path, device: str = CPU, trim: tuple[Domain, ...] | None = None
    ) -> None:
        self._model = model, device
        folder = converted(str(model)) if is_hub_name(model) else model
        with model_folder(folder) as opened:
            is_ensemble = (opened / ENSEMBLE_FILE).is_file()
        if is_ensemble:
            raise ModelError(
                f"model {model} is an ensemble: adapt one of its members, or another model, and "
                f"name the result in an {ENSEMBLE_FILE} of your own"
            )
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
        self.fingerprint = self.encoder(self.weights, recipe).fingerprint
        n_features = _n_features(self.weights, recipe)
        self._both = self.encoder(
            with_features(self.weights, recipe.dimension, n_features),
            replace(recipe, dimension=recipe.dimension + n_features, centres={}, nested=()),
        )

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
