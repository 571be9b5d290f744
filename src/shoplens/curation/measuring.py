"""What a photo is like: file, size, light, sharpness, box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoplens.curation.duplicates import Sketch, sketch_decoded
from shoplens.curation.metadata import kind_and_turn
from shoplens.errors import PhotoError
from shoplens.looking import look_at, photo_bytes
from shoplens.pixels.decoding import Decoded, decoding
from shoplens.pixels.sharpness import SIDE, grey_region, sharpness
from shoplens.progress import Progress, silent
from shoplens.records import Photo


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A photo that can be used, measured."""

    photo: Photo
    format: str
    """As Pillow names it; MPO counts as JPEG."""
    orientation: int
    """Of EXIF, 1..8; 1 where there is none."""
    n_bytes: int
    size: tuple[int, int]
    """Width and height in pixels, upright."""
    box_share: float | None
    """The box's part of the photo's area, 0..1; None without a box."""
    box_aspect: float | None
    """The box's width / height."""
    clipped: bool
    """Whether a part of the box lay outside the photo."""
    brightness: float
    """Mean grey, 0..255, of the box, or of the photo if there is no box."""
    sharpness: float
    """Variance of the Laplacian of the same region; NaN under 3 pixels."""
    sketch: Sketch

    @property
    def longer_side(self) -> int:
        """In pixels."""
        return max(self.size)

    @property
    def aspect(self) -> float:
        """Width / height of the photo."""
        return self.size[0] / self.size[1]


def measure(
    photos: Sequence[Photo],
    *,
    workers: int | None = None,
    progress: Progress = silent,
) -> tuple[list[Measured], list[tuple[Photo, PhotoError]]]:
    """Measure photos on all cores, each read and decoded once.

    Brightness and sharpness are those of `shoplens.pixels.sharpness`.

    Returns:
        The photos that can be used, in order, and the others with their errors.
    """
    measured: list[Measured] = []
    failed: list[tuple[Photo, PhotoError]] = []
    looked = look_at(photos, _measure, workers=workers, progress=progress, stage="measure")
    for photo, found in looked:
        if isinstance(found, PhotoError):
            failed.append((photo, found))
        else:
            measured.append(found)
    return measured, failed


def _measure(photo: Photo) -> Measured:
    data = photo_bytes(photo)
    with decoding(data, box=photo.box, box_frame=photo.box_frame, target=SIDE) as decoded:
        return _measured(photo, data, decoded)


def _measured(photo: Photo, data: bytes, decoded: Decoded) -> Measured:
    kind, orientation = kind_and_turn(data)
    box = decoded.box
    grey = grey_region(decoded)
    return Measured(
        photo=photo,
        format=kind,
        orientation=orientation,
        n_bytes=len(data),
        size=decoded.size,
        box_share=None if box is None else box.width * box.height / np.prod(decoded.size).item(),
        box_aspect=None if box is None else box.width / box.height,
        clipped=decoded.clipped,
        brightness=float(grey.mean()),
        sharpness=sharpness(grey),
        sketch=sketch_decoded(photo, data, decoded),
    )
