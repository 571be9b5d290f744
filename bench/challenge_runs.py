"""Running submissions: what the harness costs, and how hostile submissions end.

The cost is the time of a whole run of a submission that answers at once, less the submission's own.
Hostile submissions are those of the tests (tests/hostile), one after the other.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from measuring import ROOT, finish, table

from shoplens.challenge.running import Limits, run_submission
from shoplens.challenge.sandbox.staging import stage_data
from shoplens.datasets.dataset import read_dataset

sys.path.insert(0, str(ROOT / "tests"))
from hostile.folders import Case, write
from hostile.stage import LIMITS, leftovers, let_loose, stage
from hostile.submissions import CASES

ROUNDS = 7
SETS = {"sample (40 + 40 photos)": ROOT / "src/shoplens/sample",
        "furniture (180 + 180 photos)": ROOT / "examples/furniture"}  # fmt: skip


def overhead(folder: Path, data: Path) -> dict[str, Any]:
    """Run a submission that answers at once; return the medians of seconds by part."""
    submission = write(Case("at_once", "ok", "return self.good()"), folder / "at_once", {})
    runs = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        result = run_submission(submission, data, limits=Limits(cpus=1))
        whole = time.perf_counter() - started
        if result.verdict != "ok":
            raise SystemExit(f"{result.verdict}: {result.reason}")
        scored = result.phases["check"] + result.phases["score"]
        own = result.wall_seconds
        runs.append({"whole": whole, "own": own, "scored": scored, "harness": whole - own - scored})
    seconds = {name: median(run[name] for run in runs[1:]) for name in runs[0]}
    return {**seconds, "enforced": result.enforced, "not_enforced": result.not_enforced}


def staging(folder: Path, n: int = 40_000) -> float:
    """Return the seconds of making ready (copying) a test set of so many photos."""
    source = folder / "many"
    (source / "gallery").mkdir(parents=True)
    photo = next((ROOT / "src/shoplens/sample/gallery").iterdir()).read_bytes()
    lines = ["seller_img_id,img_path,product_id"]
    for number in range(n):
        (source / "gallery" / f"{number}.jpg").write_bytes(photo)
        lines.append(f"{number},gallery/{number}.jpg,{number}")
    (source / "gallery.csv").write_text("\n".join(lines) + "\n")
    header = "user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id"
    (source / "queries.csv").write_text(f"{header}\n0,gallery/0.jpg,0,0,9,9,0\n")
    dataset = read_dataset(source)
    started = time.perf_counter()
    stage_data(dataset, folder / "staged")
    return time.perf_counter() - started


def hostile(folder: Path) -> Iterator[dict[str, Any]]:
    """Let every hostile submission loose."""
    with stage(folder) as places:
        for case in CASES:
            started = time.perf_counter()
            result = let_loose(case, places)
            yield {
                "name": case.name,
                "expected": case.verdict,
                "verdict": result.verdict,
                "reason": result.reason,
                "got_out": b"ESCAPED" in result.full_log,
                "left": leftovers(),
                "seconds": time.perf_counter() - started,
            }


def main() -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        costs = {title: overhead(folder, data) for title, data in SETS.items()}
        forty_thousand = staging(folder)
        ends = list(hostile(folder / "stage"))
    rows = [
        [title, *(f"{cost[part]:.2f}" for part in ("whole", "own", "scored", "harness"))]
        for title, cost in costs.items()
    ]
    right = sum(end["verdict"] == end["expected"] for end in ends)
    clean = sum(not end["left"] for end in ends)
    inside = sum(not end["got_out"] for end in ends)
    took = sum(end["seconds"] for end in ends)
    parts = ("whole, s", "its own, s", "checked and scored, s", "harness, s")
    text = table(["a submission that answers at once", *parts], rows)
    text += (
        f"\n\nMaking 40,000 photos ready (copies): {forty_thousand:.1f} s.\n\n"
        f"{len(ends)} hostile or broken submissions: {right} with the right verdict, {inside} kept "
        f"in, {clean} with a clean machine after it; {took:.0f} s in all, one after the other.\n\n"
    )
    text += table(
        ["submission", "verdict", "reason", "s"],
        [
            [
                end["name"],
                end["verdict"],
                end["reason"].partition("\n")[0][:70],
                f"{end['seconds']:.1f}",
            ]
            for end in ends
        ],
    )
    values = {
        "overhead": costs,
        "staging_40000_seconds": forty_thousand,
        "hostile": ends,
        "limits": asdict(LIMITS),
    }
    finish("challenge_runs", "python3 make.py bench challenge_runs", values, text)


if __name__ == "__main__":
    main()
