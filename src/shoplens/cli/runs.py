"""Opening runs that are named on the command line."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from shoplens.answers.answer import check_answer, read_answer
from shoplens.cli.console import message
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.errors import MissingError, RankingError
from shoplens.evaluation.scores import evaluate
from shoplens.records import BoxFrame
from shoplens.runs import Run, load_run

category_option = click.option(
    "--category",
    metavar="COLUMN",
    help="The column of gallery.csv or queries.csv with the products' categories; by default "
    "`category`, where there is one.",
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
        raise click.UsageError("--boxes, --column and --remote say how to read --data: name it too")
    return None


def open_run(path: Path, dataset: Dataset | None, metrics: Sequence[str]) -> Run:
    """Read a run folder, a saved ranking, or an answer of anyone's, and say what is odd about it.

    Answers (.npy, .npz, .csv) are taken as the lenient scoring takes them.
    """
    if not path.exists():
        raise MissingError(f"run {path} is not there")
    try:
        if path.is_dir() or dataset is None or _is_saved_ranking(path):
            return load_run(path, dataset, metrics=metrics)
        array = read_answer(path, dataset.queries.ids)
        checked = check_answer(array, dataset.queries.ids, dataset.gallery.ids, "lenient")
        ranking = checked.require()
        scores = evaluate(ranking, dataset, metrics=metrics)
    except RankingError as error:
        # Of several runs, which one it is about.
        if str(path) in str(error):
            raise
        raise RankingError(f"{path}: {error}") from error
    for finding in checked.findings:
        message(f"{path}: {finding}")
    return Run(path.stem, scores, dataset, {})


def _is_saved_ranking(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as members:
        return "meta.npy" in members.namelist()
