"""What a catalogue of 1 M to 1 B photos needs: memory, disk, hours and money, by engine and index.

    python3 make.py bench scale

Measured: the scan of all vectors, here, up to 10 M; everything of `catalog_search.py` at 1 M.
The rest is computed from these by the rules below, for vectors of the built-in model.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from made_vectors import made_vectors
from measuring import RESULTS, finish, table

from shoplens.catalog.embedded.scan import Block, candidates
from shoplens.models import load_encoder

SIZES = (10**6, 10**7, 10**8, 10**9)
SCANNED = (300_000, 1_000_000, 10_000_000)
SCANNED_DIMENSION = 256
K = 100

QUERIES_A_SECOND = 100
"""What the machines must answer."""
USED = 0.5
"""The share of the cores that queries may take: the rest is for peaks, writes and rebuilding."""
CORES_OF_A_MACHINE, MEMORY_OF_A_MACHINE = 32, 256
"""Machines that are rented: at most so many cores and GB."""
SEGMENT_BYTES = 10**9
"""Vectors of a segment of Milvus, in float32. A query searches every segment."""
DOLLARS = {"core": 15.0, "GB of memory": 2.5, "GB of SSD": 0.1}
"""Assumed prices of a month; ask your provider."""


@dataclass(frozen=True)
class Rates:
    """What was measured."""

    n: int
    d: int
    scan_ns: float
    """Of a scan, for a photo and a dimension, on so many cores."""
    cores: int
    search_ms: float
    """Of a search by an index over n photos, entries included."""
    put_in_us: float
    """Of putting in a photo."""
    index_core_us: float
    """Core time of indexing a photo, at n."""
    disk_bytes: float
    """Of a photo, all files."""
    links: int
    """Bytes of the links of a photo in an index."""


@dataclass(frozen=True)
class Need:
    """What a kind of catalogue needs for n photos."""

    memory_gb: float
    disk_gb: float
    core_ms: float
    """Of a query, on all cores together."""
    least_ms: float
    """Of a query, with as many cores as it can use."""
    build_core_hours: float


@dataclass(frozen=True)
class Kind:
    """An engine with an index."""

    name: str
    need: Callable[[int, int, Rates], Need]
    on_one_machine: bool
    """Whether all of it must be on one."""


def _graph_ms(n: int, d: int, rates: Rates) -> float:
    """Return how long a search in a graph over n vectors takes."""
    return rates.search_ms * _deeper(n, rates) * d / rates.d


def _indexing_us(n: int, d: int, rates: Rates) -> float:
    """Return the core time of indexing one of n vectors."""
    return rates.index_core_us * _deeper(n, rates) * d / rates.d


def _deeper(n: int, rates: Rates) -> float:
    return math.log2(n) / math.log2(rates.n)


def _store_bytes(d: int, rates: Rates) -> float:
    """Return the bytes of a photo in the store and of its row in the matrix of a segment."""
    measured = rates.disk_bytes - rates.links - 2 * rates.d
    return measured + (d - rates.d) * (4 + 2)


def _embedded_exact(n: int, d: int, rates: Rates) -> Need:
    milliseconds = n * d * rates.scan_ns / 1e6
    return Need(
        memory_gb=n * 2 * d / 1e9,
        disk_gb=n * _store_bytes(d, rates) / 1e9,
        core_ms=milliseconds * rates.cores,
        least_ms=milliseconds,
        build_core_hours=n * rates.put_in_us / 3.6e9,
    )


def _embedded_index(n: int, d: int, rates: Rates) -> Need:
    index_bytes = 2 * d + rates.links
    return Need(
        memory_gb=n * (2 * d + index_bytes) / 1e9,
        disk_gb=n * (_store_bytes(d, rates) + index_bytes) / 1e9,
        core_ms=_graph_ms(n, d, rates),
        least_ms=_graph_ms(n, d, rates),
        build_core_hours=n * (rates.put_in_us + _indexing_us(n, d, rates)) / 3.6e9,
    )


def _milvus(
    in_memory: Callable[[int, Rates], float], cost: float, extra_ms: float
) -> Callable[[int, int, Rates], Need]:
    """Return the need of Milvus.

    Args:
        in_memory: bytes of a vector there.
        cost: of a query, relative to one of a graph.
        extra_ms: of the network, and of disks.
    """

    def need(n: int, d: int, rates: Rates) -> Need:
        n_segments = math.ceil(n * 4 * d / SEGMENT_BYTES)
        in_segment = SEGMENT_BYTES // (4 * d)
        one = cost * _graph_ms(in_segment, d, rates)
        return Need(
            memory_gb=1.2 * n * in_memory(d, rates) / 1e9,
            # What was put in, and the index, in object storage.
            disk_gb=n * (8 * d + 200 + rates.links) / 1e9,
            core_ms=one * n_segments,
            least_ms=one + extra_ms,
            build_core_hours=n * _indexing_us(in_segment, d, rates) / 3.6e9,
        )

    return need


KINDS = (
    Kind("embedded, exact", _embedded_exact, True),
    Kind("embedded, index", _embedded_index, True),
    Kind("Milvus, HNSW", _milvus(lambda d, rates: 4 * d + rates.links, 1, 8), False),
    Kind("Milvus, HNSW_SQ8", _milvus(lambda d, rates: d + rates.links, 1, 8), False),
    Kind("Milvus, IVF_RABITQ, refined by SQ8", _milvus(lambda d, _: d / 8 + d + 16, 2, 8), False),
    Kind("Milvus, DiskANN", _milvus(lambda d, _: d / 4 + 16, 1.5, 15), False),
)


def scan_rates() -> dict[str, float]:
    """Measure the scan of all of n float16 vectors: nanoseconds for a photo and a dimension."""
    d = SCANNED_DIMENSION
    made = made_vectors(min(SCANNED), d).astype(np.float16)
    rates = {}
    for n in SCANNED:
        # What they are does not change how long it takes.
        matrix = np.resize(made, (n, d))
        block = Block(matrix, None, 3e-4)
        query = matrix[0].astype(np.float32)
        query /= np.linalg.norm(query)
        seconds = []
        for _ in range(6):
            started = time.perf_counter()
            candidates(query, [block], K)
            seconds.append(time.perf_counter() - started)
        rates[f"{n}"] = median(seconds[1:]) / (n * d) * 1e9
        del matrix, block
    return rates


def measured(scan: dict[str, float]) -> Rates:
    """Return the rates of a catalogue of a million photos, and of the scan."""
    file = RESULTS / "catalog_search_1000k_x_256.json"
    result = json.loads(file.read_text(encoding="utf-8"))
    ours, n, d = result["engines"]["shoplens"], result["n"], result["d"]
    seconds, cores = ours["build"]["seconds"], result["machine"]["cores"]
    return Rates(
        n=n,
        d=d,
        scan_ns=scan[f"{max(SCANNED)}"],
        cores=cores,
        search_ms=ours["search"]["all"]["p50_ms"],
        put_in_us=seconds["put in"] / n * 1e6,
        index_core_us=seconds["index"] * cores / n * 1e6,
        disk_bytes=ours["build"]["disk_mb"] * 1e6 / n,
        links=_LINK_BYTES,
    )


_LINK_BYTES = 4 * 2 * 32 + 16
"""HNSW with 32 links: 64 neighbours of four bytes in the lowest layer, and a little above."""


def rented(need: Need) -> tuple[int, float, int, float]:
    """Return how many cores, GB of memory and machines are needed, and dollars a month."""
    cores = max(2, math.ceil(QUERIES_A_SECOND * need.core_ms / 1e3 / USED))
    # A tenth and two GB for the system and the processes.
    memory = 1.1 * need.memory_gb + 2
    n_machines = max(math.ceil(cores / CORES_OF_A_MACHINE), math.ceil(memory / MEMORY_OF_A_MACHINE))
    dollars = (
        cores * DOLLARS["core"]
        + memory * DOLLARS["GB of memory"]
        + 2 * need.disk_gb * DOLLARS["GB of SSD"]
    )
    return cores, memory, n_machines, dollars


def amount(value: float) -> str:
    """Write a number with two or three digits."""
    if value >= 100:
        return f"{round(value, 1 - int(math.log10(value))):,.0f}"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def main() -> None:
    """Measure, compute, print, write."""
    d = load_encoder().dimension
    scan = scan_rates()
    rates = measured(scan)
    rows, needs = [], []
    for n in SIZES:
        for kind in KINDS:
            need = kind.need(n, d, rates)
            cores, memory, n_machines, dollars = rented(need)
            query_ms = max(need.least_ms, need.core_ms / cores)
            needs.append({"n": n, "kind": kind.name, **vars(need), "query_ms": query_ms,
                          "cores": cores, "machines": n_machines, "dollars": dollars})  # fmt: skip
            row = [
                f"{n // 10**6:,} M" if n < 10**9 else "1 B",
                kind.name,
                amount(need.memory_gb),
                amount(need.disk_gb),
                amount(need.build_core_hours),
                amount(query_ms),
            ]
            # Machines that each hold all of it share the queries, but not the memory.
            if kind.on_one_machine and (memory > MEMORY_OF_A_MACHINE or cores > CORES_OF_A_MACHINE):
                row += ["too large for one machine", ""]
            else:
                row += [f"{cores:,} on {n_machines:,}", amount(dollars)]
            rows.append(row)
    text = table(
        ["photos", "engine, index", "memory GB", "disk GB", "building, core hours", "query ms",
         f"cores for {QUERIES_A_SECOND} queries/s, on machines", "dollars a month"], rows,
    )  # fmt: skip
    values: dict[str, Any] = {
        "dimension": d,
        "scan_ns": scan,
        "rates": vars(rates),
        "needs": needs,
        "assumed": {
            "queries_a_second": QUERIES_A_SECOND,
            "used": USED,
            "dollars": DOLLARS,
            "machine": [CORES_OF_A_MACHINE, MEMORY_OF_A_MACHINE],
            "segment_bytes": SEGMENT_BYTES,
        },
    }
    finish("scale", "python3 make.py bench scale", values, text)


if __name__ == "__main__":
    main()
