"""Embed photos on many machines, into a folder of vectors."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.arrow import arrow
from shoplens.distributed.by_file import cut_by_file
from shoplens.distributed.on_ray import embed_on_ray
from shoplens.distributed.packing import pack_model
from shoplens.distributed.partitions import PARTITION_ROWS, Partition, cut
from shoplens.embedding import STAGES
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.embedding.to_file import VectorFile
from shoplens.progress import Progress, silent
from shoplens.records import PhotoSet
from shoplens.vectors.lance import SUFFIX as LANCE
from shoplens.vectors.lance import write_lance
from shoplens.vectors.part_folder import PartFolder
from shoplens.vectors.writing import VectorFileInfo


@dataclass(frozen=True, slots=True)
class Cluster:
    """The machines, and how the photos are split."""

    address: str | None = None
    """HOST:PORT of a Ray cluster; None for the one that this machine or RAY_ADDRESS knows. If there
    is none, Ray is started on this machine."""
    partition_rows: int = PARTITION_ROWS
    """Number of photos in a partition."""
    by_file: bool = False
    """Whether the gallery is a folder of Parquet files. Each is a partition, and is listed where it
    is embedded."""


def partitions_of(
    source: str,
    photos: PhotoSet | None,
    cluster: Cluster,
    columns: dict[str, str],
    *,
    remote: bool = False,
) -> list[Partition]:
    """Cut a gallery into partitions: of listed photos, or one per file if `photos` is None."""
    if photos is None:
        return cut_by_file(source, columns, remote=remote)
    return list(cut(photos, cluster.partition_rows))


def embed_to_folder(
    partitions: list[Partition],
    output: str,
    settings: EmbeddingSettings,
    cluster: Cluster,
    *,
    progress: Progress = silent,
) -> VectorFile:
    """Embed on a Ray cluster, into a folder that all its machines have access to.

    Args:
        partitions: the photos to embed.
        output: the folder. If it ends in `.lance`, it is a Lance dataset, and the parts are beside
            it in a folder that ends in `.parts`, from which the next run resumes.
        settings: the model and the failure limit; the cache is not used.
        cluster: the machines.
        progress: called with the number of photos done.
    """
    started = time.perf_counter()
    as_lance = Path(output).suffix == LANCE
    folder = parts_of(output)
    n_photos = sum(partition.n_photos for partition in partitions)
    model, encoder = pack_model(settings.model, dimension=settings.dimension)
    # Ray prints messages to standard output, which must hold nothing but the JSON.
    with redirect_stdout(sys.stderr):
        summary = embed_on_ray(
            partitions,
            model,
            encoder.dimension,
            folder,
            name=encoder.name,
            address=cluster.address,
            max_tasks=settings.workers,
            retry_failed=settings.retry_failed,
            max_failures=settings.failure_limit(n_photos),
            progress=progress,
        )
    if as_lance:
        write_lance(_batches(folder), Path(output))
    info = VectorFileInfo(n_photos, encoder.dimension, encoder.name, encoder.fingerprint)
    stages = {stage: summary.core_seconds[stage] for stage in STAGES}
    seconds = {**stages, "embed": time.perf_counter() - started}
    return VectorFile(info, summary.n_kept, summary.n_clipped, summary.failures, seconds)


def parts_of(output: str) -> PartFolder:
    """Return the folder of parts of an output."""
    return PartFolder(f"{output}.parts" if Path(output).suffix == LANCE else output)


def _batches(folder: PartFolder) -> Iterator[Any]:
    for table in folder.each_part():
        # An empty part still has its columns.
        yield arrow().RecordBatch.from_pylist([], schema=table.schema)
        yield from table.to_batches()
