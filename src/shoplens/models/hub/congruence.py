"""Our pixels held against those of another library, for the same model and photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from shoplens.models.encoder import RecipeEncoder
from shoplens.pixels.decoding import Decoded


@dataclass(frozen=True)
class Congruence:
    """How far two ways of preparing photos are apart, in grey levels 0..255."""

    n_photos: int
    largest: float
    """Over all values of all photos."""
    mean: float
    """Mean absolute difference."""


def compare_preparation(
    encoder: RecipeEncoder, transform: Callable[[Image.Image], Tensor], photos: Iterable[Decoded]
) -> Congruence:
    """Compare what an encoder is shown with what its library would show it.

    Args:
        encoder: a converted model.
        transform: the library's own, as in `ImageTower.transform`.
        photos: decoded at full scale, without a box.
    """
    recipe = encoder.recipe
    mean = np.asarray(recipe.mean)[:, None, None]
    std = np.asarray(recipe.std)[:, None, None]
    largest, means = 0.0, []
    for photo in photos:
        (views,) = encoder.prepare(photo, "seller")
        ours = views[0].transpose(2, 0, 1).astype(np.float64)
        theirs = transform(photo.image).numpy().astype(np.float64) * std + mean
        difference = np.abs(ours - theirs)
        largest = max(largest, float(difference.max()))
        means.append(float(difference.mean()))
    return Congruence(len(means), largest, float(np.mean(means)))
