"""Runs that are named on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from shoplens.cli.console import message
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.records import BoxFrame
from shoplens.runs import Run, open_run

category_option = click.option(
    "--category",
    metavar="COLUMN",
    help="The column of the gallery's or the queries' table with the products' categories; by "
    "default `category`, if it exists.",
)


def named_dataset(
    data: str | None,
    runs: Sequence[Path],
    *,
    box_frame: BoxFrame,
    columns: Mapping[str, str],
    remote: bool,
) -> Dataset | None:
    """Read the test set given with --data; without one, check that the runs can do without."""
    if data is not None:
        return read_dataset(data, columns=columns, box_frame=box_frame, remote=remote)
    for run in runs:
        if run.exists() and not run.is_dir():
            raise click.UsageError(
                f"{run} does not say what it ranks: name the test set with --data"
            )
    if columns or remote or box_frame != "upright":
        raise click.UsageError("--boxes, --column and --remote need --data")
    return None


def open_named(paths: Sequence[Path], dataset: Dataset | None, metrics: Sequence[str]) -> list[Run]:
    """Open runs (see `shoplens.runs.open_run`) and say what is odd about them."""
    runs = [open_run(path, dataset, metrics) for path in paths]
    for path, run in zip(paths, runs, strict=True):
        for finding in run.findings:
            message(f"{path}: {finding}")
    return runs
