"""How a product is photographed: the camera and light of each view, drawn from a seed."""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from catalogue import Product

Colour = tuple[float, float, float]
CUT = 0.18  # the share of a product that the frame may leave out


@dataclass(frozen=True)
class Lamp:
    """Light from one side: angles in degrees, azimuth from the product's front.

    ``spread`` is the half width of a soft lamp in degrees; 0 is a hard one with sharp shadows.
    """

    azimuth: float
    elevation: float
    spread: float
    colour: Colour


@dataclass(frozen=True)
class View:
    """One picture to take.

    ``fov`` is the angle of the frame in degrees, ``fill`` the share of the frame's side the
    product spans, ``centre`` where its middle comes to stand, both as shares of the frame.
    ``sky`` and ``ground`` are the light from above and below. ``shadow`` is how dark the shadow on
    the floor is drawn, 0 for none.
    """

    kind: str
    azimuth: float
    elevation: float
    roll: float
    fov: float
    fill: float
    centre: tuple[float, float]
    sky: Colour
    ground: Colour
    lamps: tuple[Lamp, ...]
    exposure: float
    shadow: float


def plan(product: Product, kind: str, number: int, seed: int) -> View:
    """The view of this number: the same for the same product, kind, number and seed."""
    rng = random.Random(f"{seed} {product.id} {kind} {number}")
    return (seller_view if kind == "seller" else user_view)(product, number, rng)


def is_flat(product: Product) -> bool:
    """Whether the product is thin from front to back, so that its side shows little."""
    width, height, depth = product.size
    return depth < 0.22 * max(width, height)


def lies(product: Product) -> bool:
    """Whether the product is flat on the floor or table, so that a low view shows little."""
    width, height, depth = product.size
    return height < 0.12 * max(width, depth)


def tinted(level: float, warmth: float) -> Colour:
    """Light of a strength; warmth 1 is a candle's colour, 0 white, -1 blue shade."""
    r, g, b = colorsys.hsv_to_rgb(0.085 if warmth > 0 else 0.6, min(abs(warmth), 1) * 0.5, 1.0)
    grey = 0.3 * r + 0.6 * g + 0.1 * b
    return (level * r / grey, level * g / grey, level * b / grey)


def seller_view(product: Product, number: int, rng: random.Random) -> View:
    """A studio photo: a long lens, soft and even light; front, three-quarter and side in turn."""
    hand = rng.choice((-1, 1))
    flat, hangs = is_flat(product), product.elevation > 1.2
    angles: tuple[Callable[[], float], ...] = (
        lambda: hand * rng.uniform(24, 44),
        lambda: rng.uniform(-7, 7),
        lambda: -hand * rng.uniform(20, 50),
        lambda: hand * (rng.uniform(40, 60) if flat else rng.uniform(65, 92)),
        lambda: rng.uniform(-60, 60) if flat else -hand * rng.uniform(110, 165),
    )
    low, high = (-12, 12) if hangs else (2, 14) if number % 5 == 1 else (8, 28)
    if lies(product):
        low, high = 28, 65
    key = rng.uniform(0.4, 0.8)
    lamps = (
        Lamp(hand * rng.uniform(25, 60), rng.uniform(35, 60), rng.uniform(22, 40), tinted(key, 0)),
        Lamp(
            -hand * rng.uniform(40, 80), rng.uniform(15, 40), 40, tinted(rng.uniform(0.2, 0.4), 0)
        ),
    )
    azimuth = angles[number % 5]()
    lamps = tuple(Lamp(x.azimuth + azimuth, x.elevation, x.spread, x.colour) for x in lamps)
    warmth = rng.gauss(0, 0.06)
    return View(
        kind="seller",
        azimuth=azimuth,
        elevation=rng.uniform(low, high),
        roll=0.0,
        fov=rng.uniform(11, 24),
        fill=rng.uniform(0.78, 0.95),
        centre=(0.5 + rng.gauss(0, 0.008), 0.5 + rng.gauss(0, 0.008)),
        sky=tinted(rng.uniform(0.8, 1.0), warmth),
        ground=tinted(rng.uniform(0.35, 0.6), warmth),
        lamps=lamps,
        exposure=rng.uniform(1.05, 1.3),
        shadow=rng.uniform(0.4, 0.9) if rng.random() < 0.4 and not product.elevation else 0.0,
    )


