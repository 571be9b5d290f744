"""Made printed covers, and photos of them under known homographies in front of clutter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COVER = (360, 480)
SHOT = (800, 600)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Shot:
    """A user's photo of a cover."""

    image: Image.Image
    corners: tuple[tuple[float, float], ...]
    """Where the cover's corners are: top left, top right, bottom right, bottom left."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom around the cover."""
        x, y = zip(*self.corners, strict=True)
        width, height = self.image.size
        right, bottom = min(width, round(max(x))), min(height, round(max(y)))
        return max(0, round(min(x))), max(0, round(min(y))), right, bottom


def cover(seed: int) -> Image.Image:
    """Return a print: blocks of colour, discs and lines of random letters."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", COVER, colour(rng, 90))
    draw = ImageDraw.Draw(image)
    blocks(draw, rng, COVER, 5, 200)
    for _ in range(8):
        size = int(rng.integers(16, 50))
        text = "".join(rng.choice(list(_LETTERS), int(rng.integers(5, 14))))
        at = int(rng.integers(5, COVER[0] // 2)), int(rng.integers(5, COVER[1] - 50))
        draw.text(at, text, fill=colour(rng, 0), font=ImageFont.load_default(size))
    return image


def shot(print_: Image.Image, seed: int, *, tilt: float = 0.06) -> Shot:
    """Return a photo of a print: turned, tilted, smaller, darker and noisy.

    `tilt` is how far the corners leave their places, as a share of the print's height.
    """
    rng = np.random.default_rng(seed)
    image = clutter(seed + 1)
    height = rng.uniform(0.6, 0.8) * SHOT[1]
    aspect = COVER[0] / COVER[1]
    square = np.array([[-aspect, -1], [aspect, -1], [aspect, 1], [-aspect, 1]]) * height / 2
    angle = np.radians(rng.uniform(-20, 20))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = square @ turn.T + rng.uniform(-tilt, tilt, (4, 2)) * height + np.array(SHOT) / 2
    source = np.array([[0, 0], [COVER[0], 0], [COVER[0], COVER[1]], [0, COVER[1]]], dtype=float)
    back = _homography(corners, source)
    warped = print_.transform(SHOT, Image.Transform.PERSPECTIVE, back, Image.Resampling.BICUBIC)
    inside = Image.new("L", COVER, 255).transform(SHOT, Image.Transform.PERSPECTIVE, back)
    image.paste(warped, mask=inside)
    pixels = np.asarray(image, dtype=np.float64) * rng.uniform(0.7, 1.1)
    noisy = np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    return Shot(Image.fromarray(noisy), tuple((float(x), float(y)) for x, y in corners))


def clutter(seed: int, size: tuple[int, int] = SHOT) -> Image.Image:
    """Return what may lie behind a product: blocks and discs."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, colour(rng, 60))
    blocks(ImageDraw.Draw(image), rng, size, 60, 160)
    return image


def colour(rng: np.random.Generator, least: int) -> tuple[int, int, int]:
    red, green, blue = rng.integers(least, 256, 3).tolist()
    return red, green, blue


def blocks(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], n: int, most: int
) -> None:
    for _ in range(n):
        x, y = int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))
        width, height = rng.integers(10, most, 2).tolist()
        shape = draw.rectangle if rng.random() < 0.6 else draw.ellipse
        shape((x, y, x + width, y + height), fill=colour(rng, 0))


def _homography(
    starts: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    ends: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> list[float]:
    """Return the eight coefficients that map four points to four others, as Pillow takes them."""
    rows, values = [], []
    for (x, y), (u, v) in zip(starts, ends, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return list(np.linalg.solve(np.array(rows), np.array(values)))
