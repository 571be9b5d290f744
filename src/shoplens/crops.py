"""From a decoded photo and its box to the square of pixels a model takes.

This is the one resize path to a vector: training, embedding and serving all come through
`crop`, so that a photo gives the same vector wherever it is embedded.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from shoplens.images import Decoded
from shoplens.records import Box

Fit = Literal["pad", "squash", "crop"]
"""How a region that is not square becomes a square: `pad` adds borders, `squash` stretches it,
`crop` cuts the longer side's ends off."""


def crop(
    photo: Decoded, *, size: int, fit: Fit, pad_colour: tuple[int, int, int] = (255, 255, 255)
) -> npt.NDArray[np.uint8]:
    """Cut the photo's region out and resize it to a square, antialiased, in one step.

    Args:
        photo: a decoded photo; its `box` is the region, None the whole photo.
        size: side of the square in pixels.
        fit: how the region becomes a square.
        pad_colour: RGB of the borders that `pad` adds.

    Returns:
        (size, size, 3) uint8, RGB.
    """
    image = photo.image
    region = (photo.box or Box(0, 0, *photo.size)).scaled(photo.scale)
    if fit == "squash":
        return np.asarray(_resize(image, region, (size, size)))
    if fit == "crop":
        return np.asarray(_resize(image, _central_square(region), (size, size)))
    factor = size / max(region.width, region.height)
    width = max(1, round(region.width * factor))
    height = max(1, round(region.height * factor))
    square = np.empty((size, size, 3), dtype=np.uint8)
    square[:] = pad_colour
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = np.asarray(
        _resize(image, region, (width, height))
    )
    return square


def _central_square(region: Box) -> Box:
    side = min(region.width, region.height)
    x = region.x0 + (region.width - side) / 2
    y = region.y0 + (region.height - side) / 2
    return Box(x, y, x + side, y + side)


def _resize(image: Image.Image, region: Box, size: tuple[int, int]) -> Image.Image:
    return image.resize(
        size, Image.Resampling.BICUBIC, box=(region.x0, region.y0, region.x1, region.y1)
    )
