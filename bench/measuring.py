"""What the benchmarks share: the machine in words, peak memory, tables, results as JSON."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
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

CODE = ("--", "src", "bench", ":!bench/results")
"""What is measured: results and docs that an earlier benchmark wrote are no change of it."""

WITH_BUILT_IN = (
    "end_to_end", "startup", "starter_kit_way", "limit", "precision", "threads", "memory",
    "caching", "distributed", "engines", "submissions", "catalog_photo",
    "service", "automatic_box", "cleaning", "confidence", "adaptation", "regions", "reranking",
    "photo_reranking",
)  # fmt: skip
"""Results that measure a built-in model: those of an earlier version are not published."""
OF_BASE_MODEL = (
    "starter_kit_way", "limit", "precision", "threads", "memory", "engines", "submissions",
    "preparation", "steps",
)  # fmt: skip
"""Results that measure a single network, whichever model is the default."""


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
        "cores": cores(),
        "python": platform.python_version(),
        "load_before": LOAD_BEFORE,
        "date": time.strftime("%Y-%m-%d"),
    }


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def commit() -> str | None:
    """Return the commit that is checked out, with a + where files differ; None without git."""
    try:
        found, changed = (
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
            for words in (
                ("rev-parse", "--short", "HEAD"),
                ("status", "--porcelain", "-uno", *CODE),
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip() + ("+" if changed.stdout else "")


def measured_model(benchmark: str) -> dict[str, str]:
    """Return name and fingerprint of the built-in model that a benchmark measures."""
    from shoplens.models import BASE_MODEL, DEFAULT_MODEL  # noqa: PLC0415

    name = BASE_MODEL if benchmark in OF_BASE_MODEL else DEFAULT_MODEL
    return {"name": name, "fingerprint": built_in_models()[name]}


def built_in_models() -> dict[str, str]:
    """Return the fingerprints of all built-in models by their names."""
    from shoplens.models import list_models  # noqa: PLC0415

    return {info.name: info.fingerprint for info in list_models()}


def too_busy(load: float, n_cores: int) -> bool:
    """Tell whether other work took more of a machine than a measurement can bear."""
    return load > n_cores


def why_not_published(values: dict[str, Any]) -> str | None:
    """Return why a result must not be shown in docs, or None where it may."""
    on = values["machine"]
    if too_busy(on["load_before"], on["cores"]):
        return (
            f"the machine was busy with other work: load {on['load_before']}, {on['cores']} cores"
        )
    if values["name"] in WITH_BUILT_IN:
        model = values.get("model")
        if model is None or built_in_models().get(model["name"]) != model["fingerprint"]:
            return "it was measured with an earlier built-in model"
    return None


def why_no_figure(values: dict[str, Any]) -> str | None:
    """Return why pages must not state figures of a result, or None where they may.

    They speak of the model that is the default now; a table of results names the one measured.
    """
    name = values["name"]
    if (reason := why_not_published(values)) is not None:
        return reason
    if name in WITH_BUILT_IN and values["model"] != measured_model(name):
        return "it was measured with another model than the default one"
    return None


def peak_mb(who: int = resource.RUSAGE_SELF) -> float:
    """Return the largest resident size so far, in 10^6 bytes."""
    return megabytes(resource.getrusage(who).ru_maxrss)


def megabytes(max_rss: int) -> float:
    """Return what `getrusage` calls ru_maxrss in 10^6 bytes."""
    return max_rss * (1 if sys.platform == "darwin" else 1024) / 1e6


def added_mb(work: Callable[[], object]) -> float:
    """Do something, and return the memory that it took at its peak beside what this process held
    before, in 10^6 bytes. For Linux alone."""
    before = _status_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # The peak starts anew.
    work()
    return _status_mb("VmHWM") - before


def _status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kilobytes) * 1024 / 1e6


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
    """Print a benchmark's table and write its JSON, which the docs are filled from.

    Nothing is written where other work was going on when the benchmark began.
    """
    print(text, flush=True)
    on = machine()
    load, n_cores = on["load_before"], on["cores"]
    if too_busy(load, n_cores):
        raise SystemExit(
            f"not written: the load was {load} on {n_cores} cores when {name} began; "
            "run it again on a machine that does nothing else"
        )
    RESULTS.mkdir(exist_ok=True)
    head = {"name": name, "command": command, "commit": commit(), "machine": on}
    values = {**head, "model": measured_model(name), "table": text, **values}
    (RESULTS / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
