"""Encoders: photos in, unit vectors out."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from shoplens.errors import ModelError
from shoplens.models.recipe import Recipe
from shoplens.models.unit_length import unit
from shoplens.models.views import (
    Prepared,
    Target,
    Views,
    decode_target,
    mean_over_views,
    views_of,
)
from shoplens.pixels.decoding import Decoded
from shoplens.records import Domain, Vectors


class Encoder(Protocol):
    """What embeds photos: a model, several as one, or one on several devices.

    Whoever embeds a photo decodes it as `decode_target` says, calls `prepare`, and hands what comes
    of it to `embed`. To bring a model of your own, derive from `RecipeEncoder`.
    """

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    @property
    def nested(self) -> tuple[int, ...]:
        """Lengths that the vectors may be cut to (see `LeadingEncoder`)."""

    @property
    def fingerprint(self) -> str:
        """What its vectors are compared by: equal fingerprints, equal vectors."""

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipe of each of its models, in the order of what `prepare` makes for them."""

    @property
    def preparation(self) -> str:
        """A text over all that `prepare` depends on: equal texts, equal pixels."""

    @property
    def batch_size(self) -> int:
        """How many photos a call should embed: many for a graphics processor; 1 where one call
        takes one core, and the others are kept busy by calls from other threads."""

    @property
    def concurrency(self) -> int:
        """How many calls run side by side on devices of their own."""

    def decode_target(self, domain: Domain | None = None) -> Target:
        """Return `target` and `target_side` for decoding photos of a domain, or of both."""

    def prepare(self, photo: Decoded, domain: Domain) -> Prepared:
        """Make what the encoder wants to be shown of a photo."""

    def embed(self, prepared: Sequence[Prepared], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos in one batch; safe to call from several threads at once.

        Args:
            prepared: what `prepare` made of each photo, n of them.
            domains: who took each photo.

        Returns:
            (n, dimension) float32, rows of unit length.

        Raises:
            ModelError: the photos were prepared for another model.
            PhotoError: reason `no_direction`: a photo's vector is zero or not finite.
        """


class RecipeEncoder(ABC):
    """An encoder of squares that one recipe describes: the base for a model of your own.

    Derive from it, set `recipe` and `fingerprint`, and write `encode`.
    """

    recipe: Recipe
    """How photos are prepared for it."""
    fingerprint: str
    batch_size: int = 1
    concurrency: int = 1

    @abstractmethod
    def encode(self, pixels: Views, domains: Sequence[Domain]) -> Vectors:
        """Embed squares of pixels; must be safe to call from several threads at once.

        Args:
            pixels: (n, input_size, input_size, 3) uint8, RGB, as `shoplens.pixels.crops.crop`
                makes.
            domains: who took each photo, n of them.

        Returns:
            (n, dimension) float32, rows of unit length.

        Raises:
            PhotoError: reason `no_direction`: a photo's vector is zero or not finite.
        """

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.recipe.dimension

    @property
    def nested(self) -> tuple[int, ...]:
        """Lengths that the vectors may be cut to."""
        return self.recipe.nested

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """Its recipe."""
        return (self.recipe,)

    @property
    def preparation(self) -> str:
        """The recipe's."""
        return self.recipe.preparation()

    def decode_target(self, domain: Domain | None = None) -> Target:
        """Return what the recipe's views need (see `Encoder.decode_target`)."""
        return decode_target(self.recipe, domain)

    def prepare(self, photo: Decoded, domain: Domain) -> Prepared:
        """Make the views that the recipe asks for."""
        return (views_of(photo, domain, self.recipe),)

    def embed(self, prepared: Sequence[Prepared], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos: of each, the mean of its views' vectors (see `Encoder.embed`)."""
        if not prepared:
            return np.empty((0, self.dimension), dtype=np.float32)
        require_models(self.name, 1, prepared)
        return mean_over_views([views for (views,) in prepared], domains, self.encode)

    def finished(self, output: Vectors, domains: Sequence[Domain]) -> Vectors:
        """Scale a network's output to unit length, and centre it as the recipe says."""
        vectors = unit(output)
        if not self.recipe.centres:
            return vectors
        zero = np.zeros(self.dimension, dtype=np.float32)
        centres = {
            domain: np.asarray(centre, dtype=np.float32)
            for domain, centre in self.recipe.centres.items()
        }
        return unit(vectors - np.stack([centres.get(domain, zero) for domain in domains]))

    def require_squares(self, pixels: Views, domains: Sequence[Domain]) -> None:
        """Raise `ModelError` when pixels have another shape than the recipe says."""
        size = self.recipe.input_size
        if pixels.shape[1:] != (size, size, 3) or len(domains) != len(pixels):
            raise ModelError(
                f"model {self.name} takes (n, {size}, {size}, 3) pixels and n domains, "
                f"got {pixels.shape} and {len(domains)}"
            )


class LeadingEncoder:
    """The leading components of another encoder's vectors, scaled to unit length again.

    For models trained so that these are vectors of their own (`Recipe.nested`): a gallery takes a
    fraction of the memory and is searched that much faster. They can be cut from stored vectors as
    well, for they are those of the whole encoder, centred as a whole.

    Raises `ModelError` when the model does not offer the dimension.
    """

    def __init__(self, whole: Encoder, dimension: int) -> None:
        if dimension not in whole.nested:
            known = ", ".join(str(n) for n in (*whole.nested, whole.dimension))
            raise ModelError(
                f"model {whole.name} cannot be cut to {dimension} dimensions; it offers {known}"
            )
        self._whole = whole
        self.name = whole.name
        self.dimension = dimension
        self.nested = tuple(n for n in whole.nested if n < dimension)
        text = f"{whole.fingerprint} cut to {dimension}"
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.recipes = whole.recipes
        self.preparation = whole.preparation
        self.concurrency = whole.concurrency

    @property
    def batch_size(self) -> int:
        """The whole model's."""
        return self._whole.batch_size

    def decode_target(self, domain: Domain | None = None) -> Target:
        """Return the whole model's."""
        return self._whole.decode_target(domain)

    def prepare(self, photo: Decoded, domain: Domain) -> Prepared:
        """Prepare a photo as for the whole model."""
        return self._whole.prepare(photo, domain)

    def embed(self, prepared: Sequence[Prepared], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos (see `Encoder.embed`)."""
        # Cut last, so that the result is also what stored vectors can be cut to.
        return unit(self._whole.embed(prepared, domains)[:, : self.dimension])


def require_models(name: str, n_models: int, prepared: Sequence[Prepared]) -> None:
    """Raise `ModelError` when photos were prepared for another number of models."""
    if any(len(views) != n_models for views in prepared):
        raise ModelError(
            f"model {name} has {n_models} members, and photos were prepared for "
            f"{sorted({len(views) for views in prepared})}"
        )
