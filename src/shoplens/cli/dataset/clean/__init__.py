"""`shoplens dataset clean`: write a dataset without what should not be in it."""

from __future__ import annotations

import click

from shoplens.cli.lazy import LazyGroup

_HERE = "shoplens.cli.dataset.clean"
_COMMANDS = {
    "pairs": (f"{_HERE}.pairs", "Leave out user photos that look unlike their product."),
    "products": (f"{_HERE}.products", "Give products that show the same photos one id."),
    "copies": (f"{_HERE}.copies", "Leave out photos that show the picture of another."),
    "boxes": (f"{_HERE}.boxes", "Find the product's box in user photos without one."),
}


@click.group(cls=LazyGroup, subcommands=_COMMANDS)
def clean() -> None:
    """Write a copy of a dataset without certain faults.

    The dataset itself stays as it is. The new folder holds the tables, the photos, and changes.csv,
    which lists every change with its reason. With --dry-run, nothing is written but the page (-o)
    and the JSON.

    \b
    Example:
      shoplens dataset clean pairs DATASET --min-similarity 0.15 --dry-run
      shoplens dataset clean pairs DATASET cleaned/ --min-similarity 0.15
    """
