"""Writing into a catalogue while it is searched: vectors a second, and what searches feel of it.

Made vectors, an index over those that are there before. One process writes; searches come from
another process or from a thread of the same one. Meanwhile a third process is told of photos that
were just put in and of products that were just deleted, and looks for them with its next search.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from catalog_search import write_rows
from commands import fresh_folder
from made_vectors import VIEWS, made_queries
from measuring import finish, table
from search_engines import Ours, Rows, rows_in

from shoplens.catalog import Catalog, Entry, open_catalog

K = 100
BATCHES = (1, 100, 1000)
PACES = (2_200, math.inf)
"""Vectors a second that are written at most: a shop's, and as many as it can."""
FASTEST = 15_000
"""Vectors a second that no measurement reaches."""
PAUSE = 0.01
"""Seconds between a search and the next: customers, not a load test."""
CHECK_SECONDS = 0.25
"""How often the next search is checked."""
TARGET_RATE, TARGET_RATIO = 2000, 3.0


class Searches:
    """Searches one after the other until it is told to stop."""

    def __init__(self, catalog: Catalog, queries: npt.NDArray[np.float32]) -> None:
        self._catalog = catalog
        self._queries = queries
        self._stop = threading.Event()
        self._seconds: list[float] = []

    def run(self) -> None:
        """Search."""
        number = 0
        while not self._stop.is_set():
            started = time.perf_counter()
            self._catalog.search(vector=self._queries[number % len(self._queries)], k=K)
            self._seconds.append(time.perf_counter() - started)
            number += 1
            time.sleep(PAUSE)

    def stop(self) -> list[float]:
        """Return how long each search took."""
        self._stop.set()
        return self._seconds


def search_process(folder: Path, queries: Path) -> None:
    """Search until standard input ends, then print how long each took."""
    with open_catalog(folder, read_only=True) as catalog:
        searches = Searches(catalog, np.load(queries))
        catalog.search(vector=np.load(queries)[0], k=K)
        thread = threading.Thread(target=searches.run)
        thread.start()
        print("ready", flush=True)
        sys.stdin.read()
        seconds = searches.stop()
        thread.join()
    print(json.dumps(seconds))


def check_process(folder: Path) -> None:
    """Answer questions: is this photo, or a photo of this product, found by the next search?"""
    with open_catalog(folder, read_only=True) as catalog:
        print("ready", flush=True)
        for line in sys.stdin:
            question = json.loads(line)
            vector = np.frombuffer(bytes.fromhex(question["vector"]), np.float32)
            found = catalog.search(vector=vector, k=K)
            if "photo_id" in question:
                there = found[0].photo_id == question["photo_id"]
            else:
                there = any(hit.product_id == question["product_id"] for hit in found)
            print(json.dumps(there), flush=True)


class Checker:
    """A process that is asked about the very next search."""

    def __init__(self, folder: Path) -> None:
        self._process = child("check", folder)
        self.n_checked = 0
        self.wrong: list[str] = []

    def expect(self, there: bool, vector: npt.NDArray[np.float32], **what: int | str) -> None:
        """Note whether the next search finds a photo, or a product."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"vector": vector.tobytes().hex(), **what}) + "\n")
        self._process.stdin.flush()
        self.n_checked += 1
        if json.loads(self._process.stdout.readline()) != there:
            self.wrong.append(f"{what} is {'not ' if there else ''}found")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class Writer:
    """Puts in, changes and deletes photos."""

    def __init__(self, catalog: Catalog, rows: Rows, checker: Checker) -> None:
        self._catalog = catalog
        self._checker = checker
        self._n = len(rows)
        self._dimension = rows.dimension
        self._next = len(rows)
        self._rng = np.random.default_rng(0)

    def vectors(self, seconds: float, pace: float = math.inf) -> npt.NDArray[np.float32]:
        """Make as many vectors as are written in some seconds at most."""
        n = int(seconds * min(pace, FASTEST)) + max(BATCHES)
        return made_queries(n, self._n, self._dimension, seed=self._next)

    def write(
        self,
        batch: int,
        seconds: float,
        vectors: npt.NDArray[np.float32],
        pace: float = math.inf,
    ) -> float:
        """Write for some seconds, half new photos and half that are there.

        Args:
            batch: photos that are written at a time.
            seconds: how long.
            vectors: of the photos. They are made before: a shop has them from a model.
            pace: photos a second that it does not exceed.

        Returns:
            Photos a second: those written, by the time that writing and pauses took.
        """
        n = 0
        spent = 0.0
        checked = started = time.perf_counter()
        while time.perf_counter() - started < seconds and n + batch <= len(vectors):
            entries = self._entries(vectors[n : n + batch])
            before = time.perf_counter()
            self._catalog.upsert(entries)
            n += batch
            ahead = n / pace - (time.perf_counter() - started)
            time.sleep(max(0.0, ahead))
            spent += time.perf_counter() - before
            if time.perf_counter() - checked > CHECK_SECONDS:
                self._check(entries[-1])
                checked = time.perf_counter()
        return n / spent

    def _check(self, entry: Entry) -> None:
        self._checker.expect(True, entry.vector, photo_id=int(entry.photo_id))
        assert entry.product_id is not None
        self._catalog.delete(product_ids=[entry.product_id])
        self._checker.expect(False, entry.vector, product_id=entry.product_id)

    def _entries(self, vectors: npt.NDArray[np.float32]) -> list[Entry]:
        batch = len(vectors)
        n_new = (batch + 1) // 2 if batch > 1 else int(self._next % 2)
        ids = [*range(self._next, self._next + n_new)]
        ids += self._rng.choice(self._n, batch - n_new, replace=False).tolist()
        self._next += max(1, n_new)
        return [
            Entry(
                photo_id,
                vector,
                f"new {photo_id // VIEWS}",
                path=f"photos/{photo_id}.jpg",
                attributes={"shop": photo_id % 100},
            )
            for photo_id, vector in zip(ids, vectors, strict=True)
        ]


def child(what: str, folder: Path, *words: Path) -> subprocess.Popen[str]:
    """Start this file as a process, and wait until it is ready."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", what, str(folder), *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise SystemExit(f"{what} failed")
    return process


