"""The option --regions."""

from __future__ import annotations

import click

from shoplens.regions.choosing import MOST

regions_option = click.option(
    "--regions",
    type=click.IntRange(0, MOST),
    default=0,
    show_default=True,
    metavar="N",
    help=f"Also compare N regions of each gallery photo, up to {MOST}. They are chosen around what "
    "stands out in it, and embedded like further photos (docs/regions.md).",
)
