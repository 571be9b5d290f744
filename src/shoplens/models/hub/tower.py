"""Image towers of other libraries, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image
from torch import Tensor, nn

from shoplens.models.hub.preparation import Preparation
from shoplens.models.recipe import Recipe
from shoplens.models.zoo import list_zoo


@dataclass(frozen=True)
class ImageTower:
    """A network from photos to vectors, and all that a recipe says of it."""

    model: str
    """The name it was loaded by."""
    network: nn.Module
    """From (n, 3, s, s) float32 normalised pixels to (n, dimension), not of unit length; in
    evaluation mode."""
    preparation: Preparation
    transform: Callable[[Image.Image], Tensor]
    """The library's own way from an RGB photo to (3, s, s); ours is held against it."""
    pooling: str
    licence: str
    """Empty where the source states none."""
    sources: tuple[str, ...]

    def recipe(self, dimension: int, *more_sources: str) -> Recipe:
        """Return what a model of this tower says of itself.

        Args:
            dimension: length of its vectors.
            more_sources: what was done to its weights.
        """
        known = {model.name: model.licence for model in list_zoo()}
        preparation = self.preparation
        return Recipe(
            name=self.model,
            version="1",
            dimension=dimension,
            input_size=preparation.input_size,
            fit=preparation.fit,
            pixels="uint8_nhwc",
            mean=preparation.mean,
            std=preparation.std,
            licence=self.licence or known.get(self.model, "not stated by its source"),
            sources=(*self.sources, *more_sources),
            pad_colour=preparation.pad_colour,
            interpolation=preparation.interpolation,
            crop_share=preparation.crop_share,
            pooling=self.pooling,
        )
