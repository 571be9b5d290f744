"""What is searched for: a shopper's photo with its box."""

from __future__ import annotations

import functools
from dataclasses import replace

from shoplens.embedding.sets import Picture, as_photo
from shoplens.errors import PhotoError
from shoplens.models import Encoder, load_encoder
from shoplens.pixels.decoding import read_size
from shoplens.records import Box, Photo
from shoplens.sources import read_photo


def query_photo(source: Picture, box: Box | str | None = None, number: int = 0) -> Photo:
    """Return a shopper's photo with its box; where the box is a text, it is understood first.

    `number` becomes the photo's id.

    Raises `PhotoError` when the file cannot be read, or `box` is a text that is no box.
    """
    photo = replace(as_photo(source, "user"), id=number)
    if not isinstance(box, str):
        return replace(photo, box=box)
    data = read_photo(photo)
    try:
        size = read_size(data)
    except PhotoError as error:
        raise PhotoError(error.reason, f"{photo.name}: {error}") from error
    return replace(photo, box=Box.parse(box, size))


@functools.cache
def builtin_encoder(name: str, dimension: int | None = None) -> Encoder:
    """Return a built-in model (see `load_encoder`), loaded once for all searches."""
    return load_encoder(name, dimension=dimension)
