"""What a model is shown of a photo, as its recipe says, and the mean over several views.

A recipe may ask for several views of a photo: zooms, and mirror images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from shoplens.models.recipe import Recipe
from shoplens.models.unit_length import unit
from shoplens.pixels.borders import LEAST_SIDE, without_border
from shoplens.pixels.crops import crop_views, with_margin
from shoplens.pixels.decoding import Decoded
from shoplens.records import Domain, Vectors

Views = npt.NDArray[np.uint8]
"""(v, s, s, 3) uint8, RGB: the views of one photo."""
Prepared = tuple[Views, ...]
"""What an encoder is shown of one photo: the views for each of its models."""
Target = tuple[int, Literal["longer", "shorter"]]
"""`target` and `target_side` for `shoplens.pixels.decoding.decode`."""


def decode_target(recipe: Recipe, domain: Domain | None = None) -> Target:
    """Return what the views need of a photo, so that a large JPEG is decoded no larger.

    With `domain`, for photos of that domain only: cutting borders, which asks for large pictures,
    is often asked of one.
    """
    share = min(1.0, recipe.crop_share * min(recipe.zooms))
    if recipe.trim and (domain is None or domain in recipe.trim):
        share *= LEAST_SIDE
    return math.ceil(recipe.input_size / share), "longer" if recipe.fit == "pad" else "shorter"


def views_of(photo: Decoded, domain: Domain, recipe: Recipe) -> Views:
    """Return the views of a photo that a recipe asks for.

    They are in the order of the recipe's zooms, each followed by its mirror image if the recipe
    asks for them.
    """
    box = photo.box
    if box is None and domain in recipe.trim:
        box = without_border(photo, recipe.trim_tolerance)
    elif box is not None and (margin := recipe.margin.get(domain)):
        box = with_margin(box, margin, photo.size)
    return crop_views(
        photo if box is photo.box else replace(photo, box=box),
        size=recipe.input_size,
        fit=recipe.fit,
        pad_colour=recipe.pad_colour,
        interpolation=recipe.interpolation,
        zooms=[recipe.crop_share * zoom for zoom in recipe.zooms],
        flip=recipe.flip,
    )


def mean_over_views(
    views: Sequence[Views],
    domains: Sequence[Domain],
    encode: Callable[[Views, Sequence[Domain]], Vectors],
) -> Vectors:
    """Embed the views of several photos in one call.

    Args:
        views: of n photos, the same number of each.
        domains: who took each photo, n of them.
        encode: embeds squares of pixels.

    Returns:
        (n, d) float32: of each photo the mean of its views' unit vectors, scaled to unit length.
    """
    n_views = len(views[0])
    pixels = views[0] if len(views) == 1 else np.concatenate(views)
    if n_views == 1:
        return encode(pixels, domains)
    each = encode(pixels, [domain for domain in domains for _ in range(n_views)])
    return unit(each.reshape(len(views), n_views, -1).mean(axis=1))
