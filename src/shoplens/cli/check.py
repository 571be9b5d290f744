"""`shoplens check`."""

from __future__ import annotations

from collections.abc import Iterable

import click

from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import (
    boxes_option,
    columns_option,
    json_option,
    remote_option,
    workers_option,
)
from shoplens.cli.telling import tell_others
from shoplens.datasets.checking import check as check_source
from shoplens.records import BoxFrame, by_cause

_MOST_EXAMPLES = 3
"""Rows and values that are shown of faults of one cause; --json has all."""


def _examples(texts: Iterable[str]) -> str:
    """Return the first few different texts of faults of one cause."""
    different = [text for text in dict.fromkeys(texts) if text]
    more = ", ..." if len(different) > _MOST_EXAMPLES else ""
    return ", ".join(different[:_MOST_EXAMPLES]) + more


@click.command()
@click.argument("source", metavar="DATASET")
@boxes_option
@columns_option
@remote_option
@workers_option
@json_option
def check(
    source: str,
    box_frame: BoxFrame,
    columns: dict[str, str],
    remote: bool,
    workers: int | None,
    json_file: str | None,
) -> int:
    """List everything that is wrong with a dataset: tables, boxes and photos, all at once.

    DATASET is a test set folder (gallery.csv, queries.csv, images), or a CSV table or folder of
    images to be checked as a gallery. Every photo is decoded. Rows count as in a spreadsheet: the
    header is row 1. Faults of one cause are one line with a few examples and their count; --json
    lists them all. The exit code is 1 when there is any fault.

    \b
    Example:
      shoplens check photos/ --json faults.json
    """
    with progress_display() as progress:
        found = check_source(
            source,
            columns=columns,
            box_frame=box_frame,
            remote=remote,
            workers=workers,
            progress=progress,
        )
    results = Results(json_file)
    longest = 80 if results.on_terminal else None
    results.table(
        ("file", "row", "column", "value", "problem", "faults"),
        (
            (
                alike[0].file,
                _examples(str(fault.row) if fault.row else "" for fault in alike),
                alike[0].column,
                _examples(fault.value[:longest] for fault in alike),
                alike[0].problem,
                len(alike),
            )
            for alike in by_cause(found.faults)
        ),
        numbers=("faults",),
        title=f"faults in {source}: {len(found.faults):,}",
        empty=f"{source}: no faults",
    )
    message(
        f"looked at {found.n_gallery:,} gallery photos and {found.n_queries:,} queries; "
        f"{found.n_clipped:,} boxes partly outside their photo will be clipped"
    )
    tell_others(found.n_others)
    if found.n_without_positive:
        message(f"{found.n_without_positive:,} queries have no gallery photo of their product")
    write_json(json_file, found.to_json())
    return 0 if found.ok else 1
