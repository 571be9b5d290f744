"""Options that say on which machines `shoplens embed` works."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from shoplens.distributed.partitions import PARTITION_ROWS
from shoplens.distributed.to_folder import Cluster
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.models.devices import CPU
from shoplens.sources.remote import is_url
from shoplens.vectors.lance import SUFFIX as LANCE
from shoplens.vectors.lance import require_lance


def engine_options(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add the options; they reach the command as `cluster`, None where this machine does it all."""

    @functools.wraps(command)
    def collected(
        engine: Literal["local", "ray"],
        address: str | None,
        partition_rows: int | None,
        by_file: bool,
        **others: Any,
    ) -> int | None:
        chosen = {"--address": address, "--partition-rows": partition_rows, "--by-file": by_file}
        if engine != "ray" and (idle := [name for name, value in chosen.items() if value]):
            raise click.UsageError(f"{idle[0]} needs --engine ray")
        if by_file and partition_rows:
            raise click.UsageError(
                "--by-file makes each file a partition: leave out --partition-rows"
            )
        cluster = Cluster(address, partition_rows or PARTITION_ROWS, by_file)
        return command(cluster=cluster if engine == "ray" else None, **others)

    for option in reversed(_ENGINE_OPTIONS):
        collected = option(collected)
    return collected


_ENGINE_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="ray: on all machines of a Ray cluster. FILE is then a folder of Parquet parts that "
        "all of them reach, or vectors.lance, made of such a folder beside it (see "
        "docs/distributed.md). The cache is not used.",
    ),
    click.option(
        "--address",
        metavar="HOST:PORT",
        help="The address of the Ray cluster; by default the one that this machine or RAY_ADDRESS "
        "knows, else Ray is started on this machine.",
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
        help="With Ray: GALLERY is a folder of Parquet files. Each file is a piece that is listed "
        "where it is computed, for catalogues too long for one machine.",
    ),
)


def require_shared(output: str, settings: EmbeddingSettings) -> None:
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
    if settings.device != CPU:
        raise click.UsageError(
            f"--device {settings.device}: with --engine ray models run on cpu only"
        )
