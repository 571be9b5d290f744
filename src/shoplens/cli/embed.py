"""`shoplens embed`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import message, progress_display, write_json
from shoplens.cli.engine_options import engine_options, require_shared
from shoplens.cli.options import (
    boxes_option,
    columns_option,
    distinct,
    embedding_options,
    json_option,
    remote_option,
)
from shoplens.cli.query_view_options import query_views_option
from shoplens.cli.telling import tell_failures, tell_others, tell_seconds
from shoplens.datasets.dataset import read_dataset, read_gallery
from shoplens.distributed.to_folder import Cluster, embed_to_folder, partitions_of, parts_of
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.embedding.to_file import VectorFile, embed_to_file
from shoplens.files import require_folder
from shoplens.records import BoxFrame, PhotoSet
from shoplens.sources.remote import is_url
from shoplens.vectors.lance import SUFFIX as LANCE
from shoplens.vectors.writing import require_vector_file


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
@query_views_option
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
    query_views: int,
    embedding: EmbeddingSettings,
    cluster: Cluster | None,
    box_frame: BoxFrame,
    columns: dict[str, str],
    remote: bool,
    json_file: str | None,
) -> None:
    """Embed the photos of GALLERY into a file of vectors.

    If the command is stopped, run it again to resume: photos that were embedded before come from
    the cache. Photos that cannot be used are counted by reason and do not shift other rows.

    \b
    Example:
      pip install 'shoplens[parquet]'
      shoplens embed photos/ -o vectors.parquet
      shoplens search snapshot.jpg --gallery photos/ --gallery-vectors vectors.parquet
    """
    distinct(output, json_file)
    if query_views != 1 and (not queries or cluster is not None):
        raise click.UsageError("--query-views needs --queries, and does not go with --engine")
    by_file = cluster is not None and cluster.by_file
    if cluster is not None:
        require_shared(output, embedding)
        if queries and by_file:
            raise click.UsageError(
                "--by-file lists the files of a gallery, so it cannot go with --queries"
            )
        # Other machines work in other folders.
        source = source if is_url(source) else str(Path(source).absolute())
    else:
        require_vector_file(Path(output))
        if Path(output).suffix != LANCE:
            require_folder(output)
    photos: PhotoSet | None = None
    if queries:
        photos = read_dataset(source, columns=columns, box_frame=box_frame, remote=remote).queries
    elif not by_file:
        photos = read_gallery(source, columns=columns, remote=remote)
        tell_others(photos.n_others)
    if cluster is not None:
        partitions = partitions_of(source, photos, cluster, columns, remote=remote)
        n_photos = sum(partition.n_photos for partition in partitions)
        message(f"{n_photos:,} photos in {len(partitions):,} partitions")
        with progress_display() as progress:
            written = embed_to_folder(partitions, output, embedding, cluster, progress=progress)
        if Path(output).suffix == LANCE:
            message(f"{parts_of(output)} holds the parts: the next run goes on from them")
        where = "there from an earlier run"
    else:
        assert photos is not None
        with progress_display() as progress:
            written = embed_to_file(photos, output, embedding, views=query_views, progress=progress)
        where = "from the cache"
    _tell(written, output, where)
    write_json(json_file, {"output": output, **written.to_json()})


def _tell(written: VectorFile, output: str, where: str) -> None:
    n_photos, n_failed = written.info.n_photos, len(written.failures)
    message(
        f"wrote {output}: {n_photos - n_failed:,} of {n_photos:,} photos, "
        f"{written.n_kept:,} {where}"
    )
    tell_failures(written.failures)
    tell_seconds(written.seconds, n_photos - written.n_kept)
