"""Checking and scoring an answer at the challenge's scale: 14,000 rows of 1,000, 26,000 photos.

Each case is checked and scored in a process of its own, five times; the target is under 1 s for the
check and under 2 s for the score.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from measuring import finish, table

from shoplens.answers.answer import check_answer, read_answer
from shoplens.datasets.dataset import Dataset
from shoplens.evaluation.metric_names import per_query
from shoplens.evaluation.scores import evaluate, judge
from shoplens.records import Photo, PhotoSet

N_QUERIES, N_GALLERY, N_PRODUCTS, COLUMNS = 14_000, 26_000, 9_000, 1_000
ROUNDS = 5

Answer = npt.NDArray[np.generic]


def _repeated(rows: Answer) -> Answer:
    rows = rows.copy()
    rows[:, -1] = rows[:, 0]
    return rows


CASES: dict[str, tuple[bool, str, Callable[[Answer], Answer]]] = {
    "int32, ids are row numbers": (False, "strict", lambda rows: rows),
    "int32, ids anywhere in 32 bits": (True, "strict", lambda rows: rows),
    "int64": (True, "strict", lambda rows: rows.astype(np.int64)),
    "float64": (True, "strict", lambda rows: rows.astype(np.float64)),
    "a repeat in every row, lenient": (True, "lenient", _repeated),
}
"""By name: whether ids are spread over 32 bits, the policy, what is done to a right answer."""


def made_dataset(spread: bool) -> Dataset:
    """Make a test set without photos: three of a product in the gallery, its ids anywhere."""
    generator = np.random.default_rng(0)
    ids = generator.choice(2**31 - 1, N_GALLERY, replace=False) if spread else np.arange(N_GALLERY)

    def photos(numbers: npt.NDArray[np.integer], products: npt.NDArray[np.integer]) -> PhotoSet:
        path = Path("photo.jpg")
        return PhotoSet(
            [
                Photo(int(number), "photo.jpg", path, "seller", product_id=str(product))
                for number, product in zip(numbers, products, strict=True)
            ]
        )

    gallery = photos(ids, generator.integers(N_PRODUCTS, size=N_GALLERY))
    queries = photos(np.arange(N_QUERIES), generator.integers(N_PRODUCTS, size=N_QUERIES))
    return Dataset(Path(), gallery, queries)


def made_answer(dataset: Dataset) -> npt.NDArray[np.int32]:
    """Make rows of gallery ids in random order, without repeats."""
    generator = np.random.default_rng(1)
    shuffled = dataset.gallery.ids[generator.permutation(N_GALLERY)]
    starts = generator.integers(N_GALLERY, size=(N_QUERIES, 1))
    return shuffled[(starts + np.arange(COLUMNS)) % N_GALLERY]


def one(name: str) -> None:
    """Check and score one case a few times and print seconds and memory, for the parent to read."""
    spread, policy, change = CASES[name]
    dataset = made_dataset(spread)
    array = change(made_answer(dataset))
    queries, gallery = dataset.queries.ids, dataset.gallery.ids
    # Memory first, by itself: to trace it costs time.
    tracemalloc.start()
    check_answer(array, queries, gallery, policy).require()
    more = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    checking, scoring = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        ranking = check_answer(array, queries, gallery, policy).require()
        checking.append(time.perf_counter() - started)
        started = time.perf_counter()
        judged = judge(ranking, dataset)
        scored = judged.n_positive > 0
        per_query("map@1000", judged.relevant[scored], judged.n_positive[scored])
        scoring.append(time.perf_counter() - started)
        del ranking, judged
    print(
        json.dumps(
            {
                "case": name,
                "check_seconds": median(checking),
                "score_seconds": median(scoring),
                "answer_mb": array.nbytes / 1e6,
                "more_mb": more,
            }
        )
    )


def whole_seconds(dataset: Dataset, array: Answer) -> float:
    """Return the seconds of scoring with every default metric and its interval."""
    ranking = check_answer(array, dataset.queries.ids, dataset.gallery.ids).require()
    started = time.perf_counter()
    evaluate(ranking, dataset)
    return time.perf_counter() - started


def reading_seconds(array: Answer) -> dict[str, float]:
    """Return the seconds of reading the answer from each kind of file."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "a.npy"), array)
        np.savez_compressed(Path(folder, "a.npz"), ids=array)
        np.savetxt(Path(folder, "a.csv"), array, fmt="%d", delimiter=",")
        for suffix in ("npy", "npz", "csv"):
            started = time.perf_counter()
            read_answer(Path(folder, f"a.{suffix}"))
            seconds[suffix] = time.perf_counter() - started
    return seconds


def main() -> None:
    """Measure, print, write."""
    if len(sys.argv) == 2:
        one(sys.argv[1])
        return
    runs = [
        json.loads(
            subprocess.run(
                [sys.executable, __file__, name], capture_output=True, text=True, check=True
            ).stdout
        )
        for name in CASES
    ]
    dataset = made_dataset(spread=True)
    array = made_answer(dataset)
    whole = whole_seconds(dataset, array)
    reading = reading_seconds(array)
    text = table(
        ["answer", "check, s", "score, s", "answer, MB", "check takes more, MB"],
        [
            [
                run["case"], f"{run['check_seconds']:.2f}", f"{run['score_seconds']:.2f}",
                f"{run['answer_mb']:.0f}", f"{run['more_mb']:.0f}",
            ]
            for run in runs
        ],
    ) + (
        "\n\nReading it: "
        + ", ".join(f".{kind} {seconds:.2f} s" for kind, seconds in reading.items())
        + f". All 13 default metrics with their intervals: {whole:.1f} s."
    )  # fmt: skip
    values = {"runs": runs, "reading_seconds": reading, "evaluate_seconds": whole}
    finish("answers", "python3 make.py bench answers", values, text)


if __name__ == "__main__":
    main()
