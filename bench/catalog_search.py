"""Searching a catalogue: FAISS, usearch, LanceDB, Qdrant Edge and ours, side by side.

    python3 make.py engines 1000000 256      (makes the environment with all of them)

Made vectors (`made_vectors.py`). Every engine builds in one process and searches in another, so
that its memory is its own. The exact answers are those of NumPy.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from commands import fresh_folder
from made_vectors import made_queries, made_vectors
from measuring import finish, table
from search_engines import (
    ENGINES,
    FIRST_SHOPS,
    THREADS,
    Filtered,
    Ours,
    Rows,
    SearchEngine,
    rows_in,
)

K = 100
K_PRODUCTS = 20
RECALL = 0.98
"""What the other engines are set to reach, on other queries than those measured."""
N_TUNING = 400
N_QUERIES: dict[str, int] = {"all": 1000, "1 %": 300, "50 %": 300, "products": 300}
LARGEST_EXACT = 100_000
"""Rows up to which a scan of all of them is measured many times."""


def status_mb() -> dict[str, float]:
    """Return this process's memory in 10^6 bytes: now, its largest, and without mapped files."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    values = dict(line.split(":", 1) for line in lines)
    names = {"rss": "VmRSS", "peak": "VmHWM", "own": "RssAnon"}
    return {name: int(values[line].split()[0]) * 1024 / 1e6 for name, line in names.items()}


def size_mb(folder: Path) -> float:
    """Return the size of all files of a folder in 10^6 bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def answers(rows: Rows, queries: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.int64]]:
    """Return the exact answers by NumPy: the best rows under each filter, the best products."""
    shares: list[Filtered] = ["all", "1 %", "50 %"]
    n = len(queries)
    found = {share: (np.empty((n, 0), np.int64), np.empty((n, 0), np.float32)) for share in shares}
    products = np.full((N_TUNING + N_QUERIES["products"], rows.products.max() + 1), -2, np.float32)
    for start, vectors in rows.batches():
        scores = queries @ vectors.T
        numbers = np.arange(start, start + len(vectors))
        for share in shares:
            passing = np.flatnonzero(rows.shops[numbers] < FIRST_SHOPS[share])
            ids, best = found[share]
            ids = np.hstack([ids, np.broadcast_to(numbers[passing], (n, len(passing)))])
            best = np.hstack([best, scores[:, passing]])
            if best.shape[1] > K:
                kept = np.argpartition(-best, K - 1, axis=1)[:, :K]
                ids, best = (np.take_along_axis(a, kept, axis=1) for a in (ids, best))
            found[share] = (ids, best)
        shown = rows.products[numbers]
        order = np.argsort(shown, kind="stable")
        starts = np.flatnonzero(np.diff(shown[order], prepend=-1))
        highest = np.maximum.reduceat(scores[: len(products)][:, order], starts, axis=1)
        there = shown[order][starts]
        products[:, there] = np.maximum(products[:, there], highest)
    return {
        **{share: ids for share, (ids, _) in found.items()},
        "products": np.argpartition(-products, K_PRODUCTS, axis=1)[:, :K_PRODUCTS],
    }


def timed(
    search: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.int64]],
    queries: npt.NDArray[np.float32],
    truth: npt.NDArray[np.int64],
) -> dict[str, float]:
    """Search for one query after the other."""
    for query in queries[:10]:
        search(query)
    seconds, recalls = [], []
    for query, expected in zip(queries, truth, strict=True):
        started = time.perf_counter()
        found = search(query)
        seconds.append(time.perf_counter() - started)
        recalls.append(len(np.intersect1d(found, expected)) / len(expected))
    p50, p99 = (1e3 * np.quantile(seconds, [0.5, 0.99])).tolist()
    return {"p50_ms": p50, "p99_ms": p99, "recall": float(np.mean(recalls))}


def tuned(engine: SearchEngine, queries: npt.NDArray[np.float32], truth: Any) -> None:
    """Set the least effort that reaches the recall."""
    for effort in engine.efforts:
        engine.effort = effort
        found = [engine.search(query, K, "all") for query in queries]
        hits = [len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]
        if np.mean(hits) >= RECALL * K:
            return


def queries_a_second(engine: SearchEngine, queries: npt.NDArray[np.float32]) -> float:
    """Return the rate at which two threads are answered."""
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda query: engine.search(query, K, "all"), queries))
    return len(queries) / (time.perf_counter() - started)


def built(name: str, folder: Path, rows: Rows) -> dict[str, Any]:
    """Build an engine's index in this process."""
    before = status_mb()["rss"]
    seconds = ENGINES[name](folder, rows).build()
    return {
        "seconds": seconds,
        "peak_mb": status_mb()["peak"],
        "before_mb": before,
        "disk_mb": size_mb(folder),
    }


