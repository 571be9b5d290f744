"""How `shoplens embed` spreads its work over many machines."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from shoplens.arrow import arrow
from shoplens.cli.console import message, progress_display
from shoplens.cli.options import EmbeddingOptions
from shoplens.distributed.by_file import cut_by_file
from shoplens.distributed.on_ray import embed_on_ray
from shoplens.distributed.packing import pack_model
from shoplens.distributed.partitions import PARTITION_ROWS, cut
from shoplens.embedding import STAGES
from shoplens.models.devices import CPU
from shoplens.records import Failure, PhotoSet
from shoplens.sources.remote import is_url
from shoplens.vectors.lance import SUFFIX as LANCE
from shoplens.vectors.lance import require_lance, write_lance
from shoplens.vectors.parts import PartFolder
from shoplens.vectors.writing import VectorFileInfo


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """On which machines a command embeds."""

    name: Literal["local", "ray"]
    address: str | None
    partition_rows: int
    by_file: bool


@dataclass(frozen=True, slots=True)
class EmbedRun:
    """What `shoplens embed` has to tell."""

    info: VectorFileInfo
    n_cached: int
    """Photos that had been computed before."""
    n_clipped: int
    failures: list[Failure]
    seconds: dict[str, float]
    kept_where: str = "from the cache"


def engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where the work is done; they reach the command as `engine`."""

    @functools.wraps(command)
    def collected(
        engine: Literal["local", "ray"],
        address: str | None,
        partition_rows: int | None,
        by_file: bool,
        **others: Any,
    ) -> None:
        chosen = {"--address": address, "--partition-rows": partition_rows, "--by-file": by_file}
        if engine != "ray" and (idle := [name for name, value in chosen.items() if value]):
            raise click.UsageError(f"{idle[0]} needs --engine ray")
        if by_file and partition_rows:
            raise click.UsageError("--by-file makes a partition of each file: no --partition-rows")
        options = EngineOptions(engine, address, partition_rows or PARTITION_ROWS, by_file)
        command(engine=options, **others)

    for option in reversed(_ENGINE_OPTIONS):
        collected = option(collected)
    return collected


_ENGINE_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="ray: on all machines of a Ray cluster, FILE being a folder of Parquet parts that "
        "they all reach, or vectors.lance, made of such a folder beside it (see "
        "docs/distributed.md); the cache is not used.",
    ),
    click.option(
        "--address",
        metavar="HOST:PORT",
        help="The Ray cluster's; by default the one this machine or RAY_ADDRESS knows, else Ray is "
        "started on this machine.",
    ),
    click.option(
        "--partition-rows",
        type=click.IntRange(min=1),
        metavar="N",
        help=f"With Ray: photos that are computed as one piece.  [default: {PARTITION_ROWS}]",
    ),
    click.option(
        "--by-file",
        is_flag=True,
        help="With Ray: GALLERY is a folder of Parquet files, each a piece that is listed where it "
        "is computed, for catalogues too long for one machine.",
    ),
)


def embed_on_many(
    source: str,
    photos: PhotoSet | None,
    output: str,
    embedding: EmbeddingOptions,
    engine: EngineOptions,
    columns: dict[str, str],
    *,
    remote: bool = False,
) -> EmbedRun:
    """Embed on a Ray cluster, into a folder.

    Args:
        source: the gallery, as the user named it.
        photos: what it holds; None where its files are partitions.
        output: the folder; where it ends in `.lance`, that of the dataset, the parts beside it.
        embedding: the model and what may fail.
        engine: how the work is cut.
        columns: a table's own names.
        remote: whether tables may name URLs.
    """
    started = time.perf_counter()
    as_lance = Path(output).suffix == LANCE
    folder = PartFolder(f"{output}.parts" if as_lance else output)
    if photos is None:
        partitions = cut_by_file(source, columns, remote=remote)
    else:
        partitions = list(cut(photos, engine.partition_rows))
    n_photos = sum(partition.n_photos for partition in partitions)
    model, encoder = pack_model(embedding.model, dimension=embedding.dimension)
    recipe = encoder.recipe
    message(f"{n_photos:,} photos in {len(partitions):,} partitions")
    # Ray prints news of machines to standard output, where the JSON may have to stand alone.
    with progress_display() as progress, redirect_stdout(sys.stderr):
        summary = embed_on_ray(
            partitions,
            model,
            recipe.dimension,
            folder,
            name=recipe.name,
            address=engine.address,
            max_tasks=embedding.workers,
            retry_failed=embedding.retry_failed,
            max_failures=embedding.failure_limit(n_photos),
            progress=progress,
        )
    if as_lance:
        write_lance(_batches(folder), Path(output))
        message(f"{folder} holds the parts: the next run goes on from them")
    info = VectorFileInfo(n_photos, recipe.dimension, recipe.name, encoder.fingerprint)
    stages = {stage: summary.core_seconds[stage] for stage in STAGES}
    seconds = {**stages, "embed": time.perf_counter() - started}
    return EmbedRun(
        info,
        summary.n_kept,
        summary.n_clipped,
        summary.failures,
        seconds,
        kept_where="there from an earlier run",
    )


def require_shared(output: str, embedding: EmbeddingOptions) -> None:
    """Check before the work that many machines can do what is asked for."""
    if Path(output).suffix in (".parquet", ".npy"):
        raise click.UsageError(
            f"{output}: with --engine ray vectors are written as a folder of Parquet files, or as "
            "a Lance dataset made of it; name a folder, or one that ends in .lance"
        )
    if Path(output).suffix == LANCE:
        if is_url(output):
            raise click.UsageError(f"{output}: Lance datasets are written to a disk, not to a URL")
        require_lance(Path(output))
    if embedding.device != CPU:
        raise click.UsageError(
            f"--device {embedding.device}: with --engine ray models run on cpu only"
        )


def _batches(folder: PartFolder) -> Iterator[Any]:
    for table in folder.each_part():
        # An empty part still has its columns.
        yield arrow().RecordBatch.from_pylist([], schema=table.schema)
        yield from table.to_batches()