def user_view(product: Product, number: int, rng: random.Random) -> View:
    """A snapshot: any side, mostly the front; a short lens, near, askew; any light."""
    del number
    flat, hangs = is_flat(product), product.elevation > 1.2
    if flat:
        azimuth = rng.uniform(-62, 62)
    else:
        azimuth = rng.uniform(-75, 75) if rng.random() < 0.8 else rng.uniform(-180, 180)
    elevation = rng.uniform(-28, 18) if hangs else min(rng.triangular(0, 62, 18), 60)
    if lies(product):
        elevation = rng.uniform(25, 60)
    cut = rng.random() < 0.3
    fill = rng.uniform(0.95, 1.12) if cut else rng.uniform(0.66, 0.97)
    room = max(1 - fill, 0.0) / 2 + (0.1 if cut else 0.02)
    warmth = rng.choice((rng.gauss(0, 0.12), rng.uniform(0.2, 0.75), -rng.uniform(0.15, 0.5)))
    mood = rng.choices(("room", "window", "hard", "flash"), (4, 4, 3, 1.2))[0]
    side = rng.choice((-1, 1))
    sky, ground, lamps = user_light(mood, warmth, azimuth, side, rng)
    return View(
        kind="user",
        azimuth=azimuth,
        elevation=elevation,
        roll=max(min(rng.gauss(0, 5), 15), -15),
        fov=rng.uniform(38, 72),
        fill=fill,
        centre=(0.5 + rng.uniform(-room, room), 0.5 + rng.uniform(-room, room)),
        sky=sky,
        ground=ground,
        lamps=lamps,
        exposure=math.exp(rng.gauss(0.0, 0.26)) * (0.62 if rng.random() < 0.15 else 1.0),
        shadow=rng.uniform(0.4, 0.8) if rng.random() < 0.2 and not product.elevation else 0.0,
    )


def user_light(
    mood: str, warmth: float, azimuth: float, side: int, rng: random.Random
) -> tuple[Colour, Colour, tuple[Lamp, ...]]:
    """Light from above, from below and the lamps of a mood."""
    if mood == "room":
        sky, ground = rng.uniform(0.6, 1.0), rng.uniform(0.2, 0.5)
        lamp = Lamp(
            rng.uniform(-180, 180),
            rng.uniform(40, 85),
            rng.uniform(20, 45),
            tinted(rng.uniform(0.3, 0.9), warmth),
        )
        return tinted(sky, warmth), tinted(ground, warmth + 0.1), (lamp,)
    if mood == "window":
        level = rng.uniform(0.15, 0.45)
        lamp = Lamp(
            azimuth + side * rng.uniform(20, 115),
            rng.uniform(8, 40),
            rng.uniform(15, 32),
            tinted(rng.uniform(0.9, 1.5), warmth),
        )
        return tinted(level, warmth), tinted(level * rng.uniform(0.4, 1.0), 0.15), (lamp,)
    level = rng.uniform(0.12, 0.4)
    sky, ground = tinted(level, rng.gauss(0, 0.2)), tinted(level * rng.uniform(0.3, 0.8), 0.1)
    if mood == "hard":
        lamp = Lamp(
            azimuth + side * rng.uniform(10, 100),
            rng.uniform(20, 70),
            0,
            tinted(rng.uniform(0.8, 1.4), warmth),
        )
        return sky, ground, (lamp,)
    flash = Lamp(azimuth + side * 4, rng.uniform(4, 35), 0, tinted(rng.uniform(0.9, 1.3), 0))
    return sky, ground, (flash,)


def direction(azimuth: float, elevation: float) -> np.ndarray:
    """The unit vector towards a place in the sky; the front is +z, the product's left +x."""
    a, e = math.radians(azimuth), math.radians(elevation)
    return np.array([math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)])


