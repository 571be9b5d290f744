"""The main job from a cold start: `shoplens evaluate`, as a user runs it, beside bare inference.

Runs on the challenge's open development photos where they are at hand, and on the sample data.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from commands import fresh_folder, shoplens
from measuring import REAL, SAMPLE, finish, table
from PIL import Image

from shoplens import Encoder, load_encoder
from shoplens.cores import usable_cores
from shoplens.embedding import STAGES
from shoplens.parallel import parallel_map
from shoplens.pixels.decoding import Decoded

CHALLENGE_CORES, CHALLENGE_SECONDS = 4, 600


def run(dataset: Path) -> dict[str, Any]:
    """Evaluate a dataset with an empty cache; return its JSON with time and memory."""
    with fresh_folder() as cache:
        run = shoplens("evaluate", dataset, cache=cache)
    if run.values.get("n_cached"):
        raise SystemExit("the run was served from a cache")
    return {
        **run.values,
        "wall_seconds": run.wall_seconds,
        "cpu_seconds": run.cpu_seconds,
        "peak_mb": run.peak_mb,
    }


def bare_inference(photos: int = 200, encoder: Encoder | None = None) -> float:
    """Return photos/s of a model alone, batch 1, one call a core, as `embed` runs it.

    Args:
        photos: how many.
        encoder: the model; None for the default.
    """
    encoder = encoder or load_encoder()
    pixels = np.random.default_rng(0).integers(256, size=(600, 800, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    prepared = encoder.prepare(Decoded(picture, picture.size, 1.0, None, clipped=False), "user")
    encoder.embed([prepared], ["user"])
    started = time.perf_counter()
    for _ in parallel_map(lambda _: encoder.embed([prepared], ["user"]), range(photos)):
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
    peak = values["peak_mb"]
    rows["peak memory, MB"] = "not known" if peak is None else f"{peak:.0f}"
    challenge = rate * CHALLENGE_CORES / usable_cores()
    rows[f"{CHALLENGE_CORES} vCPU, extrapolated from {usable_cores()}, not measured: photos/s"] = (
        f"{challenge:.0f} ({challenge * CHALLENGE_SECONDS:,.0f} photos in {CHALLENGE_SECONDS} s)"
    )
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
