"""`shoplens` commands in processes of their own, as a user runs them, with a cache of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import megabytes, peak_mb


@dataclass(frozen=True)
class Finished:
    """A command that has run."""

    values: dict[str, Any]
    """What it wrote as JSON."""
    wall_seconds: float
    """From starting the process to its end."""
    cpu_seconds: float
    """Of all its threads and what it started."""
    peak_mb: float | None
    """The largest resident size, in 10^6 bytes; None where it cannot be told from this process's
    own: Linux counts a process's life before exec, when it still shared its parent's memory."""


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """Make a folder for a cache or made data, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="shoplens-bench-") as name:
        yield Path(name)


def shoplens(*words: str | Path, cache: Path) -> Finished:
    """Run a `shoplens` command that takes `--json`.

    Args:
        words: its words, without `--json`.
        cache: its cache folder, so that no run is served from the user's or another run's.
    """
    return timed_json(sys.executable, "-m", "shoplens", *words, "--json", cache=cache)


def timed_json(*words: str | Path, cache: Path) -> Finished:
    """Run a command that writes JSON to the file named last, which is added here."""
    with fresh_folder() as scratch:
        output = scratch / "values.json"
        command = [*map(str, words), str(output)]
        environment = {**os.environ, "SHOPLENS_CACHE": str(cache)}
        before = peak_mb()
        started = time.perf_counter()
        with (scratch / "messages").open("w+") as messages:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=messages
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            process.returncode = status
            if status:
                messages.seek(0)
                raise SystemExit(f"{' '.join(command)} failed:\n{messages.read()}")
        values = json.loads(output.read_text(encoding="utf-8"))
    peak = megabytes(usage.ru_maxrss)
    cpu = usage.ru_utime + usage.ru_stime
    return Finished(values, wall, cpu, peak if peak > before else None)
