"""How a model of another library wants its photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from shoplens.errors import ModelError
from shoplens.pixels.crops import Fit
from shoplens.pixels.resampling import Interpolation


@dataclass(frozen=True)
class Preparation:
    """What a model's own configuration says of photos, in the words of `Recipe`."""

    input_size: int
    fit: Fit
    interpolation: Interpolation
    crop_share: float
    """Side of the middle that is kept, as a share of what is resized."""
    mean: tuple[float, float, float]
    """Per channel, in grey levels 0..255."""
    std: tuple[float, float, float]
    pad_colour: tuple[int, int, int] = (0, 0, 0)


def square(model: str, sides: Sequence[int]) -> int:
    """Return the side of a square input.

    Raises `ModelError` for another shape.
    """
    if len(set(sides)) != 1:
        raise ModelError(f"model {model} takes pictures of {tuple(sides)}; only squares are known")
    return int(sides[0])


def known_filter(model: str, name: object) -> Interpolation:
    """Return a resize's filter by name.

    Raises `ModelError` for one that is not known here.
    """
    known: tuple[Interpolation, ...] = get_args(Interpolation)
    for one in known:
        if name == one:
            return one
    raise ModelError(f"model {model} resizes photos by {name!r}, which is not known here")


def three(values: Sequence[float], scale: float) -> tuple[float, float, float]:
    """Return a value per channel, multiplied; one value stands for all channels."""
    red, green, blue = (
        round(scale * value, 6) for value in (values if len(values) == 3 else [values[0]] * 3)
    )
    return red, green, blue