@contextmanager
def searches_from_process(folder: Path, queries: Path) -> Iterator[Callable[[], list[float]]]:
    """Search from another process; the function ends it and returns how long each took."""
    process = child("search", folder, queries)
    yield lambda: json.loads(process.communicate()[0])


@contextmanager
def searches_from_thread(
    catalog: Catalog, queries: npt.NDArray[np.float32]
) -> Iterator[Callable[[], list[float]]]:
    """Search from a thread of this process."""
    searches = Searches(catalog, queries)
    thread = threading.Thread(target=searches.run)
    thread.start()
    yield searches.stop
    thread.join()


def milliseconds(seconds: list[float]) -> dict[str, float]:
    """Return p50 and p99."""
    p50, p99 = (1e3 * np.quantile(seconds, [0.5, 0.99])).tolist()
    return {"p50_ms": p50, "p99_ms": p99, "n": len(seconds)}


def main() -> None:
    """Measure, print, write."""
    if sys.argv[1:2] == ["--child"]:
        what, *words = sys.argv[2:]
        {"search": search_process, "check": check_process}[what](*map(Path, words))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    arguments = parser.parse_args()
    n, d, seconds = arguments.photos, arguments.dimension, arguments.seconds
    runs: list[dict[str, Any]] = []
    with fresh_folder() as scratch:
        write_rows(n, d, scratch)
        rows, queries = rows_in(scratch), np.load(scratch / "queries.npy")
        Ours(scratch, rows).build()
        folder = scratch / "catalogue"
        checker = Checker(folder)
        with open_catalog(folder) as catalog:
            catalog.search(vector=queries[0], k=K)
            writer = Writer(catalog, rows, checker)
            for where in ("process", "thread"):

                def searching() -> Any:
                    if where == "process":  # noqa: B023  Called at once.
                        return searches_from_process(folder, scratch / "queries.npy")
                    return searches_from_thread(catalog, queries)

                for batch, pace in itertools.product(BATCHES, PACES):
                    # Just before: what was written since the index was built is compared one by
                    # one, so searches take longer from one measurement to the next.
                    with searching() as stop:
                        time.sleep(seconds)
                        idle = milliseconds(stop())
                    vectors = writer.vectors(seconds, pace)
                    with searching() as stop:
                        rate = writer.write(batch, seconds, vectors, pace)
                        busy = milliseconds(stop())
                    runs.append(
                        {
                            "batch": batch,
                            "searches": where,
                            "pace": None if pace == math.inf else pace,
                            "per_second": rate,
                            "idle": idle,
                            "busy": busy,
                            "ratio": busy["p99_ms"] / idle["p99_ms"],
                        }
                    )
                    print(runs[-1], file=sys.stderr, flush=True)
            for batch in BATCHES:
                runs.append({"batch": batch, "searches": "none", "pace": None})
                vectors = writer.vectors(seconds)
                runs[-1]["per_second"] = writer.write(batch, seconds, vectors)
        checker.close()
    cells = []
    for run in runs:
        pace = "no limit" if run["pace"] is None else f"{run['pace']:,}"
        cells.append([run["searches"], f"{run['batch']:,}", pace, f"{run['per_second']:,.0f}"])
        for when in ("idle", "busy"):
            if when in run:
                cells[-1].append(f"{run[when]['p50_ms']:.1f} / {run[when]['p99_ms']:.1f}")
        cells[-1] += [f"{run['ratio']:.1f}"] if "ratio" in run else ["", "", ""]
    text = (
        f"A catalogue of {n:,} x {d} with an index; k = {K}; a search every {PAUSE * 1e3:.0f} ms. "
        f"Targets: {TARGET_RATE:,} vectors/s, p99 at most {TARGET_RATIO:.0f} times that without "
        "writing.\n\n"
    )
    text += table(
        ["searches from", "photos in a batch", "at most, vectors/s", "written, vectors/s",
         "p50 / p99 without writing, ms", "p50 / p99 while writing, ms", "p99, ratio"], cells,
    )  # fmt: skip
    text += (
        f"\n\nAll along, another process looked for {checker.n_checked:,} photos just put in or "
        f"deleted with its next search; {len(checker.wrong) or 'none'} of the answers were wrong."
    )
    values = {
        "n": n,
        "d": d,
        "runs": runs,
        "n_checked": checker.n_checked,
        "wrong": checker.wrong,
    }
    finish("catalog_writes", "python3 make.py bench catalog_writes", values, text)


if __name__ == "__main__":
    main()
