"""`shoplens dataset convert`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.dataset.telling import told
from shoplens.cli.options import json_option, workers_option
from shoplens.curation.converting import AUTO, Converted, convert_dataset
from shoplens.curation.making import How
from shoplens.datasets.layouts import LAYOUTS
from shoplens.report.counts import counted


@click.command()
@click.argument("layout", type=click.Choice([AUTO, *LAYOUTS]), metavar="LAYOUT")
@click.argument("source", type=click.Path(path_type=Path), metavar="SOURCE")
@click.argument("folder", type=click.Path(path_type=Path), metavar="OUT_DIR")
@click.option(
    "--split",
    metavar="NAME",
    default="test",
    show_default=True,
    help="train, val, test or all. Some datasets have no val.",
)
@click.option(
    "--queries-per-product",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="If the dataset does not say which photos are queries, draw N of each product. At least "
    "one stays in the gallery.",
)
@click.option(
    "--photos",
    "how",
    type=click.Choice(["copy", "link", "reference"]),
    default="copy",
    show_default=True,
    help="Copy, link or reference the photos, as in `shoplens dataset make`.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed for the order of rows and for the photos that are drawn.",
)
@workers_option
@json_option
def convert(
    layout: str,
    source: Path,
    folder: Path,
    split: str,
    queries_per_product: int,
    how: How,
    seed: int,
    workers: int | None,
    json_file: str | None,
) -> None:
    """Write a published dataset as a test set.

    SOURCE is the folder of the dataset as it was downloaded and unpacked. LAYOUT says which dataset
    it is: products-10k, stanford-online-products, deepfashion-in-shop,
    deepfashion-consumer-to-shop, grocery-store or rp2k; with auto, the command finds out. OUT_DIR
    must be new, except with --photos reference. Photos that cannot be used are left out and
    counted. The result passes `shoplens check`.

    \b
    Example:
      shoplens dataset convert auto Stanford_Online_Products/ products/
      shoplens dataset convert rp2k rp2k_dataset/ shelves/ --split train
    """
    with progress_display() as progress:
        converted = convert_dataset(
            layout,
            source,
            folder,
            split=split,
            how=how,
            queries_per_product=queries_per_product,
            seed=seed,
            workers=workers,
            progress=progress,
        )
    made = converted.made
    Results(json_file).line(
        f"{made.folder}: {counted(made.n_gallery, 'gallery photo')}, "
        f"{counted(made.n_queries, 'query')}, {counted(made.n_products, 'product')}"
    )
    for sentence in _told(converted):
        message(sentence)
    write_json(json_file, converted.to_json())


def _told(converted: Converted) -> list[str]:
    title = LAYOUTS[converted.made.layout].title
    sentences = [f"read as {title}, split {converted.split}", *converted.notes]
    if converted.n_drawn:
        sentences.append(
            f"{counted(converted.n_drawn, 'query')} drawn at random: the dataset does not say "
            "which photos are searched with"
        )
    return [*sentences, *told(converted.made)]
