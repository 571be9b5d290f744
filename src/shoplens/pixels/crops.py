"""From a decoded photo and its box to the square of pixels a model takes.

This is the one resize path to a vector: training, embedding and serving all come through
`crop` or `crop_views`, so that a photo gives the same vector wherever it is embedded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from shoplens.pixels.decoding import Decoded
from shoplens.pixels.resampling import Interpolation, resample
from shoplens.records import Box

Fit = Literal["pad", "squash", "crop"]
"""How a region that is not square becomes a square: `pad` adds borders, `squash` stretches it,
`crop` cuts off the ends of the longer side."""


def crop(
    photo: Decoded,
    *,
    size: int,
    fit: Fit,
    pad_colour: tuple[int, int, int] = (255, 255, 255),
    interpolation: Interpolation = "bicubic",
) -> npt.NDArray[np.uint8]:
    """Cut the photo's region out and resize it to a square, antialiased, in one step.

    Args:
        photo: a decoded photo; its `box` is the region, None the whole photo.
        size: side of the square in pixels.
        fit: how the region becomes a square.
        pad_colour: RGB of the borders that `pad` adds.
        interpolation: the resize's filter.

    Returns:
        (size, size, 3) uint8, RGB.
    """
    views = crop_views(
        photo, size=size, fit=fit, pad_colour=pad_colour, interpolation=interpolation
    )
    square: npt.NDArray[np.uint8] = views[0]
    return square


def crop_views(
    photo: Decoded,
    *,
    size: int,
    fit: Fit,
    pad_colour: tuple[int, int, int] = (255, 255, 255),
    interpolation: Interpolation = "bicubic",
    zooms: Sequence[float] = (1.0,),
    flip: bool = False,
) -> npt.NDArray[np.uint8]:
    """Make several squares of the photo's region: one for each zoom, also mirrored if asked for.

    Args:
        photo: as for `crop`.
        size: as for `crop`.
        fit: as for `crop`.
        pad_colour: as for `crop`.
        interpolation: as for `crop`.
        zooms: for each view, a factor by which the region grows around its centre. Above 1 the
            surroundings come into view. With `pad`, what lies outside the photo becomes border, so
            the product keeps its size and place in the square; otherwise the region ends where the
            photo does.
        flip: whether each view is followed by its mirror image: that of the mirrored photo.

    Returns:
        (v, size, size, 3) uint8, RGB: v = len(zooms), twice that with `flip`.
    """
    whole = photo.box or Box(0, 0, *photo.size)
    views: list[npt.NDArray[np.uint8]] = []
    for zoom in zooms:
        wanted = _zoomed(whole, zoom)
        shown = wanted if zoom == 1 else wanted.clip(photo.size)
        if fit == "pad":
            views += _padded_views(photo, wanted, shown, size, pad_colour, interpolation, flip)
        else:
            region = shown if fit == "squash" else _central_square(shown)
            square = resample(photo.image, region.scaled(photo.scale), (size, size), interpolation)
            views += [square, square[:, ::-1]] if flip else [square]
    return views[0][None] if len(views) == 1 else np.stack(views)


def with_margin(box: Box, share: float, size: tuple[int, int]) -> Box:
    """Return the box with `share` of its width and height added on each side.

    The part inside a photo of `size` (width, height) pixels.
    """
    x, y = box.width * share, box.height * share
    return Box(box.x0 - x, box.y0 - y, box.x1 + x, box.y1 + y).clip(size)


def _zoomed(region: Box, zoom: float) -> Box:
    if zoom == 1:
        return region  # To the last bit.
    x, y = (region.x0 + region.x1) / 2, (region.y0 + region.y1) / 2
    half_width, half_height = region.width * zoom / 2, region.height * zoom / 2
    return Box(x - half_width, y - half_height, x + half_width, y + half_height)


def _central_square(region: Box) -> Box:
    side = min(region.width, region.height)
    x = region.x0 + (region.width - side) / 2
    y = region.y0 + (region.height - side) / 2
    return Box(x, y, x + side, y + side)


def _padded_views(
    photo: Decoded,
    wanted: Box,
    shown: Box,
    size: int,
    colour: tuple[int, int, int],
    interpolation: Interpolation,
    flip: bool,
) -> list[npt.NDArray[np.uint8]]:
    """Return the square of a region between borders, and its mirror image.

    `shown` is the part of the region `wanted` that lies in the photo. The mirrored square is laid
    out separately, so that borders that differ by a pixel do so on the same sides.
    """
    factor = size / max(wanted.width, wanted.height)
    width, height = _length(shown.width, factor), _length(shown.height, factor)
    content = resample(photo.image, shown.scaled(photo.scale), (width, height), interpolation)
    top = _offset(wanted.height, shown.y0 - wanted.y0, height, factor, size)
    left = _offset(wanted.width, shown.x0 - wanted.x0, width, factor, size)
    views = [_padded(content, top, left, size, colour)]
    if flip:
        left = _offset(wanted.width, wanted.x1 - shown.x1, width, factor, size)
        views.append(_padded(content[:, ::-1], top, left, size, colour))
    return views


def _length(side: float, factor: float) -> int:
    return max(1, round(side * factor))


def _offset(wanted: float, before: float, shown: int, factor: float, size: int) -> int:
    """Return where, on one axis of the square, the part of a region inside the photo begins.

    `wanted` is the region's length and `before` the length of it that lies before the photo, both
    in pixels of the photo; `shown` is the length of the part in the square.
    """
    border = (size - _length(wanted, factor)) // 2
    return min(border + round(before * factor), size - shown)


def _padded(
    content: npt.NDArray[np.uint8],
    top: int,
    left: int,
    size: int,
    colour: tuple[int, int, int],
) -> npt.NDArray[np.uint8]:
    height, width = content.shape[:2]
    square = np.empty((size, size, 3), dtype=np.uint8)
    # A row at a time: to lay three bytes at a time takes numpy longer than all the rest.
    square.reshape(size, -1)[:] = np.tile(np.array(colour, dtype=np.uint8), size)
    square[top : top + height, left : left + width] = content
    return square
