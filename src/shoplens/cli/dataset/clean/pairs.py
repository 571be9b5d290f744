"""`shoplens dataset clean pairs`."""

from __future__ import annotations

import click

from shoplens.cli.console import progress_display
from shoplens.cli.dataset.clean.running import CleaningRun, cleaning_options
from shoplens.cli.options import boxes_option, embedding_options
from shoplens.curation.cleaning.pairs import find_unlike_pairs
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.records import BoxFrame


@click.command()
@cleaning_options
@click.option(
    "--min-similarity",
    type=click.FloatRange(-1, 1),
    metavar="S",
    required=True,
    help="Leave out user photos that are less similar than S to every seller photo of their "
    "product.",
)
@boxes_option
@embedding_options
def pairs(
    run: CleaningRun, min_similarity: float, box_frame: BoxFrame, embedding: EmbeddingSettings
) -> None:
    """Leave out user photos that look unlike every seller photo of their product.

    DATASET is a test set, or a CSV table of photos tagged user or seller. What similarity is right
    depends on the model and the photos: try some with --dry-run and look at the page.

    \b
    Example:
      shoplens dataset clean pairs DATASET --min-similarity 0.15 --dry-run
    """
    tables = run.read(box_frame)
    with progress_display() as progress:
        found = find_unlike_pairs(tables, min_similarity, embedding, progress=progress)
        run.finish(found, progress)
