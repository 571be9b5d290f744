"""What a photo is like: file, size, light, sharpness, box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoplens.curation.duplicates import Sketch, sketch_decoded
from shoplens.curation.metadata import kind_and_turn
from shoplens.errors import PhotoError
from shoplens.parallel import parallel_map
from shoplens.pixels.decoding import Decoded, decoding
from shoplens.pixels.sharpness import SIDE, grey_region, sharpness
from shoplens.progress import Progress, silent
from shoplens.records import Photo
from shoplens.sources import read_photo


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
    """Mean grey, 0..255, of the box or else the photo."""
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
    stage: str = "measure",
) -> tuple[list[Measured], list[tuple[Photo, PhotoError]]]:
    """Measure photos on all cores, each read and decoded once.

    Sharpness is the variance of the Laplacian (4 neighbours; Pech-Pacheco et al., ICPR 2000) of the
    region in grey 0..255, shrunk to a longer side of 256 pixels and never enlarged. It is low for
    blurred photos, and for plain ones.

    Returns:
        Those that can be used, in order, and the others with what is wrong.
    """
    measured: list[Measured] = []
    failed: list[tuple[Photo, PhotoError]] = []
    for done, found in enumerate(parallel_map(_try_measure, photos, workers), start=1):
        if isinstance(found, Measured):
            measured.append(found)
        else:
            failed.append(found)
        progress(stage, done, len(photos))
    return measured, failed


def _try_measure(photo: Photo) -> Measured | tuple[Photo, PhotoError]:
    try:
        if photo.problem is not None:
            return photo, photo.problem
        data = read_photo(photo)
        with decoding(data, box=photo.box, box_frame=photo.box_frame, target=SIDE) as decoded:
            return _measured(photo, data, decoded)
    except PhotoError as error:
        return photo, error


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