def searched(
    name: str,
    folder: Path,
    rows: Rows,
    queries: npt.NDArray[np.float32],
    truth: dict[str, npt.NDArray[np.int64]],
) -> dict[str, Any]:
    """Open and search in this process."""
    engine = ENGINES[name](folder, rows)
    started = time.perf_counter()
    engine.open()
    values: dict[str, Any] = {
        "open_seconds": time.perf_counter() - started,
        "opened_mb": status_mb(),
    }
    tuned(engine, queries[:N_TUNING], truth["all"][:N_TUNING])
    values["effort"] = engine.effort
    queries, truth = queries[N_TUNING:], {what: ids[N_TUNING:] for what, ids in truth.items()}
    shares: list[Filtered] = ["all", "1 %", "50 %"] if engine.filters else ["all"]
    for share in shares:
        n = N_QUERIES[share]
        values[share] = timed(
            lambda query, share=share: engine.search(query, K, share),  # type: ignore[misc]
            queries[:n],
            truth[share][:n],
        )
    values["two_threads_per_second"] = queries_a_second(engine, queries)
    if isinstance(engine, Ours):
        values |= only_ours(engine, queries, truth)
    values["searched_mb"] = status_mb()
    return values


def only_ours(
    engine: Ours, queries: npt.NDArray[np.float32], truth: dict[str, npt.NDArray[np.int64]]
) -> dict[str, Any]:
    """Measure what the others do not have: products, exact search, and where the time goes."""
    from shoplens.catalog.embedded.reading import Reading  # noqa: PLC0415

    values: dict[str, Any] = {}
    n_products = N_QUERIES["products"]
    values["products"] = timed(
        lambda query: engine.products(query, K_PRODUCTS),
        queries[:n_products],
        truth["products"][:n_products],
    )
    n_exact = N_QUERIES["all"] if len(engine.rows) <= LARGEST_EXACT else 50
    engine.exact = True
    values["exact"] = timed(
        lambda query: engine.search(query, K, "all"), queries[:n_exact], truth["all"][:n_exact]
    )
    engine.exact = False
    # Of a search: how long the entries take that it returns.
    spent = []
    read = Reading.rows_at

    def timed_read(*arguments: Any) -> Any:
        started = time.perf_counter()
        found = read(*arguments)
        spent.append(time.perf_counter() - started)
        return found

    Reading.rows_at = timed_read  # type: ignore[method-assign]
    values["all, timed"] = timed(
        lambda query: engine.search(query, K, "all"), queries[:300], truth["all"][:300]
    )
    Reading.rows_at = read  # type: ignore[method-assign]
    values["entries_ms"] = 1e3 * float(np.median(spent))
    # Where the folder was says nothing to others.
    values["stats"] = {**engine.catalog.stats().to_json(), "uri": None}
    values["read_matrix_ms"] = 1e3 * reading_seconds(len(engine.rows), engine.rows.dimension)
    return values


