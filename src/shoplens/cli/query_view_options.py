"""The option --query-views."""

from __future__ import annotations

import click

from shoplens.embedding.query_views import MOST

query_views_option = click.option(
    "--query-views",
    type=click.IntRange(1, MOST),
    default=1,
    show_default=True,
    metavar="N",
    help="Embed each query as the mean of N views: the photo with its box, its mirror image, "
    "the photo with a margin around the box, and the mirror image of that (docs/searching.md).",
)
