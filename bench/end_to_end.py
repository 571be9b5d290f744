"""The main job from a cold start: `shoplens evaluate`, as a user runs it, beside bare inference.

Runs on the challenge's open development photos where they are at hand, and on the sample data.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import REAL, SAMPLE, finish, megabytes, table

from shoplens import load_encoder
from shoplens.embedding import STAGES
from shoplens.parallel import parallel_map, usable_cores


def run(dataset: Path) -> dict[str, Any]:
    """Evaluate a dataset in a process of its own and return its JSON with time and memory."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "scores.json"
        command = [
            sys.executable,
            "-m",
            "shoplens",
            "evaluate",
            str(dataset),
            "--json",
            str(output),
        ]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        if status:
            raise SystemExit(f"{command} failed")
        process.returncode = 0
        values: dict[str, Any] = json.loads(output.read_text())
    values["wall_seconds"] = wall
    values["cpu_seconds"] = usage.ru_utime + usage.ru_stime
    values["peak_mb"] = megabytes(usage.ru_maxrss)
    return values


def bare_inference(photos: int = 200) -> float:
    """Return photos/s of the model alone, batch 1, one call a core, as `embed` runs it."""
    encoder = load_encoder()
    size = encoder.recipe.input_size
    pixels = np.random.default_rng(0).integers(256, size=(1, size, size, 3), dtype=np.uint8)
    encoder.encode(pixels, ["user"])
    started = time.perf_counter()
    for _ in parallel_map(lambda _: encoder.encode(pixels, ["user"]), range(photos)):
        pass
    return photos / (time.perf_counter() - started)


def column(values: dict[str, Any], bare: float) -> dict[str, str]:
    """Return what the table says of one dataset, by row."""
    photos = values["n_queries"] + values["n_gallery"]
    score = values["metrics"]["map@1000"]
    rate = photos / values["seconds"]["embed"]
    busy = values["cpu_seconds"] / values["wall_seconds"] / usable_cores()
    rows = {
        "queries + gallery photos": f"{values['n_queries']} + {values['n_gallery']}",
        "mAP@1000": f"{score['value']:.4f}",
        "95 % interval": f"{score['low']:.4f} .. {score['high']:.4f}",
        "photos that failed": str(values["n_failed"]),
        "wall-clock seconds, cold start included": f"{values['wall_seconds']:.1f}",
        "cores busy meanwhile": f"{100 * busy:.0f} %",
        "embedding, photos/s": f"{rate:.1f}",
        "bare inference, photos/s": f"{bare:.1f}",
        "embedding / bare inference": f"{rate / bare:.2f}",
    }
    for stage in STAGES:
        seconds = values["seconds"][stage] / photos
        rows[f"{stage}: core ms a photo (photos/s a core)"] = (
            f"{1e3 * seconds:.1f} ({1 / seconds:,.0f})"
        )
    whole = values["cpu_seconds"] / photos
    rows["whole process: core ms a photo (photos/s a core)"] = (
        f"{1e3 * whole:.1f} ({1 / whole:,.0f})"
    )
    rows["peak memory, MB"] = f"{values['peak_mb']:.0f}"
    return rows


def main() -> None:
    """Measure, print, write."""
    results, columns = {}, {}
    for name, folder in (("challenge, open development set", REAL), ("sample furniture", SAMPLE)):
        if not (folder / "gallery.csv").is_file():
            print(f"{name}: not at {folder}, left out", file=sys.stderr)
            continue
        before = bare_inference()
        values = run(folder)
        bare = (before + bare_inference()) / 2
        results[name] = {**values, "bare_photos_per_second": bare}
        columns[name] = column(values, bare)
    labels = next(iter(columns.values()))
    rows = [[label, *(c[label] for c in columns.values())] for label in labels]
    text = table(["", *columns], rows)
    finish("end_to_end", "python3 make.py bench end_to_end", {"runs": results}, text)


if __name__ == "__main__":
    main()
