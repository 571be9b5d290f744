"""Why two photos match: heat maps of the regions that do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens.boxes.foreground import sampling
from shoplens.embedding.sets import Picture, as_photo
from shoplens.errors import ModelError, PhotoError
from shoplens.models import BASE_MODEL, Encoder, Recipe, builtin_names, load_recipe
from shoplens.patches.patch_map import (
    PatchMap,
    PreparedRegion,
    Similarities,
    patch_map,
    prepare_region,
    similarities,
)
from shoplens.records import Box, Photo

GRID = 24
"""Places of a heat map on either side."""
_DIGITS = 3

Heat = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class MatchedRegion:
    """How much each place of a photo has to do with the match."""

    heat: Heat
    """(24, 24) float32, 0..1: rows of places from the top left corner of the box, whatever its
    shape. The hottest place has 1; all are 0 if nothing matches."""
    box: Box
    """What the map covers, in pixels of the upright photo: the photo's box, or the whole photo."""
    width: int
    """Of the upright photo, in pixels."""
    height: int

    def to_json(self) -> dict[str, Any]:
        """Return it with the map as lists of numbers of three digits."""
        return {
            "width": self.width,
            "height": self.height,
            "box": str(self.box),
            "heat": np.round(self.heat.astype(np.float64), _DIGITS).tolist(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Which regions of a query and of a result match."""

    query: MatchedRegion
    result: MatchedRegion

    def to_json(self) -> dict[str, Any]:
        """Return both maps."""
        return {"query": self.query.to_json(), "result": self.result.to_json()}


def explain(
    query: Picture | Photo,
    result: Picture | Photo,
    *,
    box: Box | None = None,
    encoder: Encoder | None = None,
) -> Explanation:
    """Show which parts of two photos match.

    The network of lite0-products looks at both. A place is hot if the other photo has a place that
    is much more like it than the rest of that photo is, and if the network finds something there
    that it tells products apart by. It takes about as long as embedding the two photos.

    Args:
        query: the path of a file, the bytes of one, a picture opened by Pillow, or a `Photo` with
            its box.
        result: likewise; a photo that was found.
        box: where in the query the product is, in pixels of the upright photo; None for the box of
            a `Photo`, else the whole photo.
        encoder: the model that found it. Only built-in models and models adapted from them are
            explained: of others, the maps inside are not known.

    Raises:
        PhotoError: a photo cannot be used.
        ModelError: `encoder` is another model.
    """
    if encoder is not None:
        require_explained(encoder)
    asked = query if isinstance(query, Photo) else as_photo(query, "user")
    if box is not None:
        asked = replace(asked, box=box, box_frame="upright")
    found = result if isinstance(result, Photo) else as_photo(result, "seller")
    return explain_in(_prepared(asked), _prepared(found))


def explain_in(query: PreparedRegion, result: PreparedRegion) -> Explanation:
    """Show which parts of two prepared photos match; may be called from several threads."""
    asked, found = patch_map(query), patch_map(result)
    cosines = similarities(asked, found)
    return Explanation(_matched(query, asked, cosines), _matched(result, found, cosines.T))


def require_explained(encoder: Encoder) -> None:
    """Refuse to explain what other networks found: their feature maps are not known.

    Raises `ModelError` unless the encoder is a built-in model, one with another head, or an
    ensemble with one of these.
    """
    if encoder.name in builtin_names():
        return
    if not any(_is_of_the_network(recipe) for recipe in encoder.recipes):
        raise ModelError(
            f"matches of {encoder.name} cannot be explained: its feature maps are not known. Those "
            f"of built-in models and of models adapted from them can be "
            f"({', '.join(builtin_names())})"
        )


def _is_of_the_network(recipe: Recipe) -> bool:
    """Whether a recipe's weights come from those whose maps are known, in whichever precision."""
    own = [each for each in load_recipe(BASE_MODEL).sources if not each.startswith("precision:")]
    return list(recipe.sources[: len(own)]) == own


def _prepared(photo: Photo) -> PreparedRegion:
    try:
        return prepare_region(photo)
    except PhotoError as error:
        raise PhotoError(error.reason, f"{photo.name}: {error}") from error


def _matched(region: PreparedRegion, places: PatchMap, cosines: Similarities) -> MatchedRegion:
    """Return the heat of one side; `cosines` (p, q) are those to the places of the other."""
    # A place that resembles all places of the other photo, such as a plain ground, says nothing.
    excess = np.clip(cosines.max(axis=1) - cosines.mean(axis=1), 0, None)
    heat = (excess * places.strengths).reshape(places.rows, places.columns)
    left, top, right, bottom = places.frame
    grid = (np.arange(GRID) + 0.5) / GRID
    down = sampling(places.rows, top + grid * (bottom - top))
    across = sampling(places.columns, left + grid * (right - left))
    sampled = down @ heat @ across.T
    hottest = sampled.max()
    if hottest > 0:
        sampled = sampled / hottest
    return MatchedRegion(sampled.astype(np.float32), region.box, *region.size)
