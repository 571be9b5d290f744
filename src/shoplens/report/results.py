"""The results page: each query with its box and its top results, hits marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shoplens.datasets.dataset import Dataset
from shoplens.evaluation.scores import Scores
from shoplens.files import write_text
from shoplens.records import Box, Photo
from shoplens.report.page import render
from shoplens.report.strips import Match, matched_region
from shoplens.report.thumbnails import boxed_key, photo_key, query_thumbnails, result_thumbnails


@dataclass(frozen=True, slots=True)
class Result:
    """A gallery photo found for a query."""

    photo: Photo
    caption: str
    is_hit: bool | None = None
    """Whether it shows the query's product; None where that is not known."""
    region: Box | None = None
    """The region that matched the query best; None for the whole photo."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A query and what was found for it."""

    photo: Photo
    caption: str
    results: Sequence[Result]
    matches: Sequence[Match] = ()
    """Pairs of heat maps that say which parts match."""


def show_ranking(scores: Scores, dataset: Dataset, depth: int) -> list[Shown]:
    """Pair every query of an evaluated ranking with its first `depth` results."""
    by_id = {photo.id: photo for photo in dataset.gallery}
    precision = scores.per_query["map@1000"]
    shown = []
    for row, query in enumerate(dataset.queries):
        results = []
        for rank, photo_id in enumerate(scores.ranking.ids[row, :depth].tolist(), start=1):
            photo = by_id[photo_id]
            is_hit = photo.product_id == query.product_id
            region = matched_region(scores.ranking, row, photo)
            results.append(Result(photo, str(rank), is_hit, region))
        value = precision[row]
        caption = "no gallery photo of it" if np.isnan(value) else f"AP {value:.2f}"
        shown.append(Shown(query, caption, results))
    return shown


def write_page(
    path: str | Path, title: str, facts: Sequence[tuple[str, str]], queries: Sequence[Shown]
) -> None:
    """Write a self-contained page: pictures are embedded, and there is no script.

    Args:
        path: the HTML file.
        title: its heading.
        facts: labels and values shown under the heading.
        queries: what to show; a photo found for several queries is stored once.

    Raises:
        MissingError: the page's folder is not there.
        ShoplensError: the page cannot be written.
    """
    pictures = result_thumbnails(r.photo for shown in queries for r in shown.results)
    asked = query_thumbnails(shown.photo for shown in queries)
    text = render(
        "results.html.j2",
        title=title,
        facts=facts,
        queries=[(shown, asked[boxed_key(shown.photo)]) for shown in queries],
        pictures=pictures,
        boxed=any(shown.photo.box is not None for shown in queries),
        number={key: number for number, key in enumerate(pictures)},
        key=photo_key,
        regions=any(r.region is not None for shown in queries for r in shown.results),
        explained=any(shown.matches for shown in queries),
        marked=any(r.is_hit is not None for shown in queries for r in shown.results),
    )
    write_text(path, text)
