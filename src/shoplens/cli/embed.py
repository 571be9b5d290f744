"""`shoplens embed`."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

import click

from shoplens.cli.console import message, progress_display, write_json
from shoplens.cli.many_machines import (
    EmbedRun,
    EngineOptions,
    embed_on_many,
    engine_options,
    require_shared,
)
from shoplens.cli.options import (
    EmbeddingOptions,
    boxes_option,
    columns_option,
    distinct,
    embedding_options,
    json_option,
    remote_option,
)
from shoplens.cli.pipeline import open_cache, report_failures, report_seconds
from shoplens.datasets.dataset import read_dataset, read_gallery
from shoplens.embedding import Tally, embed_each
from shoplens.files import require_folder
from shoplens.records import BoxFrame, PhotoSet
from shoplens.sources.remote import is_url
from shoplens.vectors.lance import SUFFIX as LANCE
from shoplens.vectors.writing import VectorFileInfo, require_vector_file, writing_vectors


@click.command()
@click.argument("source", metavar="GALLERY")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    help="vectors.parquet or vectors.lance (ids, failures and the model's fingerprint beside the "
    "vectors), or vectors.npy (float32, rows in the gallery's order, NaN where a photo failed).",
)
@click.option("--queries", is_flag=True, help="Embed the test set's queries, not its gallery.")
@embedding_options
@boxes_option
@columns_option
@remote_option
@engine_options
@json_option
def embed(
    source: str,
    output: str,
    queries: bool,
    embedding: EmbeddingOptions,
    engine: EngineOptions,
    box_frame: BoxFrame,
    columns: dict[str, str],
    remote: bool,
    json_file: str | None,
) -> None:
    """Turn the photos of GALLERY into vectors, in a file.

    Stopped at any moment, the same command goes on where it was: photos that were embedded before,
    under whatever name, are taken from the cache. Photos that cannot be used are counted by reason
    and shift no row.

    \b
    Example:
      shoplens embed photos/ -o vectors.parquet
      shoplens search snapshot.jpg --gallery photos/ --gallery-vectors vectors.parquet
    """
    distinct(output, json_file)
    if engine.name == "ray":
        require_shared(output, embedding)
        if queries and engine.by_file:
            raise click.UsageError("--by-file is of a gallery's files: no --queries")
        # Other machines work in other folders.
        source = source if is_url(source) else str(Path(source).absolute())
    else:
        require_vector_file(Path(output))
        if Path(output).suffix != LANCE:
            require_folder(output)
    photos: PhotoSet | None = None
    if queries:
        photos = read_dataset(source, columns=columns, box_frame=box_frame, remote=remote).queries
    elif not engine.by_file:
        photos = read_gallery(source, columns=columns, remote=remote)
    if photos is None or engine.name == "ray":
        run = embed_on_many(source, photos, output, embedding, engine, columns, remote=remote)
    else:
        run = _embed_here(photos, Path(output), embedding)
    _report(run, output, json_file)


def _embed_here(photos: PhotoSet, output: Path, embedding: EmbeddingOptions) -> EmbedRun:
    encoder = embedding.load_encoder()
    info = VectorFileInfo(
        len(photos), encoder.recipe.dimension, encoder.recipe.name, encoder.fingerprint
    )
    tally = Tally(embedding.failure_limit(len(photos)))
    with (
        progress_display() as progress,
        open_cache(encoder, embedding) as cache,
        writing_vectors(output, info) as writer,
        closing(
            embed_each(
                photos,
                encoder,
                cache=cache,
                retry_failed=embedding.retry_failed,
                workers=embedding.workers,
            )
        ) as results,
    ):
        for row, (photo, result) in enumerate(zip(photos, results, strict=True)):
            computed = result.computed
            writer.add(photo, computed.vector, result.sha256, computed.reason)
            tally.add(row, photo, result)
            progress("embed", row + 1, len(photos))
    return EmbedRun(info, tally.n_cached, tally.n_clipped, tally.failures, tally.seconds())


def _report(run: EmbedRun, output: str, json_file: str | None) -> None:
    info, failures = run.info, run.failures
    message(
        f"wrote {output}: {info.n_photos - len(failures):,} of {info.n_photos:,} photos, "
        f"{run.n_cached:,} {run.kept_where}"
    )
    report_failures(failures)
    report_seconds(run.seconds, info.n_photos)
    write_json(
        json_file,
        {
            "output": output,
            "n_photos": info.n_photos,
            "n_cached": run.n_cached,
            "n_clipped": run.n_clipped,
            "n_failed": len(failures),
            "failures": dict(Counter(failure.reason for failure in failures).most_common()),
            "failed_photos": [
                {"id": f.id, "path": f.name, "reason": f.reason, "detail": f.detail}
                for f in failures
            ],
            "dimension": info.dimension,
            "model": {"name": info.model_name, "fingerprint": info.fingerprint},
            "seconds": run.seconds,
        },
    )
