"""Plain borders of catalogue photos: the region inside a background of one colour.

Sellers' photos often show the product small on white. Cut to the product, they show it at about the
size at which shoppers' boxes do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoplens.pixels.decoding import Decoded
from shoplens.records import Box

LEAST_SIDE = 0.25
"""No side becomes shorter than this share of the photo's side. A smaller region may be a label, or
dust on an empty photo, and would be enlarged to a blur."""

_LOOK = 256
"""The photo is examined with at least this many pixels on its longer side, if it has them. An edge
is found to within one of these pixels, which is at most one pixel of what a model sees (in smaller
JPEGs, to within the ringing inside a block of 8)."""

_CORNER = 3
"""Side in pixels (as above) of the corners that say whether the border is plain."""


def without_border(photo: Decoded, tolerance: float = 12) -> Box:
    """Return the region of a photo inside its plain border.

    The border is plain if the four corners of the photo have the same colour. Whole rows and
    columns of that colour are cut off. Where a product reaches the edge, nothing is cut.

    Args:
        photo: a decoded photo; its box is ignored.
        tolerance: grey levels in each of R, G and B by which the border may differ from its own
            colour. Averages over a few pixels are compared, so that noise and what JPEG leaves
            around edges counts little.

    Returns:
        The region in pixels of the upright photo at full scale, each side at least `LEAST_SIDE`
        of the photo's; the whole photo if the border is not plain, or if there is nothing but
        border.
    """
    image = photo.image
    step = max(1, max(image.size) // _LOOK)
    pixels = np.asarray(image.reduce(step) if step > 1 else image)
    whole = Box(0, 0, *photo.size)
    colour = _border_colour(pixels, tolerance)
    if colour is None:
        return whole
    differs = _differs(pixels, colour, tolerance)
    rows = np.flatnonzero(differs.any(axis=1))
    columns = np.flatnonzero(differs.any(axis=0).reshape(-1, 3).any(axis=1))
    if not len(rows):
        return whole
    pixel = step / photo.scale
    x0, x1 = _kept(columns[0] * pixel, (columns[-1] + 1) * pixel, photo.size[0])
    y0, y1 = _kept(rows[0] * pixel, (rows[-1] + 1) * pixel, photo.size[1])
    return Box(x0, y0, x1, y1)


def _border_colour(
    pixels: npt.NDArray[np.uint8], tolerance: float
) -> npt.NDArray[np.float64] | None:
    """Return R, G and B of the four corners, None where they do not agree."""
    near, far = slice(None, _CORNER), slice(-_CORNER, None)
    corners = [pixels[y, x].reshape(-1, 3) for y in (near, far) for x in (near, far)]
    colours = np.concatenate(corners)
    colour: npt.NDArray[np.float64] = np.median(colours, axis=0)
    return colour if (np.abs(colours - colour) <= tolerance).all() else None


def _differs(
    pixels: npt.NDArray[np.uint8], colour: npt.NDArray[np.float64], tolerance: float
) -> npt.NDArray[np.bool_]:
    """Return (h, 3 w): where R, G or B are further from the colour than the tolerance."""
    rows = pixels.reshape(len(pixels), -1)
    # Bytes are compared with bytes: several times as fast as a difference of wider numbers.
    low = np.ceil(np.clip(colour - tolerance, 0, 255)).astype(np.uint8)
    high = np.clip(colour + tolerance, 0, 255).astype(np.uint8)
    width = pixels.shape[1]
    return (rows < np.tile(low, width)) | (rows > np.tile(high, width))


def _kept(start: float, end: float, length: int) -> tuple[float, float]:
    """Return a stretch of an axis inside the photo and no shorter than `LEAST_SIDE` allows."""
    end = min(end, length)
    least = LEAST_SIDE * length
    if end - start >= least:
        return start, end
    start = min(max(0.0, (start + end - least) / 2), length - least)
    return start, start + least
