"""Sketches: small thumbnails and hashes that survive re-encoding, scaling and an added border.

A photo is sketched in up to three views: the whole photo, what is inside its plain border, and its
box. Each view is resized to a grey square of 32 pixels. The signs of its 64 lowest frequencies are
the hash: the perceptual hash by the cosine transform (Zauner, *Implementation and
Benchmarking of Perceptual Image Hash Functions*, 2010).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from shoplens.pixels.borders import without_border
from shoplens.pixels.decoding import Decoded
from shoplens.records import Box

SIDE = 32
"""Side of a thumbnail in pixels."""
TARGET = 128
"""The size that photos are decoded towards. They keep twice that many pixels, in which borders are
found."""

Region = Literal["whole", "trimmed", "box"]
"""What a view shows of its photo."""

_COLOUR_SIDE = 4
_LEAST_CONTRAST = 2.0
"""Standard deviation in grey levels below which a view shows nothing to compare."""
_SAME = 0.02
"""A region is a separate view if it differs by this share of the photo's sides."""


@dataclass(frozen=True, slots=True, eq=False)
class SketchView:
    """A region of a photo, sketched."""

    part: Region
    hash: int
    """64 bits."""
    grey: npt.NDArray[np.uint8]
    """(32, 32) uint8, the region squeezed to a square."""
    colour: npt.NDArray[np.uint8]
    """(2, 4, 4) uint8: blue and red difference (Cb, Cr)."""
    aspect: float
    """Width / height of the region."""


def sketch(photo: Decoded) -> tuple[SketchView, ...]:
    """Sketch a photo, decoded towards `TARGET` or more.

    Returns the views that differ from each other. Views without contrast are left out.
    """
    views = (_view(photo, part, region) for part, region in _regions(photo))
    return tuple(view for view in views if view is not None)


def hash_of(grey: npt.NDArray[np.uint8]) -> int:
    """Return the 64 bits of a (32, 32) uint8 thumbnail."""
    waves = (_COSINES @ grey.astype(np.float64) @ _COSINES.T)[_ROWS, _COLUMNS]
    # Coefficients of nothing but rounding must not depend on how sums are ordered.
    waves = waves.round(3)
    bits = np.packbits(waves > np.median(waves))
    return int.from_bytes(bits.tobytes(), "big")


def _regions(photo: Decoded) -> Iterator[tuple[Region, Box]]:
    whole = Box(0, 0, *photo.size)
    trimmed = without_border(photo)
    seen = [whole]
    yield "whole", whole
    others: tuple[tuple[Region, Box | None], ...] = (
        ("trimmed", trimmed),
        ("trimmed", _evenly(trimmed, photo.size)),
        ("box", photo.box),
    )
    for part, region in others:
        if region is not None and not any(_alike(region, box, photo.size) for box in seen):
            seen.append(region)
            yield part, region


def _evenly(region: Box, size: tuple[int, int]) -> Box:
    """Return a region with as much on the left as on the right, and above as below.

    A border that was added to a photo is even. If the photo's own background has the border's
    colour, trimming continues into the photo, but hardly ever on both sides.
    """
    x = min(region.x0, size[0] - region.x1)
    y = min(region.y0, size[1] - region.y1)
    return Box(x, y, size[0] - x, size[1] - y)


def _alike(first: Box, second: Box, size: tuple[int, int]) -> bool:
    width, height = (_SAME * side for side in size)
    return (
        abs(first.x0 - second.x0) <= width
        and abs(first.x1 - second.x1) <= width
        and abs(first.y0 - second.y0) <= height
        and abs(first.y1 - second.y1) <= height
    )


def _view(photo: Decoded, part: Region, region: Box) -> SketchView | None:
    box = region.scaled(photo.scale)
    small = photo.image.resize(
        (SIDE, SIDE), Image.Resampling.HAMMING, box=(box.x0, box.y0, box.x1, box.y1)
    )
    pixels = np.asarray(small.convert("YCbCr"))
    grey = np.ascontiguousarray(pixels[:, :, 0])
    if grey.std() < _LEAST_CONTRAST:
        return None
    cell = SIDE // _COLOUR_SIDE
    colour = pixels[:, :, 1:].reshape(_COLOUR_SIDE, cell, _COLOUR_SIDE, cell, 2).mean(axis=(1, 3))
    return SketchView(
        part,
        hash_of(grey),
        grey,
        np.ascontiguousarray(colour.round().astype(np.uint8).transpose(2, 0, 1)),
        region.width / region.height,
    )


def _cosines() -> npt.NDArray[np.float64]:
    """Return the orthonormal matrix of the cosine transform (DCT-II) of 32 values."""
    places = np.arange(SIDE)
    matrix: npt.NDArray[np.float64] = np.cos(np.pi * np.outer(places, places + 0.5) / SIDE)
    matrix *= np.sqrt(2 / SIDE)
    matrix[0] /= np.sqrt(2)
    return matrix


_COSINES = _cosines()
_LOWEST = sorted(
    ((u, v) for u in range(SIDE) for v in range(SIDE) if u or v),
    key=lambda place: (place[0] ** 2 + place[1] ** 2, place),
)[:64]
"""The 64 waves of lowest frequency, the mean left out."""
_ROWS = np.array([u for u, _ in _LOWEST])
_COLUMNS = np.array([v for _, v in _LOWEST])
