"""A shopper's photo with a box that may be proposed for it."""

from __future__ import annotations

from dataclasses import replace

from shoplens.boxes.proposing import propose_boxes_of
from shoplens.embedding.queries import query_photo
from shoplens.embedding.sets import Picture
from shoplens.records import Box, Photo

AUTO = "auto"
"""In place of a box: the best one that is proposed."""


def boxed_photo(source: Picture, box: Box | str | None = None, number: int = 0) -> Photo:
    """Return a shopper's photo with its box, as `query_photo` does; `auto` proposes the box.

    Raises `PhotoError` when the photo cannot be used, or `box` is another text that is no box.
    """
    if box != AUTO:
        return query_photo(source, box, number)
    photo = query_photo(source, number=number)
    return replace(photo, box=propose_boxes_of(photo, 1)[0].box)
