"""A product without its background: from a photo's alpha, or cut from a plain background."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ImageOps

from shoplens.pixels.decoding import decode, read_bytes
from shoplens.pixels.opening import open_image
from shoplens.records import Box
from shoplens.training.geometry import Pixels, Points, Sides, bounds, clip, mirror

_PLAIN_SHARE = 0.7
"""Share of the border that must have the background's colour; a product may touch the frame."""
_TOLERANCE = 9.0
"""Distance in 8-bit Lab that JPEG noise and a studio's light make within a background."""
_COVERAGE = (0.02, 0.93)
"""Share of a photo that a product covers; less is a speck, more is no background."""
_FRAYED = 0.25
"""Share by which closing gaps may make a product larger; more, and the background leaked in."""
_SOLID = 128
"""Alpha from which on a pixel belongs to the product and not to its shadow or edge."""
_SURROUNDINGS = 0.15
"""Share of a box's size that is read beyond each side, for views whose box is careless."""
_RESAMPLED = 4
"""Pixels beyond each side that are read in any case: what resampling looks at."""


@dataclass(frozen=True, slots=True)
class Foreground:
    """A product, without what was behind it."""

    rgba: Pixels
    """(h, w, 4), colours multiplied by alpha: what lies behind can simply be added."""
    outline: Points
    """The corners of its convex hull."""
    part: Box | None = None
    """Where it was looked for; None for all of `rgba`."""

    @property
    def cut_sides(self) -> Sides:
        """Where the photo's frame, or what was looked at of it, cuts it off."""
        height, width = self.rgba.shape[:2]
        box, part = bounds(self.outline), self.part or Box(0, 0, width, height)
        return (
            box.x0 < part.x0 + 2,
            box.y0 < part.y0 + 2,
            box.x1 > part.x1 - 2,
            box.y1 > part.y1 - 2,
        )

    def within(self, box: Box) -> Foreground | None:
        """Return what of it lies in a box; None where that is no product."""
        x0, y0 = math.floor(box.x0), math.floor(box.y0)
        x1, y1 = math.ceil(box.x1), math.ceil(box.y1)
        rgba = np.zeros_like(self.rgba)
        rgba[y0:y1, x0:x1] = self.rgba[y0:y1, x0:x1]
        outline = _outline(rgba[..., 3])
        return None if outline is None else Foreground(rgba, outline, Box(x0, y0, x1, y1))

    def mirrored(self) -> Foreground:
        """Return it as in a mirror."""
        width = self.rgba.shape[1]
        outline = np.array((width, 0), np.float32) + self.outline * np.array((-1, 1), np.float32)
        part = self.part and mirror(self.part, width)
        return Foreground(np.ascontiguousarray(self.rgba[:, ::-1]), outline, part)

    def recoloured(self, matrix: npt.NDArray[np.float32]) -> Foreground:
        """Return it with its colours mapped by a (3, 3) matrix."""
        whole = np.eye(4, dtype=np.float32)
        whole[:3, :3] = matrix
        rgba = cv2.transform(self.rgba, whole)
        rgba[..., :3] = np.minimum(rgba[..., :3], rgba[..., 3:])
        return Foreground(_pixels(rgba), self.outline, self.part)


@dataclass(frozen=True, slots=True)
class Source:
    """A photo, or the surroundings of its box, as read: no larger than views need it."""

    pixels: Pixels
    """(h, w, 3), RGB, transparency flattened on white."""
    frame: Box
    """All of it, in `pixels`."""
    box: Box
    """The product's box, in `pixels`; of a photo without one, the frame."""
    foreground: Foreground | None
    """None where the photo is opaque and was not or could not be cut."""
    transparent: bool
    """Whether the photo has no background of its own."""


