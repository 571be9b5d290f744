"""Shoppers' photos made of sellers' photos: cluttered, tilted, badly boxed, with a phone's faults.

Needs nothing beside Pillow and NumPy. `shoplens.training.augment` makes more elaborate views, for
training.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from shoplens.pixels.borders import without_border
from shoplens.pixels.decoding import Decoded
from shoplens.records import Box

Pixels = npt.NDArray[np.uint8]
"""(h, w, 3) uint8, RGB."""

_PLAIN = 14
"""Grey levels by which a plain background may differ from its own colour."""
_CLUTTERED = 0.6
"""Share of the photos with a plain background that get another one."""
_REGION = 0.3
"""Share of the views that show a part of the product."""


def shopper_view(
    photo: Decoded, side: int, rng: np.random.Generator, clutter: Sequence[Image.Image]
) -> Decoded:
    """Make a photo as a shopper might have taken it of the product in a seller's photo.

    Args:
        photo: the seller's photo; its box, or what is inside its plain border, is the product.
        side: pixels that a model looks at on the longer side; the view has no more than twice.
        rng: decides all that is left to chance.
        clutter: other photos, parts of which may be laid behind the product.

    Returns:
        A photo of which all is the box.
    """
    product = photo.box or without_border(photo, _PLAIN)
    box = _jittered(product, rng).clip(photo.size).scaled(photo.scale)
    picture = photo.image
    if (step := int(max(box.width, box.height) // side)) > 1:
        picture, box = picture.reduce(step), box.scaled(1 / step)
    if photo.box is None and clutter and rng.random() < _CLUTTERED:
        picture = _on_clutter(picture, clutter[int(rng.integers(len(clutter)))], rng)
    seen = _with_faults(_tilted(picture, box, rng), rng)
    return replace(photo, image=seen, size=seen.size, scale=1.0, box=None, clipped=False)


def _jittered(box: Box, rng: np.random.Generator) -> Box:
    """Return a careless box; sometimes one around a part of the product."""
    if rng.random() < _REGION:
        width, height = (rng.uniform(0.5, 0.9) * side for side in (box.width, box.height))
        x = rng.uniform(box.x0, box.x1 - width)
        y = rng.uniform(box.y0, box.y1 - height)
        return Box(x, y, x + width, y + height)
    left, top, right, bottom = rng.uniform(-0.08, 0.12, 4)
    return Box(
        box.x0 - left * box.width,
        box.y0 - top * box.height,
        box.x1 + right * box.width,
        box.y1 + bottom * box.height,
    )


def _tilted(picture: Image.Image, box: Box, rng: np.random.Generator) -> Image.Image:
    """Return a region as a camera sees it that is turned, and held from one side."""
    width, height = max(16, round(box.width)), max(16, round(box.height))
    angle = rng.normal(0, math.radians(6))
    sine, cosine = math.sin(angle), math.cos(angle)
    lean_x, lean_y = rng.normal(0, 0.08, 2)
    corners = []
    for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        far = 1 + lean_x * x + lean_y * y
        turned = (cosine * x - sine * y, sine * x + cosine * y)
        corners.append(
            (
                (box.x0 + box.x1) / 2 + turned[0] * far * box.width / 2,
                (box.y0 + box.y1) / 2 + turned[1] * far * box.height / 2,
            )
        )
    size = [(0, 0), (width, 0), (width, height), (0, height)]
    red, green, blue = np.asarray(picture)[0, 0].tolist()
    return picture.transform(
        (width, height),
        Image.Transform.PERSPECTIVE,
        _perspective(size, corners),
        Image.Resampling.BICUBIC,
        fillcolor=(red, green, blue),  # Of what a turned frame shows beyond the photo.
    )


def _perspective(
    targets: Sequence[tuple[float, float]], sources: Sequence[tuple[float, float]]
) -> list[float]:
    """Return the eight coefficients that map four points of a result to four of the source."""
    rows, values = [], []
    for (x, y), (u, v) in zip(targets, sources, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(c) for c in np.linalg.solve(np.array(rows), np.array(values))]


def _on_clutter(picture: Image.Image, behind: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Lay what differs from a plain background over a part of another photo."""
    pixels = np.asarray(picture)
    background = _background(pixels)
    share = float(background.mean())
    if not 0.05 < share < 0.97:  # Not plain, or nothing but background.
        return picture
    width, height = picture.size
    scale = rng.uniform(0.5, 1.0) * min(behind.width / width, behind.height / height)
    w, h = scale * width, scale * height
    x, y = rng.uniform(0, behind.width - w), rng.uniform(0, behind.height - h)
    part = behind.resize(picture.size, Image.Resampling.BILINEAR, (x, y, x + w, y + h))
    if rng.random() < 0.5:
        part = part.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4)))
    mask = Image.fromarray(np.where(background, 255, 0).astype(np.uint8))
    return Image.composite(part, picture, mask.filter(ImageFilter.GaussianBlur(1)))


def _background(pixels: Pixels) -> npt.NDArray[np.bool_]:
    """Return where a photo has the colour of its corner, in a straight line from an edge."""
    same = (np.abs(pixels.astype(np.int16) - pixels[0, 0]) <= _PLAIN).all(axis=2)
    reached = np.zeros(same.shape, dtype=np.bool_)
    for axis in (0, 1):
        for step in (1, -1):
            line = np.flip(same, axis) if step < 0 else same
            found = np.logical_and.accumulate(line, axis=axis)
            reached |= np.flip(found, axis) if step < 0 else found
    return reached


def _with_faults(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change light and colours; sometimes blur, lose detail, add noise, compress."""
    pixels = np.asarray(picture).astype(np.float32)
    contrast, brightness = rng.uniform(0.7, 1.2), rng.uniform(-25, 15)
    pixels = (pixels - 128) * contrast + 128 + brightness
    pixels *= rng.uniform(0.9, 1.1, 3)
    if rng.random() < 0.3:
        pixels += rng.normal(0, rng.uniform(2, 10), pixels.shape)
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    longest = max(picture.size)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.002, 0.008) * longest))
    if rng.random() < 0.3:
        factor = rng.uniform(0.3, 0.7)
        small = [max(8, round(factor * side)) for side in picture.size]
        picture = picture.resize((small[0], small[1])).resize(picture.size)
    if rng.random() < 0.5:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=int(rng.integers(30, 86)))
        picture = Image.open(stream).convert("RGB")
    return picture
