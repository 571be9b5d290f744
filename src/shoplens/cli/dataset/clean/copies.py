"""`shoplens dataset clean copies`."""

from __future__ import annotations

import click

from shoplens.cli.console import progress_display
from shoplens.cli.dataset.clean.running import CleaningRun, cleaning_options
from shoplens.cli.options import boxes_option, workers_option
from shoplens.curation.cleaning.copies import find_copies
from shoplens.curation.duplicates import THRESHOLD
from shoplens.records import BoxFrame


@click.command()
@cleaning_options
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=THRESHOLD,
    show_default=True,
    metavar="D",
    help="Largest distance of near-duplicates; 0 finds only equal pictures.",
)
@boxes_option
@workers_option
def copies(run: CleaningRun, threshold: float, box_frame: BoxFrame, workers: int | None) -> None:
    """Leave out photos that show the same picture as another photo of their product.

    DATASET is a test set, or a CSV table of photos tagged user or seller. Of several, one
    stays: a seller photo before a user photo, then the one with more pixels.

    \b
    Example:
      shoplens dataset clean copies DATASET --dry-run -o page.html
    """
    tables = run.read(box_frame)
    with progress_display() as progress:
        found = find_copies(tables, threshold=threshold, workers=workers, progress=progress)
        run.finish(found, progress)
