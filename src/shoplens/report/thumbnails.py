"""Photos made small for a page: JPEGs inside the HTML, with the box's place on them."""

from __future__ import annotations

import base64
import io
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from PIL import Image

from shoplens.errors import PhotoError
from shoplens.parallel import parallel_map
from shoplens.pixels.decoding import Decoded, decoding
from shoplens.records import Photo
from shoplens.sources import file_of, read_photo

QUERY_SIDE = 240
"""Longer side of a query's picture in pixels."""
RESULT_SIDE = 150
"""Longer side of a result's picture in pixels."""
_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture ready for the page; without a source where the photo cannot be shown."""

    source: str = ""
    """A `data:` URL."""
    problem: str = ""
    box: tuple[float, float, float, float] | None = None
    """x, y, width, height in per cent of the picture."""


def photo_key(photo: Photo) -> Hashable:
    """Return what tells a photo's bytes from another's: the file that holds them."""
    return file_of(photo)


def query_thumbnail(photo: Photo) -> Thumbnail:
    """Return the picture of a photo searched with. Never raises."""
    return _thumbnail(photo, QUERY_SIDE)


def result_thumbnails(photos: Iterable[Photo]) -> Mapping[Hashable, Thumbnail]:
    """Return the pictures of photos found, by `photo_key`; each photo is read once."""
    distinct = {photo_key(photo): photo for photo in photos}
    pictures = parallel_map(_result_thumbnail, distinct.values())
    return dict(zip(distinct, pictures, strict=True))


def _result_thumbnail(photo: Photo) -> Thumbnail:
    return _thumbnail(photo, RESULT_SIDE)


def _thumbnail(photo: Photo, side: int) -> Thumbnail:
    if photo.problem is not None:
        return Thumbnail(problem=str(photo.problem))
    try:
        with decoding(
            read_photo(photo),
            box=photo.box,
            box_frame=photo.box_frame,
            target=None if photo.box else side,
        ) as decoded:
            # A strip of 20,000 x 10 would lose its short side.
            image = decoded.image.copy()
            image.thumbnail((side, side), Image.Resampling.BICUBIC)
    except PhotoError as error:
        return Thumbnail(problem=str(error))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY)
    source = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
    return Thumbnail(source, box=_per_cent(decoded))


def _per_cent(decoded: Decoded) -> tuple[float, float, float, float] | None:
    if decoded.box is None:
        return None
    width, height = (side / 100 for side in decoded.size)
    box = decoded.box
    return box.x0 / width, box.y0 / height, box.width / width, box.height / height
