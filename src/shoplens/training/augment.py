"""Views of a photo as a shopper or a seller would have taken it.

A shopper's view has clutter around the product, a tilted camera, a careless box and a phone's
faults; a seller's has a plain background and good light. Whatever is made of a photo ends in
`shoplens.pixels.crops.crop`, the one resize path to a vector. With every chance at 0 a view is the
crop of the photo as it is, or of one reduced to twice a view's size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from shoplens.errors import PhotoError
from shoplens.pixels.crops import crop
from shoplens.pixels.decoding import Decoded
from shoplens.records import Box, Domain
from shoplens.training import effects, geometry
from shoplens.training.config import Augmentation
from shoplens.training.foreground import Foreground, Source, lit_like, over, read_source
from shoplens.training.geometry import Pixels

Effect = Callable[[Pixels, np.random.Generator], Pixels]

_SKIN = np.array([[236, 196, 170], [198, 145, 112], [141, 92, 66], [88, 58, 44]], np.float32)


class Augmenter:
    """Makes views; it is the settings that say how far they stray. Threads may share one."""

    def __init__(
        self,
        settings: Augmentation,
        *,
        size: int,
        pad_colour: tuple[int, int, int],
        clutter: Sequence[Path],
    ) -> None:
        """Prepare to make views.

        Args:
            settings: chances and amounts.
            size: side of a view in pixels.
            pad_colour: RGB of a view's borders beside a region that is not square.
            clutter: users' photos, whose parts are laid behind and in front of products.
        """
        self.settings = settings
        self._size = size
        self._pad_colour = pad_colour
        self._clutter = clutter
        # Views are made on as many threads as there are cores: OpenCV's own would only compete.
        cv2.setNumThreads(1)
        self._read = functools.lru_cache(maxsize=32)(
            lambda path, box: read_source(path, 2 * size, box=box)
        )
        self._read_clutter = functools.lru_cache(maxsize=128)(
            lambda path: read_source(path, size, cut=False)
        )

    def view(
        self,
        path: Path,
        taken_by: Domain,
        as_domain: Domain,
        rng: np.random.Generator,
        *,
        box: Box | None = None,
    ) -> Pixels:
        """Make a view of a photo.

        Args:
            path: the photo's file.
            taken_by: who took it.
            as_domain: who shall seem to have taken it.
            rng: decides everything that is left to chance.
            box: where in the photo the product is; None means the whole photo.

        Returns:
            (size, size, 3) uint8, RGB.

        Raises:
            PhotoError: the photo cannot be decoded, or the box lies outside it.
        """
        source = self._read(path, box)
        make = self._by_user if as_domain == "user" else self._by_seller
        pixels, region = make(source, taken_by, rng)
        height, width = pixels.shape[:2]
        photo = Decoded(Image.fromarray(pixels), (width, height), 1.0, region, False)
        return crop(photo, size=self._size, fit="pad", pad_colour=self._pad_colour)

    def _by_user(
        self, source: Source, taken_by: Domain, rng: np.random.Generator
    ) -> tuple[Pixels, Box]:
        s = self.settings
        cut = _hit(s.foreground_cut, rng) and taken_by == "seller"
        cut = cut or (source.transparent and s.foreground_cut > 0)
        pixels, seen, product = self._variant(source, cut, rng)
        # A whole photo has its perspective already, and nothing beyond its frame.
        tilt = geometry.tilted(rng, s.rotation, s.perspective, 1.0 if product is not None else 0.4)
        faults = self._phone_effects(rng)
        hidden = _hit(s.occlusion, rng)
        if product is None:
            box = geometry.clip(geometry.jitter(seen, s.box_jitter, rng), source.frame)
            if tilt is None and not faults and not hidden:
                return pixels, box
            canvas = self._resample(pixels, box, tilt, rng)
        else:
            canvas, hidden = self._on_clutter(product, tilt, hidden, rng)
        if hidden:
            canvas = self._occlude(canvas, rng)
        for effect in faults:
            canvas = effect(canvas, rng)
        return canvas, _whole(canvas)

    def _by_seller(
        self, source: Source, taken_by: Domain, rng: np.random.Generator
    ) -> tuple[Pixels, Box]:
        s = self.settings
        clean = taken_by == "user" and not source.transparent and _hit(s.clean_up, rng)
        staged = clean if taken_by == "user" else _hit(s.backdrop, rng)
        staged = staged or (source.transparent and s.backdrop > 0)
        pixels, seen, product = self._variant(source, staged, rng)
        tilt = geometry.tilted(rng, s.rotation / 5, 0, 0)
        faults = self._studio_effects(rng)
        if product is not None:
            plain = source.transparent and not _hit(s.backdrop, rng)
            canvas = self._on_backdrop(product, tilt, plain, seen, rng)
        else:
            box = geometry.jitter(seen, s.box_jitter / 3, rng)
            border = cv2.BORDER_REPLICATE  # A plain background simply goes on.
            known, whole = source.foreground, source.box == source.frame
            if taken_by == "user" or known is None or any(known.cut_sides) or not whole:
                box, border = geometry.clip(box, source.frame), cv2.BORDER_REFLECT_101
            if tilt is None and not faults and not clean and box == seen:
                return pixels, box
            canvas = self._resample(pixels, box, tilt, rng, border)
            if clean:
                canvas = effects.fade(effects.balance(canvas, rng), rng)
        for effect in faults:
            canvas = effect(canvas, rng)
        return canvas, _whole(canvas)

    def _variant(
        self, source: Source, cut: bool, rng: np.random.Generator
    ) -> tuple[Pixels, Box, Foreground | None]:
        """Return the photo, its box, and the product if it is cut; maybe mirrored, recoloured."""
        pixels, box, product = source.pixels, source.box, source.foreground if cut else None
        if _hit(self.settings.colour_variant, rng):
            colours = effects.colour_variant(rng)
            if product is not None:
                product = product.recoloured(colours)
            else:
                pixels = effects.mix(pixels, colours)
        if _hit(self.settings.mirror, rng):
            if product is not None:
                product = product.mirrored()
            else:
                pixels = np.ascontiguousarray(pixels[:, ::-1])
            box = geometry.mirror(box, source.frame.x1)
        return pixels, box, product

    def _resample(
        self,
        pixels: Pixels,
        box: Box,
        tilt: geometry.Matrix | None,
        rng: np.random.Generator,
        border: int = cv2.BORDER_REFLECT_101,
    ) -> Pixels:
        """Return what a tilted camera sees of a photo's region, at about a view's size."""
        there = geometry.about(box, tilt)
        if border != cv2.BORDER_REPLICATE:
            box = geometry.inside(box, there, _whole(pixels))
        return geometry.warp(pixels, there, box, self._size * rng.uniform(1.0, 1.25), border)

    def _on_clutter(
        self,
        product: Foreground,
        tilt: geometry.Matrix | None,
        hidden: bool,
        rng: np.random.Generator,
    ) -> tuple[Pixels, bool]:
        """Return the region of a product in clutter, and whether it is still to be hidden."""
        s = self.settings
        there = geometry.about(geometry.bounds(product.outline), tilt)
        box = geometry.jitter(
            geometry.bounds(geometry.project(product.outline, there)), s.box_jitter, rng
        )
        if hidden and rng.random() < 0.3:
            box, hidden = geometry.cut_side(box, rng.uniform(0.1, 0.25), rng), False
        rgba = geometry.warp(product.rgba, there, box, self._size * rng.uniform(0.9, 1.25))
        height, width = rgba.shape[:2]
        ground = self._ground(height, width, rng)
        rgba = lit_like(rgba, ground)
        if _hit(s.shadow, rng):
            ground = effects.shade(ground, rgba[..., 3], rng.uniform(0.25, 0.7), rng)
        return over(rgba, ground), hidden

    def _on_backdrop(
        self,
        product: Foreground,
        tilt: geometry.Matrix | None,
        plain: bool,
        box: Box,
        rng: np.random.Generator,
    ) -> Pixels:
        s = self.settings
        there = geometry.about(geometry.bounds(product.outline), tilt)
        if s.box_jitter:
            bounds = geometry.bounds(geometry.project(product.outline, there))
            room = rng.uniform(0.01, 1.5 * s.box_jitter + 0.01, 2) * max(
                bounds.width, bounds.height
            )
            if rng.random() < 0.5:  # Shops like squares.
                sides = np.array((bounds.width, bounds.height))
                room = (np.max(sides + 2 * room) - sides) / 2
            x, y = (float(length) for length in room)
            box = Box(bounds.x0 - x, bounds.y0 - y, bounds.x1 + x, bounds.y1 + y)
            box = geometry.hold(box, bounds, product.cut_sides)
        rgba = geometry.warp(product.rgba, there, box, self._size * rng.uniform(1.0, 1.25))
        height, width = rgba.shape[:2]
        ground = (
            np.full((height, width, 3), 255, np.uint8)
            if plain
            else effects.backdrop(height, width, rng)
        )
        if _hit(s.shadow, rng):
            ground = effects.shade(ground, rgba[..., 3], rng.uniform(0.08, 0.3), rng)
        return over(rgba, ground)

    def _ground(self, height: int, width: int, rng: np.random.Generator) -> Pixels:
        """Return what may lie behind a product: a part of another photo, sometimes a surface."""
        if rng.random() < 0.2 or (part := self._part(height, width, rng)) is None:
            return effects.surface(height, width, rng)
        if rng.random() < 0.4:
            part = np.asarray(cv2.GaussianBlur(part, (0, 0), rng.uniform(0.8, 4)), np.uint8)
        return part

    def _part(self, height: int, width: int, rng: np.random.Generator) -> Pixels | None:
        """Return a part of a random photo, None where none can be read."""
        for _ in range(min(3, len(self._clutter))):
            path = self._clutter[int(rng.integers(len(self._clutter)))]
            try:
                source = self._read_clutter(path)
            except PhotoError:
                continue
            pixels = source.pixels
            if source.foreground is not None:  # It has nothing behind it either.
                wall = effects.surface(pixels.shape[0], pixels.shape[1], rng)
                pixels = over(source.foreground.rgba, wall)
            whole, share = source.frame, rng.uniform(0.45, 1.0)
            scale = share * min(whole.width / width, whole.height / height)
            x = rng.uniform(0, whole.width - width * scale)
            y = rng.uniform(0, whole.height - height * scale)
            box = Box(x, y, x + width * scale, y + height * scale)
            part = cv2.resize(
                pixels[int(y) : int(np.ceil(box.y1)), int(x) : int(np.ceil(box.x1))],
                (width, height),
                interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR,
            )
            return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)
        return None

    def _occlude(self, canvas: Pixels, rng: np.random.Generator) -> Pixels:
        """Hide up to a quarter: by something that reaches in from a side, or stands in front."""
        height, width = canvas.shape[:2]
        cover = self._part(height, width, rng) if rng.random() < 0.5 else None
        if cover is None:
            colour = (
                _SKIN[rng.integers(len(_SKIN))] if rng.random() < 0.5 else rng.uniform(20, 235, 3)
            )
            cover = np.empty_like(canvas)
            cover[:] = np.clip(colour * rng.uniform(0.7, 1.1), 0, 255)
        mask = effects.obstacle(height, width, rng)
        return effects.lay_over(canvas, cover, mask)

    def _phone_effects(self, rng: np.random.Generator) -> list[Effect]:
        s = self.settings
        chances: list[tuple[float, Effect]] = [
            (s.contrast, functools.partial(effects.tone, strength=1.0)),
            (s.colour_cast, functools.partial(effects.cast, strength=0.2)),
            (s.blur, effects.blur),
            (s.low_light, effects.low_light),
            (s.low_resolution, effects.low_resolution),
            (s.noise, functools.partial(effects.noise, most=11.0)),
            (s.jpeg, functools.partial(effects.jpeg, quality=(30, 86))),
        ]
        return [effect for chance, effect in chances if _hit(chance, rng)]

    def _studio_effects(self, rng: np.random.Generator) -> list[Effect]:
        s = self.settings
        chances: list[tuple[float, Effect]] = [
            (s.contrast, functools.partial(effects.tone, strength=0.4)),
            (s.colour_cast, functools.partial(effects.cast, strength=0.02)),
            (s.jpeg, functools.partial(effects.jpeg, quality=(60, 96))),
        ]
        return [effect for chance, effect in chances if _hit(chance, rng)]


def _hit(chance: float, rng: np.random.Generator) -> bool:
    return bool(rng.random() < chance)


def _whole(pixels: Pixels) -> Box:
    return Box(0, 0, pixels.shape[1], pixels.shape[0])
