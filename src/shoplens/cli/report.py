"""`shoplens report`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import message, progress_display, write_json
from shoplens.cli.options import (
    boxes_option,
    columns_option,
    distinct,
    json_option,
    remote_option,
    writable,
)
from shoplens.cli.run_options import category_option, named_dataset, open_named
from shoplens.curation.duplicates import find_duplicates, same_pictures, sketch_photos
from shoplens.datasets.dataset import Dataset
from shoplens.evaluation.metric_names import DEFAULT_METRICS
from shoplens.progress import Progress
from shoplens.records import BoxFrame
from shoplens.report import SamePicture, read_categories, report_run, write_run_page


@click.command()
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option(
    "--data",
    metavar="DATASET",
    help="The test set; a run folder names its own.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE",
    callback=writable,
    help="The page to write.",
)
@category_option
@click.option(
    "--queries",
    "n_shown",
    type=click.IntRange(min=1, max=100),
    default=12,
    show_default=True,
    help="How many worst and best queries, confusions and doubted labels to show.",
)
@click.option(
    "--results",
    "depth",
    type=click.IntRange(min=1, max=50),
    default=8,
    show_default=True,
    help="How many results to show for each query.",
)
@click.option(
    "--duplicates/--no-duplicates",
    default=True,
    show_default=True,
    help="Look for photos that show the same picture; this reads every photo.",
)
@click.option(
    "--matches/--no-matches",
    "explained",
    default=None,
    help="Show which parts of the worst and best queries match their first results, as the "
    "network of lite0-products sees it; it takes about as long as embedding these photos. By "
    "default only of rankings by a built-in model.",
)
@boxes_option
@columns_option
@remote_option
@json_option
def report(
    run: Path,
    data: str | None,
    output: Path,
    category: str | None,
    n_shown: int,
    depth: int,
    duplicates: bool,
    explained: bool | None,
    box_frame: BoxFrame,
    columns: dict[str, str],
    remote: bool,
    json_file: str | None,
) -> None:
    """Write a page about a run: scores, strengths, best and worst queries, data.

    RUN is a run folder (`shoplens challenge run --out` writes one), or a ranking (.npz, .npy, .csv)
    together with --data. The page is one self-contained file. docs/reports.md explains its
    figures.

    \b
    Example:
      shoplens rank examples/furniture -o ranks.npz
      shoplens report ranks.npz --data examples/furniture
    """
    distinct(output, json_file)
    dataset = named_dataset(data, [run], box_frame=box_frame, columns=columns, remote=remote)
    (opened,) = open_named([run], dataset, DEFAULT_METRICS)
    with progress_display() as progress:
        found = report_run(
            opened,
            categories=read_categories(opened.dataset, category),
            same_pictures=_same_pictures(opened.dataset, progress) if duplicates else None,
            n_shown=n_shown,
            progress=progress,
        )
    write_run_page(output, found, depth=depth, explained=explained)
    best = opened.scores["map@1000"]
    message(f"map@1000 {best.value:.4f} ({best.low:.4f} .. {best.high:.4f})")
    message(f"wrote {output.resolve()}: open it in a browser")
    write_json(json_file, {**found.to_json(), "page": str(output)})


def _same_pictures(dataset: Dataset, progress: Progress) -> tuple[SamePicture, ...]:
    photos = [*dataset.gallery, *dataset.queries]
    sketches, _failed = sketch_photos(photos, progress=progress, stage="look for doubles")
    return same_pictures(find_duplicates(sketches), sketches, sketches)
