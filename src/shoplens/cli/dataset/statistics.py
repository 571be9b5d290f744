"""`shoplens dataset statistics`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import (
    boxes_option,
    columns_option,
    distinct,
    json_option,
    remote_option,
    workers_option,
    writable,
)
from shoplens.curation.data_pages import write_statistics
from shoplens.curation.reading import read_photos
from shoplens.curation.statistics import QUANTITIES, Side, Statistics, survey
from shoplens.records import BoxFrame
from shoplens.report.counts import counted


@click.command()
@click.argument("source", metavar="DATASET")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=writable,
    help="Also write an HTML page with figures, near-duplicates and a sample of photos.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=24,
    show_default=True,
    metavar="N",
    help="Photos of each side that the page shows.",
)
@boxes_option
@columns_option
@remote_option
@workers_option
@json_option
def statistics(
    source: str,
    output: Path | None,
    sample: int,
    box_frame: BoxFrame,
    columns: dict[str, str],
    remote: bool,
    workers: int | None,
    json_file: str | None,
) -> None:
    """Show what a dataset is like: counts, sizes, boxes, light, blur, near-duplicates.

    DATASET is a test set, a table of photos tagged user or seller, or any gallery. Every photo is
    decoded; photos that cannot be used are counted.

    \b
    Example:
      shoplens dataset statistics testset/ -o statistics.html
    """
    distinct(output, json_file)
    photos = read_photos(source, columns=columns, box_frame=box_frame, remote=remote)
    with progress_display() as progress:
        found = survey(photos, workers=workers, progress=progress)
    _print(Results(json_file), found)
    if output is not None:
        title = f"{Path(source).name or source}: statistics"
        write_statistics(output, title, found, sample=sample)
        message(f"wrote {output}")
    write_json(json_file, found.to_json())


def _print(results: Results, found: Statistics) -> None:
    sides = {"gallery": found.sides["seller"], "queries": found.sides["user"]}
    sides = {name: side for name, side in sides.items() if side.n_photos}
    of = {
        "photos": [f"{side.n_photos:,}" for side in sides.values()],
        "cannot be used": [_counts(side.failures) for side in sides.values()],
        "formats": [_counts(side.formats) for side in sides.values()],
        "EXIF orientations": [_counts(side.orientations) for side in sides.values()],
    }
    for quantity, (label, _) in QUANTITIES.items():
        shown = [_spread(side, quantity) for side in sides.values()]
        if any(shown):
            of[label] = shown
    # Columns of texts: a list of formats may be long.
    results.table(("quantity", *sides), ((label, *shown) for label, shown in of.items()))
    boxed = any(side.values("box_share") for side in sides.values())
    results.note(
        "Ranges: 25 % .. median .. 75 %; brightness and sharpness of "
        + ("boxes, where given." if boxed else "whole photos.")
    )
    if found.n_products is not None:
        results.note(
            f"{counted(found.n_products, 'product')}; {found.n_distractor_products:,} without a "
            f"user photo; queries without a seller photo: {found.n_without_positive:,}"
        )
    results.note(
        f"{counted(len(found.alike), 'pair')} of one picture; {found.n_crossing:,} of a user's and "
        f"a seller's photo, {found.n_contradicting:,} under two products"
    )


def _counts(counts: dict[str, int]) -> str:
    if len(counts) == 1 and "1" in counts:
        return "all upright"
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items()) or "none"


def _spread(side: Side, quantity: str) -> str:
    spread = side.spread(quantity)
    if spread is None:
        return ""
    return " .. ".join(
        f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        for value in (spread.quarter, spread.median, spread.three_quarters)
    )
