"""The page that shows what cleaning would do, before it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from shoplens.curation.cleaning.changes import Change, Cleaning, Task
from shoplens.files import write_text
from shoplens.records import Box, Photo
from shoplens.report.figures import Axis, histogram
from shoplens.report.page import page_templates
from shoplens.report.thumbnails import boxed_key, query_thumbnails

_MOST = 60
"""Changes that a page shows; `changes.csv` and JSON list them all."""
_BINS = 30


class _Words(NamedTuple):
    question: str
    heading: str
    order: str


_WORDS: Mapping[Task, _Words] = {
    "pairs": _Words(
        "Each user photo on the left looks unlike its product, whose nearest seller photo is on "
        "the right. If the two show one product, the threshold is too high.",
        "Left out",
        "those nearest to the threshold first",
    ),
    "products": _Words(
        "Are the products on the left and on the right one product?",
        "Products that get the id of another",
        "small groups first",
    ),
    "copies": _Words(
        "Do both photos show the same picture? The left one is left out.",
        "Left out",
        "user photos first",
    ),
    "boxes": _Words(
        "Does the box on the left hold the product that is on the right?",
        "Photos that get a box",
        "those with the lowest scores first",
    ),
}


def write_cleaning(path: str | Path, title: str, cleaning: Cleaning) -> None:
    """Write the page of a cleaning.

    Args:
        path: the HTML file.
        title: its heading.
        cleaning: what would be done.

    Raises:
        MissingError: the page's folder is not there.
        ShoplensError: the page cannot be written.
    """
    # Of a product's photos, the one that was compared tells most.
    telling = [c for c in cleaning.changes if c.beside is not None or c.kind == "box"]
    shown = telling[:_MOST]
    spared = cleaning.spared[: _MOST // 2]
    words = _WORDS[cleaning.task]
    photos = [p for c in (*shown, *spared) for p in (_shown(c), c.beside) if p is not None]
    text = (
        _templates()
        .get_template("cleaning.html.j2")
        .render(
            title=title,
            cleaning=cleaning,
            question=words.question,
            heading=words.heading,
            order=words.order,
            changes=shown,
            n_changes=len(telling),
            spared=spared,
            figure=_figure(cleaning),
            pictures=query_thumbnails(photos),
            key=boxed_key,
            shown=_shown,
        )
    )
    write_text(path, text)


def _shown(change: Change) -> Photo:
    """Return the photo of a change with its new box, if it gets one."""
    if isinstance(change.becomes, Box):
        return replace(change.photo, box=change.becomes, box_frame="upright")
    return change.photo


def _figure(cleaning: Cleaning) -> Markup | None:
    values = cleaning.similarities
    if not values or min(values) == max(values):
        return None
    low, high = min(values), max(values)
    edges = np.linspace(low, high, _BINS + 1).tolist()
    tallied = np.histogram(values, edges)[0].tolist()
    limit = cleaning.threshold
    marks = [] if limit is None else [(limit, f"threshold {limit:g}")]
    axis = Axis("similarity", low, high)
    return histogram("similarity", edges, tallied, axis, "photos", marks)


@cache
def _templates() -> Environment:
    return page_templates(PackageLoader("shoplens.curation", "."))
