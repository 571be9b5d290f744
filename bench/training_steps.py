"""Photos a second of a training step on processor cores: frozen stages, precision, the allocator.

    python3 make.py bench training_steps

Each way is a fresh process, ways in turn. The allocator is glibc's, told by its environment to keep
memory instead of handing it back: a step's large tensors then do not fault their pages in anew.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

from measuring import finish, table

PHOTOS, SIDE, STEPS, ROUNDS = 64, 256, 3, 3
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34), "MALLOC_ARENA_MAX": "2"}
"""As docs/training.md names them."""


def measure(frozen_stages: int, precision: str) -> float:
    """Return photos a second of Lite2, on random pixels."""
    import torch  # noqa: PLC0415  not needed where ways are only compared
    from accelerate import Accelerator  # noqa: PLC0415

    from shoplens.training.backbones import load_backbone  # noqa: PLC0415
    from shoplens.training.config import Config  # noqa: PLC0415
    from shoplens.training.fitting import Fitting  # noqa: PLC0415
    from shoplens.training.lessons import Lesson  # noqa: PLC0415
    from shoplens.training.network import Network  # noqa: PLC0415

    config = Config.model_validate(
        {
            "name": "timed",
            "licence": "none",
            "photos": [{"table": "none.csv"}],
            "network": {"backbone": "imagenet:lite2", "frozen_stages": frozen_stages},
            "losses": [{"kind": "supcon"}],
            "optimiser": {"precision": precision},
        }
    )
    network = Network(load_backbone(config.network.backbone), config.network)
    network.to(memory_format=torch.channels_last)
    accelerator = Accelerator(mixed_precision=precision)
    fitting = Fitting(network, config, [2] * (PHOTOS // 2), STEPS + 1, accelerator)
    pixels = torch.randint(0, 256, (PHOTOS, SIDE, SIDE, 3), dtype=torch.uint8)
    with torch.no_grad():
        features = network.early(pixels)
    lesson = Lesson(features, torch.arange(PHOTOS) // 2, None)
    fitting.step(lesson)
    started = time.perf_counter()
    for _ in range(STEPS):
        fitting.step(lesson)
    return STEPS * PHOTOS / (time.perf_counter() - started)


def main() -> None:
    """Measure one way (as a child), or compare all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--way", nargs=2, metavar=("FROZEN", "PRECISION"))
    way = parser.parse_args().way
    if way:
        print(measure(int(way[0]), way[1]))
        return
    ways = [(f, p, kept) for f in (0, 5) for p in ("no", "bf16") for kept in (False, True)]
    figures: dict[tuple[int, str, bool], list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for frozen, precision, kept in ways:
            command = [sys.executable, __file__, "--way", str(frozen), precision]
            env = {**os.environ, **(KEPT if kept else {})}
            done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
            figures[frozen, precision, kept].append(float(done.stdout.split()[-1]))
    rows: list[dict[str, Any]] = []
    for (frozen, precision, kept), values in figures.items():
        base = median(figures[frozen, "no", False])
        rows.append(
            {
                "frozen_stages": frozen,
                "precision": precision,
                "memory_kept": kept,
                "photos_per_second": median(values),
                "range": [min(values), max(values)],
                "ratio": median(values) / base,
            }
        )
    text = f"{PHOTOS} photos a step, {SIDE} px, {ROUNDS} rounds.\n\n" + table(
        ["frozen stages", "precision", "allocator", "photos/s", "range", "ratio"],
        [
            [
                row["frozen_stages"],
                row["precision"],
                "keeps memory" if row["memory_kept"] else "as it is",
                f"{row['photos_per_second']:.1f}",
                f"{row['range'][0]:.1f} .. {row['range'][1]:.1f}",
                f"{row['ratio']:.2f}",
            ]
            for row in rows
        ],
    )
    finish("training_steps", "python3 make.py bench training_steps", {"ways": rows}, text)


if __name__ == "__main__":
    main()
