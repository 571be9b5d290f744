"""Image towers of other libraries, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image
from torch import Tensor, nn

from shoplens.errors import ModelError
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


def load_tower(model: str) -> ImageTower:
    """Load an image tower: `timm:...`, `open_clip:...` or `hf:...` (see the modules of these).

    Raises:
        MissingError: the library or a file is not there; says which to bring from where.
        ModelError: the name, the weights or the preparation of photos is not known here.
    """
    kind, _, rest = model.partition(":")
    if kind == "timm":
        from shoplens.models.hub.from_timm import load_timm  # noqa: PLC0415

        return load_timm(model, rest)
    if kind == "open_clip":
        from shoplens.models.hub.from_open_clip import load_open_clip  # noqa: PLC0415

        return load_open_clip(model, rest)
    if kind == "hf":
        from shoplens.models.hub.from_hf import load_hf  # noqa: PLC0415

        return load_hf(model, rest)
    raise ModelError(f"model {model}: must begin with timm:, open_clip: or hf:")
