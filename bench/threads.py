"""Threads or processes: the same photos embedded by either, as many workers as cores.

Threads are `embed_each` as it ships. Processes are a pool, each with a model of its own, that
writes vectors to shared memory; photos are read by the worker, so that no picture is pickled.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
from catalogues import made_jpegs, photos_at_hand
from commands import fresh_folder
from measuring import finish, interleaved, table
from stand_ins import Instant

from shoplens import load_encoder
from shoplens.cores import usable_cores
from shoplens.embedding import embed_each
from shoplens.models import BASE_MODEL
from shoplens.models.encoder import Encoder
from shoplens.records import Photo

CORES = usable_cores()
CHUNK = 8
"""Photos a process is handed at a time."""

_worker: dict[str, Any] = {}
"""What a process of the pool keeps: its encoder and the vectors it writes to."""


def start(memory: str, shape: tuple[int, int]) -> None:
    """Prepare a process of the pool."""
    _worker["memory"] = SharedMemory(memory)
    _worker["vectors"] = np.ndarray(shape, np.float32, _worker["memory"].buf)
    _worker["encoder"] = load_encoder(BASE_MODEL)


def embed_chunk(first: int, photos: Sequence[Photo]) -> int:
    """Embed photos in a process of the pool, to the rows from `first` on."""
    for row, result in enumerate(embed_each(photos, _worker["encoder"], workers=1), start=first):
        _worker["vectors"][row] = result.computed.vector
    return len(photos)


def no_work(_: int) -> None:
    """Keep a process busy for long enough that the pool starts another."""
    time.sleep(0.2)


def thread_way(photos: Sequence[Photo], encoder: Encoder, workers: int) -> Callable[[], float]:
    """Return photos/s by threads."""

    def way() -> float:
        started = time.perf_counter()
        for _ in embed_each(photos, encoder, workers=workers):
            pass
        return len(photos) / (time.perf_counter() - started)

    return way


def process_way(photos: Sequence[Photo], pool: ProcessPoolExecutor) -> Callable[[], float]:
    """Return photos/s by processes that have started already."""
    firsts = range(0, len(photos), CHUNK)
    chunks = [photos[first : first + CHUNK] for first in firsts]

    def way() -> float:
        started = time.perf_counter()
        if sum(pool.map(embed_chunk, firsts, chunks)) != len(photos):
            raise SystemExit("photos were lost")
        return len(photos) / (time.perf_counter() - started)

    return way


def lock_ways(photos: Sequence[Photo], scratch: Path) -> dict[str, Callable[[], float]]:
    """Return photos/s with a model that answers at once, and with next to no pixels either.

    The last is what Python itself does for a photo, which holds the interpreter's lock: the most
    that one process can do, however many cores there are.
    """
    recipe = load_encoder(BASE_MODEL).recipe
    paths = [scratch / f"{number}.jpg" for number in range(40)]
    for path, jpeg in zip(paths, made_jpegs(len(paths), (16, 16)), strict=True):
        path.write_bytes(jpeg)
    tiny = [Photo(n, paths[n % 40].name, paths[n % 40], "seller") for n in range(2_000)]
    small = Instant(replace(recipe, input_size=16))
    full = Instant(recipe)
    return {
        "no model, 1 thread": thread_way(photos, full, 1),
        f"no model, {CORES} threads": thread_way(photos, full, CORES),
        "no model, pictures of 16 x 16, 1 thread": thread_way(tiny, small, 1),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=240, help="how many photos")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    name, photos = photos_at_hand(arguments.photos)
    encoder = load_encoder(BASE_MODEL)
    shape = (len(photos), encoder.dimension)
    memory = SharedMemory(create=True, size=4 * shape[0] * shape[1])
    spawn = multiprocessing.get_context("spawn")
    try:
        with (
            fresh_folder() as scratch,
            ProcessPoolExecutor(CORES, spawn, start, (memory.name, shape)) as pool,
        ):
            started = time.perf_counter()
            list(pool.map(no_work, range(2 * CORES)))
            start_seconds = time.perf_counter() - started
            ways = {
                f"{CORES} threads": thread_way(photos, encoder, CORES),
                f"{CORES} processes": process_way(photos, pool),
                "1 thread": thread_way(photos, encoder, 1),
                **lock_ways(photos, scratch),
            }
            figures = interleaved(ways, arguments.rounds)
        of_processes = np.ndarray(shape, np.float32, memory.buf).copy()
    finally:
        memory.close()
        memory.unlink()
    of_threads = np.stack([result.computed.vector for result in embed_each(photos, encoder)])
    base = figures[f"{CORES} threads"]["median"]
    rows = [
        [
            way,
            f"{f['median']:,.1f}",
            f"{f['min']:,.1f} .. {f['max']:,.1f}",
            f"{f['median'] / base:.2f}",
        ]
        for way, f in figures.items()
    ]
    ceiling = figures["no model, pictures of 16 x 16, 1 thread"]["median"]
    one = figures["1 thread"]["median"]
    equal = bool(np.array_equal(of_threads, of_processes))
    text = f"{len(photos)} photos of the {name}; the built-in model where none is named.\n\n"
    text += table(["way", "photos/s, median", "range", "ratio"], rows)
    text += (
        f"\n\nProcesses took {start_seconds:.1f} s to start, which is not counted. Vectors of "
        f"threads and processes are {'equal to the last bit' if equal else 'NOT equal'}. Python "
        f"itself does {ceiling:,.0f} photos/s: {one / ceiling:.1%} of a thread's time at most "
        f"holds the interpreter's lock, so that {0.5 * ceiling / one:,.0f} threads would hold it "
        "half of the time."
    )
    values = {
        "photos": len(photos),
        "photos_per_second": figures,
        "process_start_seconds": start_seconds,
        "equal": equal,
        "lock_share": one / ceiling,
    }
    finish("threads", "python3 make.py bench threads", values, text)


if __name__ == "__main__":
    main()
