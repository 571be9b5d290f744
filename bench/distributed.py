"""What Ray costs: photos on this machine's cores with and without it, in turn, and its overheads.

    .venv-ray/bin/python bench/distributed.py      (python3 make.py ray makes the environment)

Core time is that of all processes (Ray's own too), and says the same on a busy machine; photos/s
do not.

The figures of docs/distributed.md are computed from these.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

from measuring import REAL, SAMPLE, finish, interleaved, table

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import numpy as np
import ray

from shoplens import PhotoSet, read_gallery
from shoplens.cores import usable_cores
from shoplens.distributed.on_ray import embed_on_ray
from shoplens.distributed.packing import pack_model
from shoplens.distributed.partitions import PARTITION_ROWS as ROWS
from shoplens.distributed.partitions import cut
from shoplens.embedding import embed_each
from shoplens.errors import PhotoError
from shoplens.records import Photo
from shoplens.vectors.part_folder import PartFolder
from shoplens.vectors.writing import VectorFileInfo, VectorRow, writing_vectors

CORES = usable_cores()
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
N_PHOTOS = 120
PARTITION_ROWS = 15
"""Small, so that cores end together; real partitions are larger and their overhead smaller."""
N_EMPTY = 200
"""Partitions without work, to see what one costs."""


def core_seconds() -> float:
    """Return the core time so far of this process and all that descend from it."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # It has ended meanwhile.
            continue
        process = int(stat.parent.name)
        parents[process] = int(fields[1])
        ticks[process] = sum(map(int, fields[11:15]))
    total = 0
    for process, spent in ticks.items():
        ancestor = process
        while ancestor in parents and ancestor != os.getpid():
            ancestor = parents[ancestor]
        total += spent if ancestor == os.getpid() else 0
    return total / os.sysconf("SC_CLK_TCK")


def bytes_a_photo(folder: Path, dimension: int) -> float:
    """Return what a photo takes in a part of the usual length."""
    rng = np.random.default_rng(0)
    file = folder / "usual.parquet"
    with writing_vectors(file, VectorFileInfo(ROWS, dimension, "x", "y")) as writer:
        for i in range(ROWS):
            vector = rng.standard_normal(dimension, np.float32)
            name = f"gallery/{i:08}.jpg"
            photo = Photo(i, name, Path(name), "seller")
            writer.add(VectorRow(photo, vector, rng.bytes(32).hex(), ""))
    return file.stat().st_size / ROWS


def main() -> None:
    """Measure, print and write the results."""
    source = REAL if REAL.is_dir() else SAMPLE
    photos = read_gallery(source)[:N_PHOTOS]
    model, encoder = pack_model()
    recipe = encoder.recipe
    counter = itertools.count()
    with tempfile.TemporaryDirectory() as scratch:

        def local() -> float:
            """One process, a thread a core."""
            info = VectorFileInfo(len(photos), encoder.dimension, encoder.name, encoder.fingerprint)
            started = time.perf_counter()
            file = Path(scratch, f"{next(counter)}.parquet")
            with (
                writing_vectors(file, info) as writer,
                closing(embed_each(photos, encoder, workers=CORES)) as results,
            ):
                for photo, result in zip(photos, results, strict=True):
                    computed = result.computed
                    writer.add(VectorRow(photo, computed.vector, result.sha256, computed.reason))
            return len(photos) / (time.perf_counter() - started)

        def on_ray(some: PhotoSet, n_rows: int) -> float:
            """Ray's tasks, one a core."""
            folder = PartFolder(Path(scratch, str(next(counter))))
            started = time.perf_counter()
            embed_on_ray(cut(some, n_rows), model, recipe.dimension, folder, name=recipe.name)
            return time.perf_counter() - started

        started = time.perf_counter()
        ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False)
        start_seconds = time.perf_counter() - started
        cold_seconds = on_ray(photos[:1], 1)
        spent: dict[str, list[float]] = {"local": [], "ray": []}

        def metered(name: str, way: Callable[[], float]) -> Callable[[], float]:
            def run() -> float:
                before = core_seconds()
                rate = way()
                spent[name].append((core_seconds() - before) / len(photos))
                return rate

            return run

        ways = {
            "local": metered("local", local),
            "ray": metered("ray", lambda: len(photos) / on_ray(photos, PARTITION_ROWS)),
        }
        figures = interleaved(ways, ROUNDS)
        gone = PhotoError("missing", "not there")
        empty = PhotoSet([Photo(i, "x", Path("x"), "seller", problem=gone) for i in range(N_EMPTY)])
        one, many = on_ray(empty[:1], 1), on_ray(empty, 1)
        ray.shutdown()
        size = bytes_a_photo(Path(scratch), recipe.dimension)
    # The first round warms up.
    cores = {name: 1000 * median(values[1:]) for name, values in spent.items()}
    ratio = cores["ray"] / cores["local"]
    overhead = (many - one) / (N_EMPTY - 1)
    rows = [
        [name, f"{f['median']:.1f}", f"{f['min']:.1f} .. {f['max']:.1f}", f"{cores[name]:.1f}"]
        for name, f in figures.items()
    ]
    more = {
        "core time, ray / local": f"{ratio:.2f}",
        "partitions without work, a second": f"{1 / overhead:.0f}",
        "a dataset of one partition without work, s": f"{one:.1f}",
        "starting Ray, s": f"{start_seconds:.1f}",
        "first partition (processes and model start), s": f"{cold_seconds:.1f}",
        f"bytes a photo in Parquet, {recipe.dimension} dimensions": f"{size:.0f}",
    }
    text = table(["", "photos/s, median", "range", "core ms a photo"], rows)
    text += "\n\n" + table(["", ""], list(more.items()))
    finish(
        "distributed",
        ".venv-ray/bin/python bench/distributed.py",
        {
            "photos_per_second": figures,
            "core_milliseconds_a_photo": cores,
            "ratio": ratio,
            "partition_seconds": overhead,
            "start_seconds": start_seconds,
            "cold_seconds": cold_seconds,
            "bytes_a_photo": size,
            "load_after": os.getloadavg()[0],
            "n_photos": len(photos),
            "partition_rows": PARTITION_ROWS,
            "rounds": ROUNDS,
        },
        text,
    )


if __name__ == "__main__":
    main()
