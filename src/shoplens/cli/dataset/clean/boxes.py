"""`shoplens dataset clean boxes`."""

from __future__ import annotations

import click

from shoplens.cli.console import progress_display
from shoplens.cli.dataset.clean.running import CleaningRun, cleaning_options
from shoplens.cli.options import workers_option
from shoplens.curation.cleaning.boxes import find_boxes


@click.command()
@cleaning_options
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    metavar="S",
    help="Take a box only if its score is at least S.",
)
@workers_option
def boxes(run: CleaningRun, min_score: float, workers: int | None) -> None:
    """Find the product's box in user photos that have none, or whose box is the whole photo.

    DATASET is a test set, or a CSV table of photos tagged user or seller; its boxes refer to
    upright photos. The best box that is proposed is taken (see `shoplens search --box auto`).

    \b
    Example:
      shoplens dataset clean boxes train.csv --dry-run -o page.html
    """
    tables = run.read()
    with progress_display() as progress:
        found = find_boxes(tables, min_score=min_score, workers=workers, progress=progress)
        run.finish(found, progress)