def read_source(path: Path, side: int, *, cut: bool = True, box: Box | None = None) -> Source:
    """Read a photo, and cut its product out where that can be done.

    Args:
        path: the photo's file.
        side: larger photos (of one with a box, larger boxes) are reduced to this many pixels on the
            longer side.
        cut: whether to look for a product on a plain background.
        box: where the product is, in pixels of the upright photo; only this and a little around it
            is read.

    Raises:
        PhotoError: as `shoplens.pixels.decoding.decode` does.
    """
    data = read_bytes(path)
    straight = _read_transparent(data)
    if straight is not None:
        rgba, region = _premultiply(straight), None
        if box is None:
            rgba = _shrink(rgba, side)
        else:
            inside = box.clip((rgba.shape[1], rgba.shape[0]))
            rgba, region = _surroundings(rgba, inside, side)
        if (product := _whole_product(rgba, region)) is not None:
            frame = _frame(rgba)
            flat = over(rgba, np.full((*rgba.shape[:2], 3), 255, np.uint8))
            return Source(flat, frame, region or frame, product, True)
    photo = decode(data, box=box, target=side // 2)
    pixels, frame = np.asarray(photo.image), Box(0, 0, *photo.size).scaled(photo.scale)
    if photo.box is not None:
        pixels, region = _surroundings(pixels, photo.box.scaled(photo.scale), side)
        product = cut_out(pixels) if cut else None
        return Source(pixels, _frame(pixels), region, product and product.within(region), False)
    longest = max(pixels.shape[:2])
    if longest > side:
        pixels = _shrink(pixels, side)
        frame = _frame(pixels)
    return Source(pixels, frame, frame, cut_out(pixels) if cut else None, False)


def over(rgba: Pixels, background: Pixels) -> Pixels:
    """Lay a foreground, colours multiplied by alpha, over a background of its size."""
    through = cv2.merge([255 - rgba[..., 3]] * 3)
    return _pixels(cv2.add(rgba[..., :3], cv2.multiply(background, through, scale=1 / 255)))


def lit_like(rgba: Pixels, ground: Pixels) -> Pixels:
    """Bring a product's brightness a little towards that of its surroundings."""
    share = cv2.mean(rgba)
    product = sum(share[:3]) / max(share[3], 1) * 85
    around = sum(cv2.mean(ground)[:3]) / 3
    gain = float(np.clip(((around + 60) / (product + 60)) ** 0.4, 0.6, 1.25))
    lit = rgba.copy()
    lit[..., :3] = cv2.min(
        cv2.convertScaleAbs(rgba[..., :3], alpha=gain), cv2.merge([rgba[..., 3]] * 3)
    )
    return _pixels(lit)


def cut_out(pixels: Pixels) -> Foreground | None:
    """Cut a product from a plain background.

    The background is what has the border's colour and reaches the border; enclosed spots of that
    colour, such as a white label, stay with the product.

    Args:
        pixels: (h, w, 3), RGB.

    Returns:
        None where the borders are not plain or what is left is implausible as a product.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < 16:
        return None
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    edge = max(2, min(height, width) // 50)
    border = np.concatenate(
        [part.reshape(-1, 3) for part in (lab[:edge], lab[-edge:], lab[:, :edge], lab[:, -edge:])]
    ).astype(np.float32)
    colour = np.median(border, axis=0)
    strays = np.linalg.norm(border - colour, axis=1)
    tolerance = max(_TOLERANCE, 2 * float(np.median(strays)))
    if tolerance > 2 * _TOLERANCE or np.mean(strays < tolerance) < _PLAIN_SHARE:
        return None
    away = cv2.absdiff(lab, np.broadcast_to(colour.astype(np.uint8), lab.shape))
    squares = cv2.multiply(away, away, dtype=cv2.CV_32F)
    distance = cv2.sqrt(cv2.transform(squares, np.ones((1, 3), np.float32)))
    product = _without_specks(_not_connected(distance < tolerance))
    if product is None:
        return None
    # At the edge product and background are mixed; colour tells how much of each, by how far from
    # the background it is compared with the product's nearby.
    inner, least = cv2.erode(product, _disc(7)), tolerance / 2
    whole = np.maximum(cv2.dilate(distance, _disc(9)) * 0.85 - least, tolerance)
    mixed = np.clip((distance - least) * (255 / whole), 0, 255).astype(np.uint8)
    alpha = _pixels(cv2.max(inner, cv2.min(cv2.blur(product, (3, 3)), mixed)))
    outline = _outline(alpha)
    if outline is None:
        return None
    plain = cv2.cvtColor(colour.astype(np.uint8).reshape(1, 1, 3), cv2.COLOR_LAB2RGB)
    behind = cv2.multiply(
        np.broadcast_to(plain, pixels.shape).copy(), cv2.merge([255 - alpha] * 3), scale=1 / 255
    )
    rgb = cv2.min(cv2.subtract(pixels, behind), cv2.merge([alpha] * 3))
    return Foreground(_pixels(cv2.merge([rgb, alpha])), outline)


def _whole_product(rgba: Pixels, region: Box | None) -> Foreground | None:
    """Return all that is solid, of a region; None where nothing is."""
    if (outline := _outline(rgba[..., 3])) is None:
        return None
    product = Foreground(rgba, outline)
    return product if region is None else product.within(region)


def _not_connected(background: npt.NDArray[np.bool_]) -> Pixels:
    """Return 255 where no path over background pixels leads to the border."""
    framed = np.pad(background.astype(np.uint8), 1, constant_values=1)
    _, labels = cv2.connectedComponents(framed, connectivity=4)
    return np.where(labels[1:-1, 1:-1] == labels[0, 0], 0, 255).astype(np.uint8)


def _without_specks(mask: Pixels) -> Pixels | None:
    """Keep what is large enough to be a product; None where that is implausible as one."""
    mask = _pixels(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(3)))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return None
    large = np.concatenate([[False], areas >= int(np.max(areas)) / 20])
    kept = (large[labels] * 255).astype(np.uint8)
    area = np.count_nonzero(kept)
    if not _COVERAGE[0] <= area / kept.size <= _COVERAGE[1]:
        return None
    gap = max(3, min(kept.shape) // 25) | 1
    reach = cv2.copyMakeBorder(kept, gap, gap, gap, gap, cv2.BORDER_CONSTANT, value=(0,))
    closed = cv2.morphologyEx(reach, cv2.MORPH_CLOSE, np.ones((gap, gap), np.uint8))
    return kept if np.count_nonzero(closed) <= (1 + _FRAYED) * area else None


def _outline(alpha: Pixels) -> Points | None:
    solid = alpha >= _SOLID
    rows = np.flatnonzero(solid.any(axis=1))
    if np.count_nonzero(solid) < 16 or len(rows) < 3:
        return None
    first = solid[rows].argmax(axis=1)
    last = solid.shape[1] - 1 - solid[rows, ::-1].argmax(axis=1)
    ends = np.column_stack([np.concatenate([first, last]), np.concatenate([rows, rows])])
    # A pixel's number is its top-left corner; half a pixel more is its middle.
    hull = cv2.convexHull(ends.astype(np.int32)).reshape(-1, 2).astype(np.float32) + 0.5
    return hull if np.all(np.ptp(hull, axis=0) >= 2) else None


def _read_transparent(data: bytes) -> Pixels | None:
    """Return straight RGBA of a photo that has transparent pixels, upright; None for others."""
    try:
        image = open_image(data)
        if image.mode != "RGBA":
            return None
        rgba = np.asarray(ImageOps.exif_transpose(image))
    except Exception:
        return None  # `decode` tells what is wrong with it.
    return rgba if rgba[..., 3].min() < _SOLID else None


def _premultiply(straight: Pixels) -> Pixels:
    alpha = straight[..., 3]
    rgb = cv2.multiply(straight[..., :3], cv2.merge([alpha] * 3), scale=1 / 255)
    return _pixels(cv2.merge([rgb, alpha]))


def _surroundings(pixels: Pixels, box: Box, side: int) -> tuple[Pixels, Box]:
    """Cut a box out with a little around it, the box reduced to a side; return it within that."""
    height, width = pixels.shape[:2]
    x, y = (max(_SURROUNDINGS * length, _RESAMPLED) for length in (box.width, box.height))
    left, top = max(0, math.floor(box.x0 - x)), max(0, math.floor(box.y0 - y))
    right, bottom = min(width, math.ceil(box.x1 + x)), min(height, math.ceil(box.y1 + y))
    part = np.ascontiguousarray(pixels[top:bottom, left:right])
    longest = max(box.width, box.height)
    small = part
    if longest > side:
        small = _shrink(part, max(1, round(max(part.shape[:2]) * side / longest)))
    fx, fy = small.shape[1] / part.shape[1], small.shape[0] / part.shape[0]
    x0, y0, x1, y1 = box.x0 - left, box.y0 - top, box.x1 - left, box.y1 - top
    return small, clip(Box(x0 * fx, y0 * fy, x1 * fx, y1 * fy), _frame(small))


def _frame(pixels: Pixels) -> Box:
    return Box(0, 0, pixels.shape[1], pixels.shape[0])


def _shrink(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    if max(height, width) <= side:
        return pixels
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return _pixels(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _disc(size: int) -> Pixels:
    return _pixels(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def _pixels(array: Any) -> Pixels:
    return np.asarray(array, dtype=np.uint8)
