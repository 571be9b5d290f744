"""Where a product lies in a view: a camera held askew, a careless box, and the region's pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from shoplens.records import Box

Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]
"""(n, 2): x and y, counted from the top-left corner of the first pixel."""
Matrix = npt.NDArray[np.float32]
"""(3, 3), a projective map of points."""

Sides = tuple[bool, bool, bool, bool]
"""Left, top, right, bottom."""

_LOOSE = 1 / 6
"""Share of boxes that are much too large."""


def jitter(box: Box, amount: float, rng: np.random.Generator) -> Box:
    """Draw a careless box: each side is off by up to `amount` of the size, seldom by far outwards.

    Each side stays in its half: the middle of the box is always within.
    """
    if not amount:
        return box
    outwards = rng.uniform(-amount, amount, 4)
    if rng.random() < _LOOSE:
        outwards = np.abs(outwards) * 4
    left, top, right, bottom = (float(side) for side in np.maximum(outwards, -0.45))
    return Box(
        box.x0 - left * box.width,
        box.y0 - top * box.height,
        box.x1 + right * box.width,
        box.y1 + bottom * box.height,
    )


def cut_side(box: Box, share: float, rng: np.random.Generator) -> Box:
    """Move one side inwards: there the photo ended."""
    sides = [box.x0, box.y0, box.x1, box.y1]
    side = int(rng.integers(4))
    length = box.height if side % 2 else box.width
    sides[side] += length * share if side < 2 else -length * share
    return Box(*sides)


def hold(box: Box, within: Box, sides: Sides) -> Box:
    """Keep some sides of a box from lying outside another."""
    left, top, right, bottom = sides
    return Box(
        max(box.x0, within.x0) if left else box.x0,
        max(box.y0, within.y0) if top else box.y0,
        min(box.x1, within.x1) if right else box.x1,
        min(box.y1, within.y1) if bottom else box.y1,
    )


def clip(box: Box, frame: Box) -> Box:
    """Return the part of a box inside a photo's frame."""
    return hold(box, frame, (True, True, True, True))


def mirror(box: Box, width: float) -> Box:
    """Return a box where it lies in the mirror image of a photo of some width."""
    return Box(width - box.x1, box.y0, width - box.x0, box.y1)


def bounds(points: Points) -> Box:
    """Return the smallest box around points."""
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return Box(float(x0), float(y0), float(x1), float(y1))


def tilted(
    rng: np.random.Generator, rotation: float, perspective: float, strength: float
) -> Matrix | None:
    """Draw how a camera is held askew, for the square from -1 to 1; None for not at all."""
    roll = np.deg2rad(rng.uniform(-rotation, rotation))
    yaw, pitch = 0.0, 0.0
    if rng.random() < perspective:
        yaw, pitch = rng.uniform(-0.6, 0.6) * strength, rng.uniform(-0.4, 0.4) * strength
    if roll == yaw == pitch == 0:
        return None
    turn, _ = cv2.Rodrigues(np.array((pitch, yaw, 0.0)))
    spin, _ = cv2.Rodrigues(np.array((0.0, 0.0, roll)))
    both, distance = spin @ turn, rng.uniform(2.0, 4.0)
    rows = [[*both[0, :2], 0], [*both[1, :2], 0], [*(both[2, :2] / distance), 1]]
    return np.array(rows, np.float32)


def about(box: Box, tilt: Matrix | None) -> Matrix:
    """Return a tilt, given for the square from -1 to 1, about the middle of a box."""
    if tilt is None:
        return np.eye(3, dtype=np.float32)
    half = max(box.width, box.height) / 2
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    there = np.array([[half, 0, x], [0, half, y], [0, 0, 1]], np.float32)
    back = np.array([[1 / half, 0, -x / half], [0, 1 / half, -y / half], [0, 0, 1]], np.float32)
    return np.asarray(there @ tilt @ back, np.float32)


def inside(box: Box, there: Matrix, frame: Box) -> Box:
    """Shrink a region of a tilted photo until no corner lacks pixels, by a sixth at most."""
    back = np.linalg.inv(there)
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    for share in (1.0, 0.94, 0.88, 0.83):
        w, h = box.width / 2 * share, box.height / 2 * share
        smaller = Box(x - w, y - h, x + w, y + h)
        corners = ((x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h))
        seen = bounds(project(np.array(corners, np.float32), back))
        if seen.x0 >= -1 and seen.y0 >= -1 and seen.x1 <= frame.x1 + 1 and seen.y1 <= frame.y1 + 1:
            break
    return smaller


def project(points: Points, matrix: Matrix) -> Points:
    """Map points."""
    return np.asarray(cv2.perspectiveTransform(points[None], matrix)[0], np.float32)


def warp(
    pixels: Pixels, matrix: Matrix, box: Box, side: float, border: int = cv2.BORDER_CONSTANT
) -> Pixels:
    """Return the region `box` of the transformed pixels, its longer side resized to `side`."""
    scale = side / max(box.width, box.height)
    width, height = max(1, round(box.width * scale)), max(1, round(box.height * scale))
    # One linear resampling takes 2 x 2 pixels; for larger steps the pixels are averaged first.
    if scale < 0.7:
        full = pixels.shape[:2]
        pixels = np.asarray(
            cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
        grown = (full[1] / pixels.shape[1], full[0] / pixels.shape[0], 1)
        matrix = matrix @ np.diag(grown).astype(np.float32)
    to_canvas = np.array(
        [
            [width / box.width, 0, -box.x0 * width / box.width],
            [0, height / box.height, -box.y0 * height / box.height],
            [0, 0, 1],
        ],
        np.float32,
    )
    # OpenCV counts from the middle of a pixel, boxes from its corner.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], np.float32)
    whole = np.linalg.inv(half) @ to_canvas @ matrix @ half
    warped = cv2.warpPerspective(
        pixels, whole, (width, height), flags=cv2.INTER_LINEAR, borderMode=border
    )
    return np.asarray(warped, np.uint8)
