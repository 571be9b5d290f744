"""What an encoder is shown of a photo, and the vector that follows from it.

A recipe may ask for several views of a photo (zooms, mirror images), and an ensemble has a recipe
for each of its members. Whoever embeds photos calls, in this order, `decode_target` for
`shoplens.pixels.decoding.decode`, `prepare`, and `vectors_of`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from shoplens.errors import ModelError
from shoplens.models.encoder import Encoder, LeadingEncoder, unit
from shoplens.models.ensemble import Ensemble
from shoplens.models.recipe import Recipe
from shoplens.pixels.borders import LEAST_SIDE, without_border
from shoplens.pixels.crops import crop_views, with_margin
from shoplens.pixels.decoding import Decoded
from shoplens.records import Domain, Vectors

Prepared = tuple[npt.NDArray[np.uint8], ...]
"""What an encoder is shown of one photo: for each member of an ensemble (one for a single model)
its views, (v, s, s, 3) uint8, RGB."""


def decode_target(
    encoder: Encoder, domain: Domain | None = None
) -> tuple[int, Literal["longer", "shorter"]]:
    """Return `target` and `target_side` for `shoplens.pixels.decoding.decode`: what the views need.

    With `domain`, for photos of that domain only: cutting borders, which asks for large pictures,
    is often asked of one.
    """
    recipes = [member.recipe for member in _members(encoder)]
    target = max(_pixels_needed(recipe, domain) for recipe in recipes)
    return target, "longer" if all(recipe.fit == "pad" for recipe in recipes) else "shorter"


def prepare(photo: Decoded, domain: Domain, encoder: Encoder) -> Prepared:
    """Make the views of a photo that an encoder wants (see `Prepared`).

    They are in the order of the recipe's zooms, each followed by its mirror image if the recipe
    asks for them.
    """
    made: dict[str, npt.NDArray[np.uint8]] = {}
    members = _members(encoder)
    if len(members) == 1:
        return (_views(photo, domain, members[0].recipe),)
    prepared = []
    for recipe in (member.recipe for member in members):
        preparation = recipe.preparation()
        if preparation not in made:
            made[preparation] = _views(photo, domain, recipe)
        prepared.append(made[preparation])
    return tuple(prepared)


def vectors_of(
    prepared: Sequence[Prepared], domains: Sequence[Domain], encoder: Encoder
) -> Vectors:
    """Embed prepared photos in one batch.

    Args:
        prepared: what `prepare` made of each photo, for this encoder.
        domains: who took each photo.
        encoder: the model.

    Returns:
        (len(prepared), dimension) float32, rows of unit length: of one photo, the mean of its
        views' vectors, scaled to unit length; of an ensemble, its members' joined.

    Raises:
        ModelError: the photos were prepared for another model.
        PhotoError: reason `no_direction`: a photo's vector is zero or not finite.
    """
    if isinstance(encoder, LeadingEncoder):
        # Cut last, so that the result is also what stored vectors can be cut to.
        return encoder.cut(vectors_of(prepared, domains, encoder.whole))
    if not prepared:
        return np.empty((0, encoder.recipe.dimension), dtype=np.float32)
    members = _members(encoder)
    if any(len(views) != len(members) for views in prepared):
        raise ModelError(
            f"model {encoder.recipe.name} has {len(members)} members, and photos were prepared "
            f"for {sorted({len(views) for views in prepared})}"
        )
    vectors = [
        _mean_over_views([views[i] for views in prepared], domains, member)
        for i, member in enumerate(members)
    ]
    return encoder.joined(vectors) if isinstance(encoder, Ensemble) else vectors[0]


def _members(encoder: Encoder) -> tuple[Encoder, ...]:
    if isinstance(encoder, Ensemble):
        return tuple(member.encoder for member in encoder.members)
    return (encoder,)


def _pixels_needed(recipe: Recipe, domain: Domain | None) -> int:
    """Return the length that a side of the box or photo must have for no view to lack pixels."""
    share = min(1.0, recipe.crop_share * min(recipe.zooms))
    if recipe.trim and (domain is None or domain in recipe.trim):
        share *= LEAST_SIDE
    return math.ceil(recipe.input_size / share)


def _views(photo: Decoded, domain: Domain, recipe: Recipe) -> npt.NDArray[np.uint8]:
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


def _mean_over_views(
    views: Sequence[npt.NDArray[np.uint8]], domains: Sequence[Domain], encoder: Encoder
) -> Vectors:
    n_views = len(views[0])
    pixels = views[0] if len(views) == 1 else np.concatenate(views)
    if n_views == 1:
        return encoder.encode(pixels, domains)
    each = encoder.encode(pixels, [domain for domain in domains for _ in range(n_views)])
    return unit(each.reshape(len(views), n_views, -1).mean(axis=1))
