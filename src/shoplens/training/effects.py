"""What light, lens, sensor and file format do to a photo, and plain grounds to stand on.

Pixels are (h, w, 3) uint8, RGB; nothing is changed in place.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from shoplens.training.geometry import Pixels

Matrix = npt.NDArray[np.float32]
"""(3, 3), from colour to colour; rows that add up to 1 leave grey as it is."""

_GREY = np.array([[0.299, 0.587, 0.114]] * 3, np.float32)
_LEVELS = np.arange(256, dtype=np.float32) / 255


def mix(pixels: Pixels, colours: Matrix) -> Pixels:
    """Map colours by a matrix."""
    return _pixels(cv2.transform(pixels, colours))


def colour_variant(rng: np.random.Generator) -> Matrix:
    """Draw another hue, grey, swapped channels, or one channel lost to another."""
    kind = rng.choice(4, p=(0.5, 0.2, 0.2, 0.1))
    if kind == 0:
        axis = np.full(3, rng.uniform(0.15, 0.85) * 2 * np.pi / np.sqrt(3))
        return np.asarray(cv2.Rodrigues(axis)[0], np.float32)
    if kind == 1:
        return _GREY
    order = rng.permutation(3)
    if kind == 3:
        order[0] = order[1]
    return np.eye(3, dtype=np.float32)[order]


def tone(pixels: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Change brightness, contrast and saturation; a strength of 1 is a careless photographer."""
    saturation = 1 + strength * rng.uniform(-0.45, 0.35)
    contrast = 1 + strength * rng.uniform(-0.35, 0.3)
    gain = 1 + strength * rng.uniform(-0.25, 0.2)
    colours = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * _GREY
    # A seller's white must stay white: contrast turns about a point that is lighter for him.
    middle = 0.45 if strength > 0.5 else 0.9
    return _by_level(mix(pixels, colours), ((_LEVELS - middle) * contrast + middle) * gain)


