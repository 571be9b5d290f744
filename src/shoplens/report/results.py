"""The results page: each query with its box and its top results, hits marked."""

from __future__ import annotations

import base64
import io
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from shoplens.dataset import Dataset
from shoplens.errors import PhotoError
from shoplens.evaluation import Scores
from shoplens.files import write_text
from shoplens.images import Decoded, decode
from shoplens.parallel import parallel_map
from shoplens.records import Photo
from shoplens.sources import read_photo

_QUERY_SIDE = 240
_RESULT_SIDE = 150
_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Result:
    """A gallery photo found for a query."""

    photo: Photo
    caption: str
    is_hit: bool | None = None
    """Whether it shows the query's product; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A query and what was found for it."""

    photo: Photo
    caption: str
    results: Sequence[Result]


@dataclass(frozen=True, slots=True)
class _Thumbnail:
    """A picture ready for the page; without a source where the photo cannot be shown."""

    source: str = ""
    problem: str = ""
    box: tuple[float, float, float, float] | None = None
    """x, y, width, height in per cent of the picture."""


def show_ranking(scores: Scores, dataset: Dataset, depth: int) -> list[Shown]:
    """Pair every query of an evaluated ranking with its first `depth` results."""
    by_id = {photo.id: photo for photo in dataset.gallery}
    precision = scores.per_query["map@1000"]
    shown = []
    for row, query in enumerate(dataset.queries):
        results = []
        for rank, photo_id in enumerate(scores.ranking.ids[row, :depth].tolist(), start=1):
            photo = by_id[photo_id]
            results.append(Result(photo, str(rank), photo.product_id == query.product_id))
        value = precision[row]
        caption = "no gallery photo of it" if np.isnan(value) else f"AP {value:.2f}"
        shown.append(Shown(query, caption, results))
    return shown


def write_page(
    path: str | Path, title: str, facts: Sequence[tuple[str, str]], queries: Sequence[Shown]
) -> None:
    """Write a page that needs nothing else: pictures are inside, there is no script.

    Args:
        path: the HTML file.
        title: its heading.
        facts: labels and values shown under the heading.
        queries: what to show; a photo found for several queries is stored once.

    Raises:
        MissingError: the page's folder is not there.
        ShoplensError: the page cannot be written.
    """
    gallery = {_key(r.photo): r.photo for shown in queries for r in shown.results}
    pictures = dict(zip(gallery, parallel_map(_result_picture, gallery.values()), strict=True))
    environment = Environment(
        loader=PackageLoader("shoplens.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("results.html.j2").render(
        title=title,
        facts=facts,
        queries=list(
            zip(queries, parallel_map(_query_picture, [s.photo for s in queries]), strict=True)
        ),
        pictures=pictures,
        boxed=any(shown.photo.box is not None for shown in queries),
        number=_numbered(gallery),
        key=_key,
        marked=any(r.is_hit is not None for shown in queries for r in shown.results),
    )
    write_text(path, text)


def _key(photo: Photo) -> Hashable:
    """Return what tells a photo's bytes from another's: their origin, or the file."""
    return photo.origin or photo.path


def _numbered(gallery: Mapping[Hashable, Photo]) -> dict[Hashable, int]:
    return {key: number for number, key in enumerate(gallery)}


def _result_picture(photo: Photo) -> _Thumbnail:
    return _thumbnail(photo, _RESULT_SIDE)


def _query_picture(photo: Photo) -> _Thumbnail:
    return _thumbnail(photo, _QUERY_SIDE)


def _thumbnail(photo: Photo, side: int) -> _Thumbnail:
    if photo.problem is not None:
        return _Thumbnail(problem=str(photo.problem))
    try:
        decoded = decode(
            read_photo(photo),
            box=photo.box,
            box_frame=photo.box_frame,
            target=None if photo.box else side,
        )
    except PhotoError as error:
        return _Thumbnail(problem=str(error))
    image = decoded.image.copy()
    # A strip of 20,000 x 10 would lose its short side.
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY)
    source = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
    return _Thumbnail(source, box=_per_cent(decoded))


def _per_cent(decoded: Decoded) -> tuple[float, float, float, float] | None:
    if decoded.box is None:
        return None
    width, height = (side / 100 for side in decoded.size)
    box = decoded.box
    return box.x0 / width, box.y0 / height, box.width / width, box.height / height
