"""Small pictures for a page: JPEGs embedded in the HTML, with the position of the box."""

from __future__ import annotations

import base64
import io
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from PIL import Image

from shoplens.errors import PhotoError
from shoplens.looking import decoded_photo
from shoplens.parallel import parallel_map
from shoplens.pixels.decoding import Decoded
from shoplens.records import Box, Photo
from shoplens.sources import file_of

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
    size: tuple[int, int] | None = None
    """Width and height of the upright photo in pixels."""

    def frame(self, region: Box | None) -> tuple[float, float, float, float] | None:
        """Return where a region of the photo is: x, y, width, height in per cent of a square that
        the picture lies in the middle of. None without a region or a picture."""
        if region is None or self.size is None:
            return None
        side = max(self.size)
        left, top = ((side - length) / 2 for length in self.size)
        edges = left + region.x0, top + region.y0, region.width, region.height
        x, y, width, height = (100 * edge / side for edge in edges)
        return x, y, width, height


def photo_key(photo: Photo) -> Hashable:
    """Return a key for a photo's bytes: the file that holds them."""
    return file_of(photo)


def boxed_key(photo: Photo) -> Hashable:
    """Return a key for a photo with its box: one file may have several boxes."""
    return photo_key(photo), photo.box


def query_thumbnails(photos: Iterable[Photo]) -> Mapping[Hashable, Thumbnail]:
    """Return the pictures of photos searched with, by `boxed_key`. Never raises."""
    return _thumbnails({boxed_key(photo): photo for photo in photos}, QUERY_SIDE)


def result_thumbnails(photos: Iterable[Photo]) -> Mapping[Hashable, Thumbnail]:
    """Return the pictures of photos found, by `photo_key`. Never raises."""
    return _thumbnails({photo_key(photo): photo for photo in photos}, RESULT_SIDE)


def _thumbnails(distinct: Mapping[Hashable, Photo], side: int) -> Mapping[Hashable, Thumbnail]:
    pictures = parallel_map(lambda photo: _thumbnail(photo, side), distinct.values())
    return dict(zip(distinct, pictures, strict=True))


def _thumbnail(photo: Photo, side: int) -> Thumbnail:
    try:
        with decoded_photo(photo, None if photo.box else side) as decoded:
            # A strip of 20,000 x 10 would lose its short side.
            image = decoded.image.copy()
            image.thumbnail((side, side), Image.Resampling.BICUBIC)
    except PhotoError as error:
        return Thumbnail(problem=str(error))
    return Thumbnail(as_source(image), box=_per_cent(decoded), size=decoded.size)


def as_source(image: Image.Image) -> str:
    """Return a picture as a `data:` URL."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _per_cent(decoded: Decoded) -> tuple[float, float, float, float] | None:
    if decoded.box is None:
        return None
    width, height = (side / 100 for side in decoded.size)
    box = decoded.box
    return box.x0 / width, box.y0 / height, box.width / width, box.height / height
