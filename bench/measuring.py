"""What the benchmarks share: the machine in words, peak memory, tables, JSON."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
REAL = Path(os.environ.get("SHOPLENS_DATA", ROOT.parent / "shared/data")) / "mcs2023-dev-open"
SAMPLE = ROOT / "examples" / "furniture"


LOAD_BEFORE = round(os.getloadavg()[0], 2)
"""How busy the machine was when the benchmark began."""


def machine() -> dict[str, Any]:
    """Describe the machine, and how busy it was before the benchmark."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
        flags = next((x for x in lines if x.startswith("flags")), "")
        widest = next((f for f in ("avx512f", "avx2", "avx") if f in flags.split()), "no AVX")
        model += f" ({widest})"
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "python": platform.python_version(),
        "load_before": LOAD_BEFORE,
        "date": time.strftime("%Y-%m-%d"),
    }


def peak_mb(who: int = resource.RUSAGE_SELF) -> float:
    """Return the largest resident size so far, in 10^6 bytes."""
    return megabytes(resource.getrusage(who).ru_maxrss)


def megabytes(max_rss: int) -> float:
    """Return what `getrusage` calls ru_maxrss in 10^6 bytes."""
    return max_rss * (1 if sys.platform == "darwin" else 1024) / 1e6


def interleaved(
    ways: dict[str, Callable[[], float]], rounds: int = 5
) -> dict[str, dict[str, float]]:
    """Run every way once a round, in turn, and return each one's median and range.

    A way returns its own figure. Taking turns keeps a change of the machine's speed from favouring
    one of them.
    """
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # warm-up
    for _ in range(rounds):
        for name, way in ways.items():
            figures[name].append(way())
    return {
        name: {"median": median(values), "min": min(values), "max": max(values)}
        for name, values in figures.items()
    }


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def finish(name: str, command: str, values: dict[str, Any], text: str) -> None:
    """Print a benchmark's table and write its JSON, from which the docs show it."""
    print(text, flush=True)
    RESULTS.mkdir(exist_ok=True)
    values = {"name": name, "command": command, "machine": machine(), "table": text, **values}
    (RESULTS / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
