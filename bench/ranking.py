"""Exact ranking and scoring at challenge scale: 14,000 queries, 40,000 gallery photos.

Vectors are random; ranking's time does not depend on what they hold.
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
from measuring import finish, peak_mb, table

from shoplens.evaluation.bootstrap import estimate
from shoplens.evaluation.formulas import average_precision
from shoplens.ranking import rank
from shoplens.vectors.embeddings import Embeddings

SHAPES = ((14_000, 40_000, 512), (14_000, 40_000, 1280), (921, 495, 1280))


def unit_vectors(n: int, d: int, seed: int) -> Embeddings:
    """Make random unit vectors."""
    vectors = np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(np.arange(n, dtype=np.int32), vectors)


def one(q: int, n: int, d: int) -> None:
    """Rank once and print seconds and peak memory, for the parent to read."""
    queries, gallery = unit_vectors(q, d, 0), unit_vectors(n, d, 1)
    before = peak_mb()
    started = time.perf_counter()
    rank(queries, gallery)
    print(time.perf_counter() - started, peak_mb(), before)


def product_seconds(q: int, n: int, d: int) -> float:
    """Return how long the float32 matrix product alone takes, in blocks, nothing selected."""
    queries, gallery = unit_vectors(q, d, 0).vectors, unit_vectors(n, d, 1).vectors
    started = time.perf_counter()
    for start in range(0, q, 1000):
        queries[start : start + 1000] @ gallery.T
    return time.perf_counter() - started


def scoring_seconds() -> tuple[float, float]:
    """Return the seconds of AP for 14,000 x 1000, and of one bootstrap interval."""
    generator = np.random.default_rng(0)
    relevant = generator.random((14_000, 1000)) < 0.003
    n_positive = relevant.sum(axis=1) + 1
    started = time.perf_counter()
    values = average_precision(relevant, n_positive)
    middle = time.perf_counter()
    estimate(values, generator.integers(9000, size=14_000))
    return middle - started, time.perf_counter() - middle


def main() -> None:
    """Measure, print, write."""
    if len(sys.argv) == 4:
        one(*(int(word) for word in sys.argv[1:]))
        return
    # A process each, so that peak memory is its own; all of them before this process grows, for a
    # child's peak begins at its parent's size.
    words = [[sys.executable, __file__, *map(str, shape)] for shape in SHAPES]
    outputs = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        for command in words
    ]
    rows, runs = [], []
    for shape, output in zip(SHAPES, outputs, strict=True):
        seconds, peak, before = (float(word) for word in output)
        product = product_seconds(*shape)
        runs.append(
            {
                "shape": shape,
                "seconds": seconds,
                "peak_mb": peak,
                "inputs_mb": before,
                "product_seconds": product,
            }
        )
        size = " x ".join(f"{v:,}" for v in shape)
        rows.append([size, f"{seconds:.2f}", f"{product:.2f}", f"{peak:.0f}", f"{before:.0f}"])
    ap, interval = scoring_seconds()
    text = table(
        ["queries x gallery x dimensions", "rank, s", "float32 product alone, s", "peak MB",
         "of it before ranking"], rows,
    ) + (
        f"\n\nAP@1000 of 14,000 x 1000 results: {ap:.3f} s; its bootstrap interval "
        f"(9,000 products, 1,000 draws): {interval:.3f} s."
    )  # fmt: skip
    values = {"runs": runs, "ap_seconds": ap, "interval_seconds": interval}
    finish("ranking", "python3 make.py bench ranking", values, text)


if __name__ == "__main__":
    main()