def cast(pixels: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Tint as a wrong white balance does, between lamplight and shade, a little green or pink."""
    warm, pink = rng.uniform(-strength, strength), rng.uniform(-strength, strength) * 0.4
    gains = np.array((1 + warm, 1 - pink, 1 - warm), np.float32)
    return mix(pixels, np.diag(gains / np.mean(gains)))


def low_light(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Expose too little, and let the sensor's noise show."""
    mean = sum(cv2.mean(pixels)[:3]) / 3
    gain = float(np.clip(rng.uniform(40, 85) / max(mean, 1), 0.4, 1.0))
    dark = _by_level(pixels, gain * _LEVELS ** rng.uniform(1.0, 1.2))
    return noise(dark, rng, 8.0)


def blur(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Be out of focus, or move during the exposure."""
    reach = max(pixels.shape[:2]) / 224
    if rng.random() < 0.5:
        return _pixels(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.6, 2.0) * reach))
    length = max(3, int(rng.uniform(3, 10) * reach)) | 1
    kernel = np.zeros((length, length), np.float32)
    middle, angle = (length - 1) / 2, rng.uniform(0, np.pi)
    along = np.array((np.cos(angle), np.sin(angle))) * middle
    ends = np.rint([middle - along, middle + along]).astype(int).tolist()
    cv2.line(kernel, ends[0], ends[1], (1.0,))
    return _pixels(cv2.filter2D(pixels, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT))


def low_resolution(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Keep a third to two thirds of the pixels a side, and scale up again."""
    height, width = pixels.shape[:2]
    share = rng.uniform(0.3, 0.65)
    size = (max(1, round(width * share)), max(1, round(height * share)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return _pixels(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def noise(pixels: Pixels, rng: np.random.Generator, most: float) -> Pixels:
    """Add a sensor's noise: fine in brightness, coarser in colour."""
    height, width = pixels.shape[:2]
    sigma = rng.uniform(most / 4, most)
    fine = rng.standard_normal((height, width), dtype=np.float32) * sigma
    coarse = ((height + 2) // 3, (width + 2) // 3, 3)
    blots = rng.standard_normal(coarse, dtype=np.float32) * (sigma * 0.6)
    stains = cv2.resize(blots, (width, height), interpolation=cv2.INTER_LINEAR)
    grain = cv2.add(stains, cv2.merge([fine] * 3))
    return _pixels(cv2.add(pixels, grain, dtype=cv2.CV_8U))


def jpeg(pixels: Pixels, rng: np.random.Generator, quality: tuple[int, int]) -> Pixels:
    """Save as a JPEG of some quality and read it again."""
    settings = (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*quality)))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)
    return _pixels(cv2.cvtColor(_pixels(cv2.imdecode(data, 1)), cv2.COLOR_BGR2RGB))


def balance(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Bring the photo's average towards grey and its lightest towards white."""
    means = np.maximum(cv2.mean(pixels)[:3], 1)
    gains = np.clip(means.mean() / means, 0.7, 1.4) ** rng.uniform(0.3, 0.8)
    even = mix(pixels, np.diag(gains).astype(np.float32))
    low, high = np.percentile(even[::4, ::4], (1, 97)) / 255
    high = max(float(high), low + 0.2)
    stretched = (_LEVELS - low) / (high - low)
    share = rng.uniform(0.4, 0.9)
    return _by_level(even, share * stretched + (1 - share) * _LEVELS)


def fade(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Let the borders fade to white, more or less."""
    height, width = pixels.shape[:2]
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    power = rng.uniform(2.5, 6)
    reach = (np.abs(x)[None] ** power + np.abs(y)[:, None] ** power) ** (1 / power)
    inner = rng.uniform(0.5, 0.8)
    veil = np.clip((reach - inner) / (1.02 - inner), 0, 1)
    veil = veil * veil * (3 - 2 * veil) * (255 * rng.uniform(0.4, 1.0))
    return lay_over(pixels, np.full_like(pixels, 255), veil.astype(np.uint8))


def obstacle(height: int, width: int, rng: np.random.Generator) -> Pixels:
    """Make the mask, (h, w), of something that hides up to a quarter, off the middle."""
    area = rng.uniform(0.04, 0.25) * height * width
    aspect = np.exp(rng.uniform(-1.2, 1.2))
    sides = (float(np.sqrt(area * aspect)), float(np.sqrt(area / aspect)))
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.55)
    centre = (width * (0.5 + away * np.cos(angle)), height * (0.5 + away * np.sin(angle)))
    shape = (centre, sides, float(rng.uniform(0, 180)))
    mask = np.zeros((height, width), np.uint8)
    if rng.random() < 0.5:
        cv2.ellipse(mask, shape, (255,), -1)
    else:
        cv2.fillConvexPoly(mask, cv2.boxPoints(shape).astype(np.int32), (255,))
    return _pixels(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.6, 2.0)))


def lay_over(pixels: Pixels, cover: Pixels, mask: Pixels) -> Pixels:
    """Lay a cover over a photo where the mask (h, w) is 255, partly where it is less."""
    lit = cv2.merge([mask] * 3)
    front = cv2.multiply(cover, lit, scale=1 / 255)
    return _pixels(cv2.add(front, cv2.multiply(pixels, 255 - lit, scale=1 / 255)))


def shade(ground: Pixels, alpha: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Darken a ground by the soft shadow of what stands before it."""
    height, width = alpha.shape
    # A soft shadow needs few pixels.
    small = cv2.resize(alpha, (56, 56), interpolation=cv2.INTER_AREA)
    move = np.array([[1, 0, rng.uniform(-4, 4)], [0, 1, rng.uniform(0.5, 5)]], np.float32)
    soft = cv2.GaussianBlur(cv2.warpAffine(small, move, (56, 56)), (0, 0), rng.uniform(1.0, 4.0))
    shadow = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    left = _pixels(cv2.convertScaleAbs(shadow, alpha=-strength, beta=255))
    return _pixels(cv2.multiply(ground, cv2.merge([left] * 3), scale=1 / 255))


def surface(height: int, width: int, rng: np.random.Generator) -> Pixels:
    """Make a table, floor or wall of one colour: uneven light, a little grain."""
    grey = rng.uniform(50, 225)
    ground = _gradient(height, width, grey + rng.normal(0, 14, 3), rng.uniform(15, 60), rng)
    return noise(ground, rng, 8.0)


def backdrop(height: int, width: int, rng: np.random.Generator) -> Pixels:
    """Make a studio's background: white, nearly white, light grey, or a soft gradient."""
    kind = rng.choice(4, p=(0.45, 0.2, 0.15, 0.2))
    if kind == 3:
        tint = rng.uniform(225, 250) + rng.normal(0, 4, 3)
        return _gradient(height, width, tint, rng.uniform(8, 25), rng)
    least, most = ((255, 256), (240, 255), (200, 240))[kind]
    ground = np.empty((height, width, 3), np.uint8)
    ground[:] = np.clip(rng.uniform(least, most) + rng.normal(0, 2, 3) * (kind > 0), 0, 255)
    return ground


def _gradient(
    height: int, width: int, colour: npt.NDArray[np.float64], most: float, rng: np.random.Generator
) -> Pixels:
    corners = colour + rng.uniform(-most, most, (2, 2, 1))
    ground = cv2.resize(corners.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(ground, 0, 255).astype(np.uint8)


def _by_level(pixels: Pixels, levels: npt.NDArray[np.floating[Any]]) -> Pixels:
    """Map each channel's levels, 0..1."""
    return _pixels(cv2.LUT(pixels, np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)))


def _pixels(array: Any) -> Pixels:
    return np.asarray(array, dtype=np.uint8)
