"""`shoplens dataset clean products`."""

from __future__ import annotations

import click

from shoplens.cli.console import progress_display
from shoplens.cli.dataset.clean.running import CleaningRun, cleaning_options
from shoplens.cli.options import workers_option
from shoplens.curation.cleaning.products import find_same_products


@click.command()
@cleaning_options
@click.option(
    "--min-shared",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    metavar="SHARE",
    help="Two products are one if this share of one's seller photos is shown by the other too.",
)
@click.option(
    "--most-products",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    metavar="N",
    help="Ignore pictures that more than N products show, such as size charts.",
)
@click.option("--recoloured", is_flag=True, help="Count the same shot in another colour as well.")
@workers_option
def products(
    run: CleaningRun,
    min_shared: float,
    most_products: int,
    recoloured: bool,
    workers: int | None,
) -> None:
    """Give products that show the same photos one id.

    DATASET is a test set, or a CSV table of photos tagged user or seller. The id that stays is
    that of the product with the most seller photos.

    \b
    Example:
      shoplens dataset clean products DATASET --dry-run -o page.html
    """
    tables = run.read()
    with progress_display() as progress:
        found = find_same_products(
            tables,
            min_shared=min_shared,
            most_products=most_products,
            recoloured=recoloured,
            workers=workers,
            progress=progress,
        )
        run.finish(found, progress)