def radiance(view: View, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The light (k, 3) from each of the ``directions`` (k, 3), and that (3,) of the hard lamp.

    Scaled so that a matt white surface that faces half up and half the camera gets about 1.
    """
    up = directions[:, 1:2] * 0.5 + 0.5
    soft = up * np.array(view.sky) + (1 - up) * np.array(view.ground)
    hard = np.zeros(3)
    facing = direction(view.azimuth, view.elevation) + np.array([0.0, 0.8, 0.0])
    facing /= np.linalg.norm(facing)
    met = 0.0
    for lamp in view.lamps:
        towards = direction(lamp.azimuth, lamp.elevation)
        if lamp.spread:
            lobe = np.exp((directions @ towards - 1) / (1 - math.cos(math.radians(lamp.spread))))
            soft = soft + lobe[:, None] / lobe.sum() * len(directions) / 4 * np.array(lamp.colour)
        else:
            hard = np.array(lamp.colour)
            met = float(hard.mean()) * max(float(towards @ facing), 0.25)
    met += float((soft.mean(1) * np.maximum(directions @ facing, 0)).mean()) * 4
    return soft / met, hard / met


def hard_direction(view: View) -> np.ndarray:
    """Where the hard lamp is; anywhere if there is none."""
    lamps = [lamp for lamp in view.lamps if not lamp.spread]
    return direction(lamps[0].azimuth, lamps[0].elevation) if lamps else direction(0, 45)


@dataclass(frozen=True)
class Camera:
    """Where a picture is taken from: ``matrix`` (4, 4) takes points to clip space, row by row."""

    matrix: np.ndarray
    eye: np.ndarray


def aim(view: View, points: np.ndarray) -> Camera:
    """The camera whose frame the ``points`` (p, 3) fill as the view wants."""
    back = direction(view.azimuth, view.elevation)
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    c, s = math.cos(math.radians(view.roll)), math.sin(math.radians(view.roll))
    axes = np.stack([c * right + s * up, c * up - s * right, back])
    focus = 1 / math.tan(math.radians(view.fov) / 2)
    local = points @ axes.T
    middle = np.zeros(3)
    distance = 1.2 * focus + 1
    low = high = np.zeros(2)
    for _ in range(12):
        seen = local - middle
        depth = np.maximum(distance - seen[:, 2], 0.02)
        flat = seen[:, :2] * focus / depth[:, None]
        low, high = flat.min(0), flat.max(0)
        nearest = float(seen[:, 2].max()) + 0.3  # the camera stays before the product
        middle[:2] += (low + high) / 2 * distance / focus * 0.7
        distance = max(distance * float((high - low).max()) / 2 / view.fill, nearest)
    shift = (np.array(view.centre) * 2 - 1) - (low + high) / 2
    eye = (middle + np.array([0, 0, distance])) @ axes
    to_camera = np.eye(4)
    to_camera[:3, :3], to_camera[:3, 3] = axes, -axes @ eye
    near = max(distance - float((local - middle)[:, 2].max()) - 0.1, 0.02)
    far = distance + 6.0
    lens = np.zeros((4, 4))
    lens[0, 0] = lens[1, 1] = focus
    lens[:2, 2] = -shift
    lens[2, 2], lens[2, 3] = -(far + near) / (far - near), -2 * far * near / (far - near)
    lens[3, 2] = -1
    return Camera(lens @ to_camera, eye)


def outside(camera: Camera, points: np.ndarray) -> float:
    """The share of ``points`` (p, 3) that the frame leaves out."""
    seen = np.concatenate([points, np.ones((len(points), 1))], 1) @ camera.matrix.T
    return float((np.abs(seen[:, :2]) > seen[:, 3:]).any(1).mean())


def frame(view: View, points: np.ndarray) -> Camera:
    """The view's camera, nearer to its middle and back where the frame cuts more than `CUT`."""
    camera = aim(view, points)
    while outside(camera, points) > CUT and view.fill > 0.5:
        x, y = (0.5 + (c - 0.5) * 0.8 for c in view.centre)
        view = replace(view, fill=view.fill * 0.97, centre=(x, y))
        camera = aim(view, points)
    return camera
