"""`shoplens search`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import (
    boxes_option,
    columns_option,
    distinct,
    embedding_options,
    gallery_vectors_option,
    json_option,
    remote_option,
    writable,
)
from shoplens.cli.telling import tell_others, tell_photos
from shoplens.datasets.dataset import read_gallery, read_queries
from shoplens.embedding.sets import embed
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.errors import MissingError, PhotoError
from shoplens.pipeline import failures_json, load_vectors, require_same_model
from shoplens.records import BoxFrame, Photo, PhotoSet
from shoplens.searching import SearchResult, query_photo, search_vectors
from shoplens.vectors.embeddings import Embeddings


@click.command()
@click.argument("photos", nargs=-1, type=click.Path(path_type=Path), metavar="[PHOTO]...")
@click.option(
    "--box",
    "box_text",
    metavar="X,Y,W,H",
    help="Where the product is, in pixels of the upright photo, or rel:x,y,w,h in fractions of "
    "it. By default the whole photo.",
)
@click.option(
    "--queries",
    metavar="DATASET_OR_CSV",
    help="Search for each photo of a test set's queries.csv, or of such a table, with its box.",
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
@boxes_option
@columns_option
@remote_option
@embedding_options
@json_option
def search(
    photos: tuple[Path, ...],
    box_text: str | None,
    queries: str | None,
    gallery: str,
    depth: int,
    html_file: Path | None,
    embedding: EmbeddingSettings,
    gallery_vectors: Path | None,
    box_frame: BoxFrame,
    columns: dict[str, str],
    remote: bool,
    json_file: str | None,
) -> int:
    """Search a gallery for the product in PHOTO, or in each of several.

    \b
    Example:
      shoplens search snapshot.jpg --box 120,40,300,200 --gallery photos/ -k 10 --html hits.html
    """
    distinct(html_file, json_file)
    if (queries is None) != bool(photos):
        raise click.UsageError("name the photos to search for, or a table of them with --queries")
    if box_text is not None and len(photos) != 1:
        raise click.UsageError(
            "--box belongs to one photo; for several, write a table and name it with --queries"
        )
    with ThreadPoolExecutor(1) as pool:
        # The model loads while the gallery is listed: for one photo a fifth of the time.
        loading = pool.submit(embedding.load_encoder)
        searched = read_gallery(gallery, columns=columns, remote=remote)
        tell_others(searched.n_others)
        loaded = load_vectors(searched, gallery_vectors)
        if queries is None:
            wanted = PhotoSet(_query(n, photo, box_text) for n, photo in enumerate(photos))
        else:
            wanted = read_queries(queries, columns=columns, box_frame=box_frame, remote=remote)
        encoder = loading.result()
    if loaded is not None:
        require_same_model(loaded, encoder, gallery_vectors)
    # The queries come first: a bad box is told before a large gallery is embedded.
    vectors = embed(wanted, encoder, cache=queries is not None and embedding.use_cache)
    if len(photos) == 1 and vectors.failures:
        failure = vectors.failures[0]
        raise PhotoError(failure.reason, f"{photos[0]}: {failure.detail}")
    if len(photos) == 1 and vectors.n_clipped:
        message(f"box {wanted[0].box} reaches beyond the photo: the part inside is searched for")
    if loaded is None:
        with progress_display() as progress:
            loaded = embedding.embed(searched, encoder, progress)
    tell_photos("gallery", loaded)
    if not photos or len(photos) > 1:
        tell_photos("queries", vectors)
    seconds = {"query": vectors.seconds["embed"]}
    results = search_vectors(wanted, vectors, loaded, depth, seconds)
    _print_hits(json_file, results, len(searched))
    if html_file is not None:
        _write_page(html_file, results, encoder.name)
        message(f"wrote {html_file}")
    write_json(json_file, _to_json(results, loaded, vectors, single=len(photos) == 1))
    return 1 if vectors.failures else 0


def _query(number: int, photo: Path, box_text: str | None) -> Photo:
    if photo.is_dir():
        raise click.BadParameter(
            f"{photo} is a folder; name a photo to search for, and the folder to search in with "
            "--gallery",
            param_hint="PHOTO",
        )
    if not photo.exists():
        raise MissingError(f"photo {photo} is not there")
    try:
        return query_photo(photo, box_text, number)
    except PhotoError as error:
        if error.reason != "bad_box":
            raise
        raise click.BadParameter(str(error), param_hint="--box") from error


def _print_hits(json_file: str | None, results: Sequence[SearchResult], n_gallery: int) -> None:
    several = ("query",) if len(results) > 1 else ()
    Results(json_file).table(
        (*several, "rank", "score", "photo", "product", "path"),
        (
            (
                *(result.query.name for _ in several),
                hit.rank,
                f"{hit.score:.4f}",
                hit.photo_id,
                hit.product_id,
                hit.path,
            )
            for result in results
            for hit in result
        ),
        numbers=("rank", "score", "photo"),
        title=f"{n_gallery:,} gallery photos",
    )


def _write_page(file: Path, results: Sequence[SearchResult], model: str) -> None:
    from shoplens.report import Result, Shown, write_page  # noqa: PLC0415  Jinja takes its time.

    shown = [
        Shown(
            # The page may be sent to others, whom this machine's folders do not concern.
            replace(result.query, name=result.query.path.name),
            result.query.path.name,
            [
                Result(hit.photo, f"{hit.rank} · {hit.score:.3f} · {hit.path}")
                for hit in result
                if hit.photo is not None
            ],
        )
        for result in results
    ]
    title = f"Search in {results[0].n_gallery:,} photos" if results else "Search"
    write_page(file, title, [("model", model)], shown)


def _to_json(
    results: Sequence[SearchResult], gallery: Embeddings, queries: Embeddings, *, single: bool
) -> dict[str, Any]:
    if single:
        return {**results[0].to_json(), **failures_json({"gallery": gallery})}
    return {
        "results": [
            {"query": {"id": result.query.id, "path": result.query.name}, **result.to_json()}
            for result in results
        ],
        **failures_json({"gallery": gallery, "queries": queries}),
    }
