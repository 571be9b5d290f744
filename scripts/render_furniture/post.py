"""Turn raw renders into photos: clean studio shots and phone snapshots (Pillow and numpy)."""

from __future__ import annotations

import io
import random

import numpy as np
from PIL import Image, ImageFilter


def box_blur(image: np.ndarray, radius: int) -> np.ndarray:
    """Mean over a square window, by cumulative sums."""
    size = 2 * radius + 1
    for axis in (0, 1):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (radius + 1, radius)
        total = np.cumsum(np.pad(image, pad, mode="edge"), axis=axis, dtype=np.float32)
        upper = np.take(total, range(size, total.shape[axis]), axis=axis)
        lower = np.take(total, range(total.shape[axis] - size), axis=axis)
        image = (upper - lower) / size
    return image


def denoise(image: np.ndarray, strength: float = 0.035, reach: int = 3) -> np.ndarray:
    """Non-local means: average pixels whose surroundings look alike."""
    total = np.zeros_like(image)
    weights = np.zeros((*image.shape[:2], 1), np.float32)
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    height, width = image.shape[:2]
    for dy in range(2 * reach + 1):
        for dx in range(2 * reach + 1):
            other = padded[dy : dy + height, dx : dx + width]
            gap = box_blur(((other - image) ** 2).mean(-1, keepdims=True), 2)
            weight = np.exp(-gap / strength**2)
            total += weight * other
            weights += weight
    return total / weights


def soft(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur through Pillow."""
    picture = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(sigma)), np.float32) / 255


def studio(raw: Image.Image, mask: Image.Image, style: int, seed: int) -> tuple[Image.Image, int]:
    """A seller photo: denoised, the ground lifted to white (style 0) or to a light grey."""
    rng = random.Random(seed)
    image = denoise(np.asarray(raw.convert("RGB"), np.float32) / 255)
    rim = np.concatenate([image[:12].reshape(-1, 3), image[:, :8].reshape(-1, 3)])
    ground = np.median(rim, 0)
    on = np.asarray(mask.filter(ImageFilter.GaussianBlur(0.6)), np.float32)[..., None] / 255
    grey = ground / ground.max() * rng.uniform(0.86, 0.95)
    gain = (np.full(3, 1.03) if style == 0 else grey) / np.maximum(ground, 0.3)
    bright, middle = np.percentile(image[on[..., 0] > 0.9].max(-1), (97, 50))
    own = min(1.0, 0.93 / max(bright * gain.max(), 0.01))  # keep a pale product's shading
    if middle * gain.max() * own > 0.8 and rng.random() < 0.6:
        gain *= 0.87  # and set it off from the ground
    image = np.clip(image * gain * (own * on + 1 - on), 0, 1)
    picture = Image.fromarray((image * 255 + 0.5).astype(np.uint8))
    return picture.filter(ImageFilter.UnsharpMask(1, 40, 2)), rng.randint(84, 92)


def motion(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Smear along a line, as a moving hand does."""
    steps = max(int(length * 2), 1)
    height, width = image.shape[:2]
    total = np.zeros_like(image)
    pad = int(length) + 1
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    for k in range(steps):
        t = (k / max(steps - 1, 1) - 0.5) * length
        dy, dx = round(pad + t * np.sin(angle)), round(pad + t * np.cos(angle))
        total += padded[dy : dy + height, dx : dx + width]
    return total / steps


def phone(raw: Image.Image, mask: Image.Image, mood: str, seed: int) -> tuple[Image.Image, int]:
    """A user photo: exposure, cast, blur, noise, sharpening; the picture and JPEG quality."""
    rng = random.Random(seed)
    gen = np.random.default_rng(seed)
    image = np.asarray(raw.convert("RGB"), np.float32) / 255
    height, width = image.shape[:2]

    on = np.asarray(mask, np.float32)[..., None] / 255
    bright = image.mean(-1, keepdims=True)
    product = float((bright * on).sum() / max(on.sum(), 1))
    level = 0.5 * float(bright.mean()) + 0.5 * product  # phones meter on the middle
    wanted = {"day": rng.uniform(0.36, 0.55), "lamp": rng.uniform(0.26, 0.45)}.get(
        mood, rng.uniform(0.33, 0.5)
    )
    linear = image**2.2 * (wanted / max(level, 0.02)) ** 2.2
    cast = {"day": (0.96, 1.0, 1.06), "lamp": (1.1, 1.0, 0.82)}.get(mood, (1.0, 1.0, 1.0))
    cast = np.array([c * rng.uniform(0.93, 1.07) for c in cast], np.float32)
    linear = linear * cast
    linear = linear / (1 + 0.25 * np.maximum(linear - 0.6, 0))  # soft highlights

    yy, xx = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    linear *= (1 - rng.uniform(0.05, 0.3) * (yy**2 + xx**2) / 2)[..., None]
    image = np.clip(linear, 0, 1) ** (1 / 2.2)
    image = denoise(image, rng.uniform(0.04, 0.09), 2)  # as phones do, and the render needs it
    grey = image.mean(-1, keepdims=True)
    image = grey + (image - grey) * rng.uniform(0.8, 1.2)

    image = soft(image, rng.choice((0.3, 0.45, 0.6, 0.8, 1.2)))
    if rng.random() < 0.35:
        image = motion(image, rng.uniform(1.5, 5), rng.uniform(0, np.pi))

    sigma = rng.uniform(0.006, 0.022) * (1.5 if mood == "lamp" else 1)
    fine = gen.normal(0, sigma, (height, width, 1)) + gen.normal(0, sigma * 0.5, image.shape)
    coarse = gen.normal(0, 1, (height // 3 + 1, width // 3 + 1, 3)).astype(np.float32)
    blotch = np.kron(coarse, np.ones((3, 3, 1), np.float32))[:height, :width]
    blotch = box_blur(blotch, 1) * sigma * 0.7
    image = image + (fine + blotch) * (1.3 - 0.7 * image)
    picture = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    picture = picture.filter(ImageFilter.UnsharpMask(1.2, rng.choice((0, 60, 110)), 3))
    if rng.random() < 0.3:  # sent through a messenger: packed twice
        store = io.BytesIO()
        picture.save(store, "JPEG", quality=rng.randint(35, 55))
        picture = Image.open(store).convert("RGB")
    return picture, rng.randint(58, 82)
