"""Strips of pictures: a query, and photos beside it that are marked as hit, near miss or miss."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoplens.lookup import find_ids
from shoplens.ranking import Ranking
from shoplens.records import Box, Photo
from shoplens.report.study import Study
from shoplens.report.thumbnails import (
    Thumbnail,
    boxed_key,
    photo_key,
    query_thumbnails,
    result_thumbnails,
)

Mark = Literal["hit", "category", "miss", "plain"]
"""The query's product, another product of its category, another product; `plain` for no mark."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo beside a query."""

    photo: Photo
    caption: str
    mark: Mark = "plain"
    region: Box | None = None
    """The region that matched the query best; None for the whole photo."""


@dataclass(frozen=True, slots=True)
class PictureRow:
    """Pictures in a row, with a word on what they are."""

    pictures: Sequence[Picture]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A query and a photo beside it, both with their heat maps."""

    title: str
    query: Thumbnail
    result: Thumbnail


@dataclass(frozen=True, slots=True)
class Strip:
    """A query (or none) and the rows of pictures beside it."""

    lines: Sequence[PictureRow]
    note: str
    query: Photo | None = None
    matches: Sequence[Match] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Album:
    """The pictures of a page; a photo that stands beside several queries is stored once."""

    queries: Mapping[Hashable, Thumbnail]
    results: Mapping[Hashable, Thumbnail]
    numbers: Mapping[Hashable, int]

    @classmethod
    def of(cls, strips: Sequence[Strip]) -> Album:
        """Make all pictures of some strips, on all cores."""
        asked = [strip.query for strip in strips if strip.query is not None]
        results = result_thumbnails(
            picture.photo for strip in strips for line in strip.lines for picture in line.pictures
        )
        numbers = {key: number for number, key in enumerate(results)}
        return cls(query_thumbnails(asked), results, numbers)

    def query(self, photo: Photo) -> Thumbnail:
        """Return the picture of a query's photo."""
        return self.queries[boxed_key(photo)]

    def result(self, photo: Photo) -> Thumbnail:
        """Return the picture of a photo beside a query."""
        return self.results[photo_key(photo)]

    def frame(self, picture: Picture) -> tuple[float, float, float, float] | None:
        """Return where the region of a picture is (see `Thumbnail.frame`)."""
        return self.result(picture.photo).frame(picture.region)

    def number(self, photo: Photo) -> int:
        """Return the number of a photo's picture on the page."""
        return self.numbers[photo_key(photo)]


def results_line(study: Study, row: int, depth: int, title: str = "") -> PictureRow:
    """Return the first `depth` results of a query, marked."""
    query = study.dataset.queries[row]
    category = study.categories.get(query.product_id or "")
    pictures = []
    for rank, position in enumerate(_positions(study, row, depth), start=1):
        if position < 0:
            continue
        photo = study.dataset.gallery[position]
        mark: Mark = "miss"
        if photo.product_id == query.product_id:
            mark = "hit"
        elif category is not None and study.categories.get(photo.product_id or "") == category:
            mark = "category"
        pictures.append(Picture(photo, str(rank), mark, matched_region(study.ranking, row, photo)))
    return PictureRow(pictures, title)


def own_photos(study: Study, row: int, limit: int) -> list[Picture]:
    """Return the best ranked gallery photos of a query's own product, with their ranks."""
    hits = np.flatnonzero(study.judged.relevant[row])[:limit].tolist()
    if not hits:
        owned = np.flatnonzero(study.gallery_products == study.query_products[row])[:limit]
        return [Picture(study.dataset.gallery[p], "not found", "hit") for p in owned.tolist()]
    positions = _positions(study, row, hits[-1] + 1)
    return [
        Picture(photo, f"rank {hit + 1}", "hit", matched_region(study.ranking, row, photo))
        for hit in hits
        for photo in [study.dataset.gallery[positions[hit]]]
    ]


def matched_region(ranking: Ranking, row: int, photo: Photo) -> Box | None:
    """Return the region of a photo that matched a query best; None for the whole photo."""
    return None if ranking.regions is None else ranking.regions.box(row, photo.id)


def _positions(study: Study, row: int, depth: int) -> list[int]:
    ranking: Ranking = study.ranking
    positions = find_ids(ranking.ids[row : row + 1, :depth], study.dataset.gallery.ids)[0]
    if ranking.blank is not None:
        positions[ranking.blank[row, :depth]] = -1
    found: list[int] = positions.tolist()
    return found
