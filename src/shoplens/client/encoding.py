"""What requests carry, in the form in which the service takes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shoplens.errors import PhotoError

if TYPE_CHECKING:
    from shoplens.records import Box

Picture = str | os.PathLike[str] | bytes
"""A photo: the path of a file, or the bytes of one."""


def terms_json(
    k: int,
    where: str | None,
    group_by: str | None,
    min_score: float | None,
    facets: Sequence[str],
    exact: bool,
    product_score: str | None,
    variants: str | None,
    collapse: bool | float,
    rerank: str | None,
) -> dict[str, Any]:
    """Return how is searched."""
    return given(
        {
            "k": k,
            "where": where,
            "group_by": group_by,
            "min_score": min_score,
            "facets": list(facets) or None,
            "exact": exact or None,
            "product_score": product_score,
            "variants": variants,
            "collapse": collapse or None,
            "rerank": rerank,
        }
    )


def query_json(
    photo_id: int | str | None,
    url: str | None,
    vector: Iterable[float] | None,
    box: Box | str | None,
) -> dict[str, Any]:
    """Return what is searched for, but for the bytes of a photo."""
    return given(
        {
            "photo_id": photo_id,
            "url": url,
            "vector": None if vector is None else [float(number) for number in vector],
            "box": None if box is None else box_text(box),
        }
    )


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was not given: the service has its own defaults."""
    return {name: value for name, value in values.items() if value is not None}


def form(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as the fields of a form."""
    return {name: "true" if value is True else value for name, value in given(values).items()}


def box_text(box: Box | str) -> str:
    """Return a box as text."""
    if isinstance(box, str):
        return box
    # All digits, which `str(box)` does not show.
    return f"{box.x0!r},{box.y0!r},{box.x1 - box.x0!r},{box.y1 - box.y0!r}"


def photo_bytes(photo: Picture) -> bytes:
    """Return the bytes of a photo.

    Raises `PhotoError` if the file cannot be read.
    """
    if isinstance(photo, bytes):
        return photo
    try:
        return Path(photo).read_bytes()
    except FileNotFoundError:
        raise PhotoError("missing", f"there is no file {photo}") from None
    except OSError as error:
        raise PhotoError("unreadable", f"{photo} cannot be read: {error.strerror}") from error


def segment(photo_id: int | str) -> str:
    """Return a photo id as one segment of a path."""
    text = str(photo_id)
    # These two would be taken for steps in the path.
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")
