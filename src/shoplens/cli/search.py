"""`shoplens search`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from shoplens.cli.console import message, printable, progress_display, results_console, write_json
from shoplens.cli.options import (
    EmbeddingOptions,
    columns_option,
    distinct,
    embedding_options,
    gallery_vectors_option,
    json_option,
    remote_option,
    writable,
)
from shoplens.cli.pipeline import (
    embed_photos,
    failures_json,
    report_photos,
    warn_of_unknown_origin,
)
from shoplens.datasets.dataset import read_gallery
from shoplens.embedding import embed_photo
from shoplens.errors import MissingError, PhotoError, ShoplensError
from shoplens.models import Encoder
from shoplens.pixels.decoding import read_bytes, read_size
from shoplens.ranking import Ranking, rank
from shoplens.records import Box, Photo, PhotoSet
from shoplens.report import Result, Shown, write_page
from shoplens.vectors.embeddings import Embeddings, check_same_model

Hit = tuple[Photo, float]
"""A gallery photo and its score."""


@click.command()
@click.argument("photo", type=click.Path(path_type=Path))
@click.option(
    "--box",
    "box_text",
    metavar="X,Y,W,H",
    help="Where the product is, in pixels of the upright photo, or rel:x,y,w,h in fractions of "
    "it. By default the whole photo.",
)
@click.option(
    "--gallery",
    required=True,
    metavar="DATASET_OR_FOLDER",
    help="Where to search: a test set folder, a CSV table, or any folder of images.",
)
@click.option(
    "-k",
    "depth",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many hits to return.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=writable,
    help="Also write the hits as a page with pictures.",
)
@gallery_vectors_option
@columns_option
@remote_option
@embedding_options
@json_option
def search(
    photo: Path,
    box_text: str | None,
    gallery: str,
    depth: int,
    html_file: Path | None,
    embedding: EmbeddingOptions,
    gallery_vectors: Path | None,
    columns: dict[str, str],
    remote: bool,
    json_file: str | None,
) -> None:
    """Search a gallery for the product in PHOTO.

    \b
    Example:
      shoplens search snapshot.jpg --box 120,40,300,200 --gallery photos/ -k 10 --html hits.html
    """
    distinct(html_file, json_file)
    photos = read_gallery(gallery, columns=columns, remote=remote)
    encoder = embedding.load_encoder()
    started = time.perf_counter()
    # The query comes first: a bad box is told before a large gallery is embedded.
    box, query = _embed_query(photo, box_text, encoder)
    query_seconds = time.perf_counter() - started
    if gallery_vectors is not None:
        embedded = Embeddings.load(gallery_vectors, photos)
        check_same_model(query, embedded)
        warn_of_unknown_origin(embedded, gallery_vectors)
    else:
        with progress_display() as progress:
            embedded = embed_photos(photos, encoder, embedding, progress)
    report_photos("gallery", embedded)
    ranking = rank(query, embedded, depth=depth)
    hits = _hits(ranking, photos)
    if not hits:
        raise ShoplensError(f"none of the {len(photos)} gallery photos could be embedded")
    _print_hits(results_console(json_file), hits, len(photos))
    if html_file is not None:
        results = [
            Result(found, f"{position} · {score:.3f} · {found.name}")
            for position, (found, score) in enumerate(hits, start=1)
        ]
        shown = Shown(Photo(0, photo.name, photo, "user", box), photo.name, results)
        title = f"Search in {len(photos):,} photos"
        write_page(html_file, title, [("model", encoder.recipe.name)], [shown])
        message(f"wrote {html_file}")
    values = {
        "hits": _hits_json(hits),
        "exact": True,
        "n_gallery": len(photos),
        "n_failed": len(embedded.failures),
        **failures_json({"gallery": embedded}),
        "model": {"name": encoder.recipe.name, "fingerprint": encoder.fingerprint},
        "seconds": {"query": query_seconds, **embedded.seconds, **ranking.seconds},
    }
    write_json(json_file, values)


def _embed_query(
    photo: Path, box_text: str | None, encoder: Encoder
) -> tuple[Box | None, Embeddings]:
    if not photo.exists():
        raise MissingError(f"photo {photo} is not there")
    box = None
    if box_text is not None:
        try:
            size = read_size(read_bytes(photo))
        except PhotoError as error:
            raise PhotoError(error.reason, f"{photo}: {error}") from error
        try:
            box = Box.parse(box_text, size)
        except PhotoError as error:
            raise click.BadParameter(str(error), param_hint="--box") from error
        if not box.is_within(size):
            message(f"box {box} clipped to the photo of {size[0]} x {size[1]} pixels")
    vector = embed_photo(photo, encoder, box=box)
    return box, Embeddings(
        np.zeros(1, dtype=np.int32),
        vector[None],
        model_name=encoder.recipe.name,
        fingerprint=encoder.fingerprint,
    )


def _hits(ranking: Ranking, photos: PhotoSet) -> list[Hit]:
    """Return the first row's photos that could be compared, best first."""
    by_id = {photo.id: photo for photo in photos}
    scores = [] if ranking.scores is None else ranking.scores[0].tolist()
    pairs = zip(ranking.ids[0].tolist(), scores, strict=True)
    return [(by_id[photo_id], score) for photo_id, score in pairs if np.isfinite(score)]


def _print_hits(console: Console, hits: Sequence[Hit], n_gallery: int) -> None:
    table = Table(title=f"{n_gallery:,} gallery photos", title_justify="left")
    for name in ("rank", "score", "photo"):
        table.add_column(name, justify="right")
    for name in ("product", "path"):
        table.add_column(name, overflow="fold")
    for position, (found, score) in enumerate(hits, start=1):
        cells = (str(position), f"{score:.4f}", str(found.id), found.product_id or "", found.name)
        table.add_row(*map(printable, cells))
    console.print(table)


def _hits_json(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    return [
        {
            "rank": position,
            "photo_id": found.id,
            "product_id": found.product_id,
            "score": score,
            "path": found.name,
        }
        for position, (found, score) in enumerate(hits, start=1)
    ]
