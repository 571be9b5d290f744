"""Spread partitions over a Ray cluster. Only this module imports Ray (extra `shoplens[ray]`).

A partition is one row of a Ray dataset, and one task for one core. It lists its photos, embeds them
and writes its part. The driver gets back a record of a few hundred bytes. If the machine of a task
dies, the task runs again on another machine at once. (With a pool of actors, the partitions of a
dead actor would wait until another actor gives up its core, which is when all work is done.) A
process runs many tasks and loads the model once.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from shoplens.distributed.packing import PackedModel
from shoplens.distributed.partitions import Partition, PartitionResult, compute
from shoplens.errors import FailureLimitError, MissingError, ShoplensError
from shoplens.models import Encoder
from shoplens.progress import Progress, silent
from shoplens.records import Failure
from shoplens.vectors.part_folder import Manifest, PartFolder


@dataclass(slots=True)
class Summary:
    """The result of a run over all partitions."""

    n_photos: int = 0
    n_parts: int = 0
    n_kept: int = 0
    """Number of photos whose vectors an earlier run had written."""
    n_clipped: int = 0
    failures: list[Failure] = field(default_factory=list)
    core_seconds: Counter[str] = field(default_factory=Counter)
    """Core seconds by stage, over all machines."""


@dataclass(frozen=True, slots=True)
class _Job:
    """The arguments of every task."""

    model: Any
    """Ray's reference to a `PackedModel`."""
    fingerprint: str
    folder: PartFolder
    retry_failed: bool


def embed_on_ray(
    partitions: Iterable[Partition],
    model: PackedModel,
    dimension: int,
    folder: PartFolder,
    *,
    name: str,
    address: str | None = None,
    max_tasks: int | None = None,
    retry_failed: bool = False,
    max_failures: int | None = None,
    progress: Progress = silent,
) -> Summary:
    """Embed partitions on a Ray cluster, and write their parts.

    If it is stopped, call it again to resume: complete parts are not computed again. If this
    process is already connected to Ray, that session is used and left open.

    Args:
        partitions: the pieces, see `shoplens.distributed.partitions.cut`.
        model: the model, see `shoplens.distributed.packing.pack_model`.
        dimension: length of the model's vectors.
        folder: the folder for parts, records and finally the manifest; all machines must have
            access.
        name: the model's name.
        address: the address of the cluster, as in `ray.init`. None for the one that this machine or
            the environment (`RAY_ADDRESS`) knows; if there is none, Ray is started on this machine.
        max_tasks: number of partitions that are computed at once, one core each; None for one per
            core of the cluster.
        retry_failed: see `shoplens.distributed.partitions.compute`.
        max_failures: stop if more photos than this have failed. They are counted after each
            partition; partitions that are still being computed are not counted.
        progress: called with the number of photos done, after each partition.

    Raises:
        MissingError: Ray is not installed.
        FailureLimitError: more than `max_failures` photos failed.
        ShoplensError: the cluster cannot be reached, or a partition cannot be computed.
    """
    ray = _ray()
    pieces = list(partitions)
    total = sum(piece.n_photos for piece in pieces)
    first_rows = [piece.first_row for piece in pieces]
    summary = Summary(n_parts=len(pieces))
    folder.begin()
    if pieces:
        with _session(ray, address):
            job = _Job(ray.put(model), model.fingerprint, folder, retry_failed)
            rows = [{"partition": ray.cloudpickle.dumps(piece)} for piece in pieces]
            del pieces
            for result in _results(ray, rows, job, max_tasks):
                _count(summary, result, first_rows[result.record.number])
                progress("embed", summary.n_photos, total)
                if max_failures is not None and len(summary.failures) > max_failures:
                    raise FailureLimitError(summary.failures, summary.n_photos)
    summary.failures.sort(key=lambda failure: failure.row)
    folder.finish(
        Manifest(
            n_photos=summary.n_photos,
            n_parts=summary.n_parts,
            n_failed=len(summary.failures),
            dimension=dimension,
            model=name,
            fingerprint=model.fingerprint,
        )
    )
    return summary


def _ray() -> Any:
    # Ray sends usage reports to its makers unless they are switched off.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: PLC0415
        import ray.data  # noqa: PLC0415
    except ImportError as error:
        raise MissingError(
            f"many machines need Ray: pip install 'shoplens[ray]' ({error})"
        ) from error
    return ray


@contextmanager
def _session(ray: Any, address: str | None) -> Iterator[None]:
    """Connect to a cluster for the duration of a block."""
    # Its warnings are about settings made here; failures are raised.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    shown = (context.enable_progress_bars, context.print_on_execution_start)
    context.enable_progress_bars = context.print_on_execution_start = False
    mine = not ray.is_initialized()
    try:
        if mine:
            _connect(ray, address)
        yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start = shown
        if mine:
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    try:
        ray.init(
            address=address,
            logging_level=logging.WARNING,
            log_to_driver=False,
            **({} if address else {"include_dashboard": False}),
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ShoplensError(f"cannot reach the Ray cluster {address or ''}: {error}") from error


def _results(
    ray: Any, rows: list[dict[str, bytes]], job: _Job, max_tasks: int | None
) -> Iterator[PartitionResult]:
    """Yield the result of each partition, as soon as it is known."""
    # One block per row, so that a row is a task. A dying machine then costs only its own tasks.
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _run, fn_kwargs={"job": job}, num_cpus=1, compute=ray.data.TaskPoolStrategy(max_tasks)
    )
    try:
        for row in dataset.iter_rows():
            result = pickle.loads(row["result"])
            if isinstance(result, ShoplensError):
                raise result
            yield result
    except ray.exceptions.RayError as error:
        raise ShoplensError(f"a partition could not be computed: {error}") from error


def _run(row: Mapping[str, bytes], job: _Job) -> dict[str, bytes]:
    """Compute a partition; runs on any machine of the cluster."""
    try:
        encoder = _encoder(job.fingerprint, job.model)
        partition: Partition = pickle.loads(row["partition"])
        result = compute(partition, encoder, job.folder, retry_failed=job.retry_failed)
    except ShoplensError as error:
        # As an exception it would reach the driver wrapped in traces of Ray.
        return {"result": pickle.dumps(error)}
    return {"result": pickle.dumps(result)}


@functools.lru_cache(maxsize=1)
def _encoder(fingerprint: str, model: Any) -> Encoder:
    """Return the model, loaded once per process."""
    packed: PackedModel = _ray().get(model)
    return packed.load()


def _count(summary: Summary, result: PartitionResult, first_row: int) -> None:
    record = result.record
    summary.n_photos += record.n_photos
    summary.n_kept += result.n_kept
    summary.n_clipped += record.n_clipped
    summary.core_seconds.update(result.seconds)
    summary.failures += (
        Failure(first_row + failed.row, failed.id, failed.name, failed.reason, failed.detail)
        for failed in record.failures
    )
