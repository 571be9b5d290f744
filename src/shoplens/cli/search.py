"""`shoplens search`."""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
from rich.table import Table

from shoplens.cli.console import message, progress_display, results_console, write_json
from shoplens.cli.job import report_photos
from shoplens.cli.options import (
    columns_option,
    gallery_vectors_option,
    json_option,
    model_option,
    workers_option,
    writable,
)
from shoplens.dataset import read_gallery
from shoplens.embedding import embed, embed_photo
from shoplens.errors import MissingError, ShoplensError
from shoplens.images import read_bytes, read_size
from shoplens.models import load_encoder
from shoplens.ranking import rank
from shoplens.records import Box, Photo
from shoplens.report import Result, Shown, write_page
from shoplens.vectors import Embeddings, load_vectors


@click.command()
@click.argument("photo", type=click.Path(path_type=Path))
@click.option(
    "--box", "box_text", metavar="X,Y,W,H",
    help="Where the product is, in pixels of the upright photo, or rel:x,y,w,h in fractions of "
    "it. By default the whole photo.",
)  # fmt: skip
@click.option(
    "--gallery", required=True, metavar="DATASET_OR_FOLDER",
    help="Where to search: a test set folder, a CSV table, or any folder of images.",
)  # fmt: skip
@click.option("-k", "depth", type=click.IntRange(min=1), default=20, show_default=True,
              help="How many hits to return.")  # fmt: skip
@click.option("--html", "html_file", type=click.Path(path_type=Path), metavar="FILE",
              callback=writable,
              help="Also write the hits as a page with pictures.")  # fmt: skip
@model_option
@gallery_vectors_option
@columns_option
@workers_option
@json_option
def search(
    photo: Path,
    box_text: str | None,
    gallery: str,
    depth: int,
    html_file: Path | None,
    model: str,
    gallery_vectors: Path | None,
    columns: dict[str, str],
    workers: int | None,
    json_file: str | None,
) -> None:
    """Search a gallery for the product in PHOTO.

    \b
    Example:
      shoplens search snapshot.jpg --box 120,40,300,200 --gallery photos/ -k 10 --html hits.html
    """
    started = time.perf_counter()
    if not photo.is_file():
        raise MissingError(f"photo {photo} is not there")
    photos = read_gallery(gallery, columns=columns)
    encoder = load_encoder(model)
    box = Box.parse(box_text, read_size(read_bytes(photo))) if box_text else None
    # The photo comes first: a bad box is told before a large gallery is embedded.
    query_vector = embed_photo(photo, encoder, box=box)
    query = Embeddings(
        np.zeros(1, dtype=np.int32), query_vector[None], (), encoder.recipe.name,
        encoder.fingerprint,
    )  # fmt: skip
    query_seconds = time.perf_counter() - started
    if gallery_vectors is not None:
        embedded = load_vectors(gallery_vectors, photos)
    else:
        with progress_display() as progress:
            embedded = embed(photos, encoder, workers=workers, progress=progress)
        report_photos("gallery", embedded)
    ranking = rank(query, embedded, depth=depth)
    assert ranking.scores is not None  # rank always scores
    by_id = {p.id: p for p in photos}
    hits = [
        (by_id[photo_id], score)
        for photo_id, score in zip(ranking.ids[0].tolist(), ranking.scores[0].tolist(), strict=True)
        if np.isfinite(score)
    ]
    if not hits:
        raise ShoplensError(f"none of the {len(photos)} gallery photos could be embedded")
    table = Table(title=f"{len(photos):,} gallery photos", title_justify="left")
    for name, justify in (("rank", "right"), ("score", "right"), ("photo", "right"),
                          ("product", "left"), ("path", "left")):  # fmt: skip
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for position, (found, score) in enumerate(hits, start=1):
        table.add_row(
            str(position), f"{score:.4f}", str(found.id), found.product_id or "", found.name
        )
    results_console(json_file).print(table)
    if html_file is not None:
        shown = Shown(Photo(0, photo.name, photo, "user", box), photo.name, results=[
            Result(found, f"{score:.3f}") for found, score in hits
        ])  # fmt: skip
        write_page(
            html_file, f"Search in {len(photos):,} photos",
            [("model", encoder.recipe.name)], [shown],
        )  # fmt: skip
        message(f"wrote {html_file}")
    write_json(json_file, {
        "hits": [
            {"rank": position, "photo_id": found.id, "product_id": found.product_id,
             "score": score, "path": found.name}
            for position, (found, score) in enumerate(hits, start=1)
        ],
        "exact": True,
        "n_gallery": len(photos),
        "n_failed": len(embedded.failures),
        "model": {"name": encoder.recipe.name, "fingerprint": encoder.fingerprint},
        "seconds": {"query": query_seconds, **embedded.seconds, **ranking.seconds},
    })  # fmt: skip
