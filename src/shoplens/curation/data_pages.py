"""Pages of a dataset and of leaks: self-contained HTML with figures and pictures inside."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from shoplens.curation.layout import FOLDERS
from shoplens.curation.leaks import LeakReport
from shoplens.curation.statistics import QUANTITIES, Statistics
from shoplens.files import write_text
from shoplens.records import Photo
from shoplens.report.figures import Axis, histogram
from shoplens.report.findings import SamePicture
from shoplens.report.page import page_templates
from shoplens.report.thumbnails import boxed_key, query_thumbnails

MOST_PAIRS = 60
"""Pairs that a page shows; JSON lists them all."""

_BINS = 24
_LOG = frozenset({"kilobytes", "sharpness", "aspect", "box_aspect"})
"""Quantities that are shown on a logarithmic axis."""
_HINTS = {
    "brightness": "mean grey of the box, or of the whole photo without a box",
    "sharpness": "variance of the Laplacian of the same region; low for blurred and plain photos",
    "box_share": "share of the photo's area",
}


def write_statistics(
    path: str | Path, title: str, found: Statistics, *, sample: int = 24, seed: int = 0
) -> None:
    """Write the page of a dataset.

    Args:
        path: the HTML file.
        title: its heading.
        found: the numbers.
        sample: photos of each side to show, drawn at random.
        seed: decides which.

    Raises:
        MissingError: the page's folder is not there.
        ShoplensError: the page cannot be written.
    """
    # Those that contradict the labels first: they are what someone has to look at.
    alike = sorted(found.alike, key=lambda one: (not one.contradicts, not one.crosses))
    shown = alike[:MOST_PAIRS]
    random = np.random.default_rng(seed)
    samples = {
        name: _sample([one.photo for one in found.sides[domain].measured], sample, random)
        for domain, name in FOLDERS.items()
    }
    photos = [photo for of in samples.values() for photo in of]
    photos += [photo for one in shown for photo in (one.first, one.second)]
    _write(
        path,
        "statistics.html.j2",
        title=title,
        facts=_facts(found),
        sides={name: found.sides[domain] for domain, name in FOLDERS.items()},
        quantities={name: label for name, (label, _) in QUANTITIES.items()},
        hints={
            quantity: hint
            for quantity, hint in _HINTS.items()
            if any(side.values(quantity) for side in found.sides.values())
        },
        figures=_figures(found),
        samples=samples,
        pairs=shown,
        n_pairs=len(found.alike),
        describe=_describe,
        pictures=query_thumbnails(photos),
        key=boxed_key,
    )


def write_leaks(path: str | Path, title: str, found: LeakReport) -> None:
    """Write the page of what two sets share. Arguments and errors as for `write_statistics`."""
    shown = found.leaks[:MOST_PAIRS]
    _write(
        path,
        "leaks.html.j2",
        title=title,
        found=found,
        pairs=shown,
        pictures=query_thumbnails([photo for leak in shown for photo in (leak.first, leak.second)]),
        key=boxed_key,
    )


def _write(path: str | Path, template: str, **values: Any) -> None:
    write_text(path, _templates().get_template(template).render(values))


@cache
def _templates() -> Environment:
    return page_templates(PackageLoader("shoplens.curation", "."))


def _sample(photos: Sequence[Photo], n: int, random: np.random.Generator) -> list[Photo]:
    chosen = random.permutation(len(photos))[:n]
    return [photos[i] for i in sorted(chosen.tolist())]


def _facts(found: Statistics) -> list[tuple[str, str]]:
    facts = [
        ("gallery photos", f"{found.sides['seller'].n_photos:,}"),
        ("query photos", f"{found.sides['user'].n_photos:,}"),
    ]
    facts.append(("cannot be used", f"{sum(len(s.failed) for s in found.sides.values()):,}"))
    if found.n_products is not None:
        facts += [
            ("products", f"{found.n_products:,}"),
            ("products without a user photo", f"{found.n_distractor_products:,}"),
            ("queries without a seller photo", f"{found.n_without_positive:,}"),
        ]
    facts.append(("near-duplicate pairs", f"{len(found.alike):,}"))
    if found.alike:
        facts += [
            ("of a user's and a seller's photo", f"{found.n_crossing:,}"),
            ("of two products", f"{found.n_contradicting:,}"),
        ]
    return facts


def _figures(found: Statistics) -> list[tuple[str, str, Markup]]:
    """Return caption, hint and figure of every quantity of each side."""
    figures = []
    for domain, name in FOLDERS.items():
        counts = found.per_product[domain] if found.per_product is not None else ()
        if counts:
            caption = f"{name}: photos a product"
            figures.append((caption, "", _per_product(caption, counts)))
    for quantity, (label, _) in QUANTITIES.items():
        for domain, name in FOLDERS.items():
            values = found.sides[domain].values(quantity)
            if values and min(values) < max(values):
                caption = f"{name}: {label}"
                figure = _spread(caption, label, values, log=quantity in _LOG)
                figures.append((caption, _HINTS.get(quantity, ""), figure))
    return figures


def _per_product(caption: str, counts: Sequence[int]) -> Markup:
    high = max(*counts, 5)
    step = -(-high // _BINS)
    edges = [low + 0.5 for low in range(0, high + step, step)]
    tallied = np.histogram(counts, edges)[0].tolist()
    return histogram(caption, edges, tallied, Axis("photos", 0, edges[-1]), "products")


def _spread(caption: str, label: str, values: Sequence[float], *, log: bool) -> Markup:
    low, high = min(values), max(values)
    log = log and low > 0 and high > low * 4
    make = np.geomspace if log else np.linspace
    edges = make(low, high, _BINS + 1).tolist()
    # Rounding must not push the ends out.
    edges[0], edges[-1] = low, high
    tallied = np.histogram(values, edges)[0].tolist()
    median = float(np.median(values))
    mark = f"median {median:,.0f}" if abs(median) >= 100 else f"median {median:.3g}"
    axis = Axis(label, low, high, log=log)
    return histogram(caption, edges, tallied, axis, "photos", [(median, mark)])


def _describe(one: SamePicture) -> str:
    if one.contradicts:
        return "one picture, two products"
    return "a query that finds itself" if one.crosses else ""