def reading_seconds(n: int, d: int) -> float:
    """Return how long two threads take to read (n, d) float16 from memory once."""
    words = np.arange(n * d // 4, dtype=np.uint64)
    parts = np.array_split(words, 64)
    with ThreadPoolExecutor(THREADS) as pool:
        seconds = []
        for _ in range(15):
            started = time.perf_counter()
            list(pool.map(np.max, parts))
            seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def stage(arguments: argparse.Namespace) -> None:
    """Do one stage of one engine, and print its figures."""
    rows, folder = rows_in(arguments.folder), arguments.folder / arguments.engine
    if arguments.stage == "build":
        folder.mkdir()
        values = built(arguments.engine, folder, rows)
    else:
        queries = np.load(arguments.folder / "queries.npy")
        truth = dict(np.load(arguments.folder / "truth.npz"))
        values = searched(arguments.engine, folder, rows, queries, truth)
    print(json.dumps(values))


@contextmanager
def kept(folder: Path | None) -> Iterator[Path]:
    """Give a folder that stays, or one that is gone afterwards."""
    if folder is None:
        with fresh_folder() as scratch:
            yield scratch
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def write_rows(n: int, d: int, folder: Path) -> None:
    """Write made rows, queries and the exact answers."""
    made_vectors(n, d).tofile(folder / "vectors.raw")
    (folder / "about.json").write_text(json.dumps({"n": n, "d": d}))
    queries = made_queries(N_TUNING + N_QUERIES["all"], n, d)
    np.save(folder / "queries.npy", queries)
    rows = rows_in(folder)
    np.savez(folder / "truth.npz", **answers(rows, queries))


def measured(name: str, folder: Path) -> dict[str, Any]:
    """Build and search in processes of their own; what is built already is searched only."""
    values: dict[str, Any] = {}
    built_before = folder / f"{name} build.json"
    for what in ("build", "search"):
        if what == "build" and built_before.is_file():
            values[what] = json.loads(built_before.read_text())
            continue
        words = [sys.executable, __file__, "--stage", what, "--engine", name]
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
        done = subprocess.run(
            [*words, "--folder", str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{name}: {what} failed")
        values[what] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name}: {what} {values[what]}", file=sys.stderr, flush=True)
        if what == "build":
            built_before.write_text(json.dumps(values[what]))
    return values


def latency(values: dict[str, Any], what: str) -> list[str]:
    """Return the cells of a kind of search."""
    if what not in values:
        return ["", ""]
    of = values[what]
    return [f"{of['p50_ms']:.1f} / {of['p99_ms']:.1f}", f"{of['recall']:.3f}"]


def shown(n: int, d: int, engines: dict[str, Any]) -> str:
    """Return the results as tables."""
    rows, sizes = [], []
    for name, of in engines.items():
        build, search = of["build"], of["search"]
        rows.append(
            [
                name,
                *latency(search, "all"),
                f"{search['two_threads_per_second']:,.0f}",
                *latency(search, "1 %"),
                *latency(search, "50 %"),
            ]
        )
        sizes.append(
            [
                name,
                f"{sum(build['seconds'].values()):,.0f}",
                ", ".join(f"{what} {s:,.1f}" for what, s in build["seconds"].items()),
                f"{build['peak_mb']:,.0f}",
                f"{search['opened_mb']['rss']:,.0f}",
                f"{search['searched_mb']['rss']:,.0f} ({search['searched_mb']['own']:,.0f})",
                f"{build['disk_mb']:,.0f}",
            ]
        )
    text = (
        f"{n:,} x {d}, k = {K}, one query after the other. "
        f"p50 / p99 in ms. The other engines are set to recall@{K} >= {RECALL}.\n\n"
    )
    text += table(
        ["engine", "search", "recall", "two threads, queries/s", "1 % filter", "recall",
         "50 % filter", "recall"], rows,
    ) + "\n\n"  # fmt: skip
    text += table(
        ["engine", "build, s", "of it", "peak MB", "MB after opening",
         "after all searches (without mapped files)", "disk MB"], sizes,
    )  # fmt: skip
    if "shoplens" in engines:
        of = engines["shoplens"]["search"]
        exact = of["exact"]
        text += (
            f"\n\nshoplens returns entries with all attributes, read from the store and compared "
            f"with their checksums: {of['entries_ms']:.1f} ms of a search. Exact search takes "
            f"{exact['p50_ms']:.1f} / {exact['p99_ms']:.1f} ms (recall {exact['recall']:.3f}); "
            f"reading {n:,} x {d} float16 once takes {of['read_matrix_ms']:.1f} ms."
        )
        text += (
            f" {K_PRODUCTS} products with all their photos take "
            f"{' ms, recall '.join(latency(of, 'products'))}."
        )
    return text


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("n", type=int, nargs="?", default=100_000)
    parser.add_argument("d", type=int, nargs="?", default=256)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--keep", type=Path, help="a folder to build in; a second run searches it")
    parser.add_argument("--stage", choices=("build", "search"), help=argparse.SUPPRESS)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        stage(arguments)
        return
    n, d = arguments.n, arguments.d
    with kept(arguments.keep) as scratch:
        if not (scratch / "truth.npz").is_file():
            write_rows(n, d, scratch)
        if json.loads((scratch / "about.json").read_text()) != {"n": n, "d": d}:
            raise SystemExit(f"{scratch} holds other vectors than {n} x {d}")
        found = {name: measured(name, scratch) for name in arguments.engines}
    engines = {name: found[name] for name in ENGINES if name in found}
    values = {"n": n, "d": d, "k": K, "engines": engines}
    name = f"catalog_search_{n // 1000}k_x_{d}"
    command = f"python3 make.py engines {n} {d}"
    if len(engines) < len(ENGINES):
        name += "_of_" + "_".join(engine.lower().replace(" ", "_") for engine in engines)
    if arguments.engines != list(ENGINES):
        command += " --engines " + " ".join(f"'{e}'" if " " in e else e for e in arguments.engines)
    finish(name, command, values, shown(n, d, engines))


if __name__ == "__main__":
    main()
