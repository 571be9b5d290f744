"""`shoplens dataset make`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.dataset.telling import told
from shoplens.cli.options import boxes_option, column_pairs, json_option, workers_option
from shoplens.curation.making import How, make_dataset
from shoplens.datasets.tagged_table import COLUMNS
from shoplens.records import BoxFrame
from shoplens.report.counts import counted


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="SOURCE")
@click.argument("folder", type=click.Path(path_type=Path), metavar="OUT_DIR")
@click.option(
    "--photos",
    "how",
    type=click.Choice(["copy", "link", "reference"]),
    default="copy",
    show_default=True,
    help="copy: copy the photos. link: make hard links, which take no space but need one disk. "
    "reference: leave the photos where they are, and write the tables into a folder above them.",
)
@click.option(
    "--max-queries-per-product",
    type=click.IntRange(min=1),
    metavar="N",
    help="Take at most N user photos of a product, chosen by the seed.",
)
@click.option(
    "--keep-user-only",
    is_flag=True,
    help="Keep user photos of products without a seller photo. These queries find nothing.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed for the order of rows and for the choice by --max-queries-per-product.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS",
    callback=lambda c, p, v: column_pairs(v, COLUMNS),
    help="A table's own name for a column, as in product_id=sku; repeatable.",
)
@boxes_option
@workers_option
@json_option
def make(
    source: Path,
    folder: Path,
    how: How,
    max_queries_per_product: int | None,
    keep_user_only: bool,
    seed: int,
    columns: dict[str, str],
    box_frame: BoxFrame,
    workers: int | None,
    json_file: str | None,
) -> None:
    """Make a test set of photos that are tagged user or seller.

    SOURCE is a folder with user/PRODUCT/... and seller/PRODUCT/..., or with PRODUCT/user/... and
    PRODUCT/seller/...; or a CSV table with img_path, domain (user or seller), product_id and,
    optionally, bbox_x, bbox_y, bbox_w, bbox_h and category. Without a box, the whole user photo is
    searched for. OUT_DIR must be new, except with --photos reference. Photos that cannot be used
    are left out and counted. The result passes `shoplens check`.

    \b
    Example:
      shoplens dataset make photos/ testset/ --photos link --max-queries-per-product 4
      shoplens dataset make photos.csv testset/ --column product_id=sku
    """
    with progress_display() as progress:
        made = make_dataset(
            source,
            folder,
            how=how,
            columns=columns,
            box_frame=box_frame,
            max_queries_per_product=max_queries_per_product,
            keep_user_only=keep_user_only,
            seed=seed,
            workers=workers,
            progress=progress,
        )
    Results(json_file).line(
        f"{made.folder}: {counted(made.n_gallery, 'gallery photo')}, "
        f"{counted(made.n_queries, 'query')}, {counted(made.n_products, 'product')}"
    )
    message(f"read as {made.layout}")
    kept = "kept, but no metric counts them"
    for sentence in told(made, kept if keep_user_only else "left out (--keep-user-only)"):
        message(sentence)
    write_json(json_file, made.to_json())
