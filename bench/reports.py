"""`shoplens report` and `shoplens compare` at the challenge's scale: 14,000 queries, 26,000 photos.

Each command runs in a process of its own, on made photos. A folder may be named to keep them in
for the next time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import finish, megabytes, table
from PIL import Image

from shoplens.parallel import parallel_map
from shoplens.ranking import Ranking

N_QUERIES, N_GALLERY, N_PRODUCTS, COLUMNS = 14_000, 26_000, 9_000, 1_000
SIZE = (640, 480)


def make(root: Path) -> None:
    """Write a test set of made photos with boxes and categories, and two rankings of it."""
    generator = np.random.default_rng(0)
    gallery = np.r_[
        np.arange(N_PRODUCTS), generator.integers(N_PRODUCTS, size=N_GALLERY - N_PRODUCTS)
    ]
    queries = generator.integers(N_PRODUCTS, size=N_QUERIES)
    for side in ("gallery", "queries"):
        (root / side).mkdir(parents=True)
    names = [f"gallery/{n}.jpg" for n in range(N_GALLERY)]
    names += [f"queries/{n}.jpg" for n in range(N_QUERIES)]
    for _ in parallel_map(lambda job: _photo(root / job[1], job[0]), enumerate(names)):
        pass
    rows = [f"{n},{names[n]},p{p},c{p % 30}" for n, p in enumerate(gallery)]
    _write(root / "gallery.csv", "seller_img_id,img_path,product_id,category", rows)
    corners = generator.integers(0, 200, size=(N_QUERIES, 2))
    sides = generator.integers(60, 270, size=(N_QUERIES, 2))
    rows = [
        f"{n},queries/{n}.jpg,{x},{y},{w},{h},p{p}"
        for n, (p, (x, y), (w, h)) in enumerate(zip(queries, corners, sides, strict=True))
    ]
    _write(
        root / "queries.csv", "user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id", rows
    )
    by_product = [np.flatnonzero(gallery == product) for product in range(N_PRODUCTS)]
    for name, share in (("a", 0.60), ("b", 0.55)):
        ids = np.empty((N_QUERIES, COLUMNS), dtype=np.int32)
        for row, product in enumerate(queries):
            ids[row] = generator.choice(N_GALLERY, COLUMNS, replace=False)
            if generator.random() < share:
                _promote(ids[row], by_product[product], generator)
        scores = np.linspace(1, 0, COLUMNS, dtype=np.float32) * np.ones((N_QUERIES, 1), np.float32)
        ranking = Ranking(np.arange(N_QUERIES, dtype=np.int32), ids, scores, "made", name)
        ranking.save(root / f"{name}.npz")


def _promote(row: np.ndarray, own: np.ndarray, generator: np.random.Generator) -> None:
    """Put the photos of a product near the top of a row."""
    rest = row[~np.isin(row, own)]
    kept = np.insert(rest, np.sort(generator.integers(0, 30, size=len(own))), own)
    row[:] = kept[: len(row)]


def _photo(path: Path, seed: int) -> None:
    small = np.random.default_rng(seed).integers(256, size=(10, 12, 3), dtype=np.uint8)
    Image.fromarray(small).resize(SIZE, Image.Resampling.BICUBIC).save(path, quality=80)


def _write(path: Path, header: str, rows: list[str]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def measured(root: Path, name: str, *words: str) -> dict[str, Any]:
    """Run a command, and return its times, peak memory, and the size of its page."""
    page = root / "page.html"
    command = [sys.executable, "-m", "shoplens", *words, "--data", str(root), "-o", str(page)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return {
        "command": name,
        "wall_seconds": wall,
        "core_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": megabytes(usage.ru_maxrss),
        "page_mb": page.stat().st_size / 1e6,
    }


def main() -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(sys.argv[1] if len(sys.argv) > 1 else temporary) / "made"
        if not root.is_dir():
            make(root)
        a, b = str(root / "a.npz"), str(root / "b.npz")
        runs = [
            measured(root, "report", "report", a),
            measured(root, "report --no-duplicates", "report", a, "--no-duplicates"),
            measured(root, "compare A B -o page", "compare", a, b),
        ]
    text = table(
        ["command", "seconds", "core seconds", "peak MB", "page, MB"],
        [
            [
                f"`{run['command']}`", f"{run['wall_seconds']:.0f}", f"{run['core_seconds']:.0f}",
                f"{run['peak_mb']:.0f}", f"{run['page_mb']:.1f}",
            ]
            for run in runs
        ],
    )  # fmt: skip
    finish("reports", "python3 make.py bench reports", {"runs": runs}, text)


if __name__ == "__main__":
    main()
