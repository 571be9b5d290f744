"""Run the benchmarks, all or those named, and write docs/benchmarks.md from their results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from measuring import RESULTS, ROOT

SECTIONS = {
    "end_to_end": (
        "End to end",
        "`shoplens evaluate` as a user runs it: a new process reads, embeds, ranks and scores. "
        "Bare inference is the model alone on the same cores, one call of one photo a core, "
        "measured before and after. Settings and model were fitted on other photos, but the "
        "padding was chosen on the development set (see [devset-log.md](devset-log.md)), which "
        "makes its score a validation score.",
    ),
    "engines": (
        "Which engine",
        "The built-in model alone, every way in turn in one process, five rounds.",
    ),
    "ranking": ("Ranking and scoring", "Exact, to depth 1000, random vectors."),
    "install": ("Installing", "A plain `pip install shoplens` in an empty environment."),
}


def main() -> None:
    """Run what is named, then write the page from all results there are."""
    names = sys.argv[1:] or list(SECTIONS)
    for name in names:
        if name not in SECTIONS:
            raise SystemExit(f"no benchmark {name!r}; there are {', '.join(SECTIONS)}")
        subprocess.run([sys.executable, Path(__file__).parent / f"{name}.py"], check=True)
    parts = [
        "# Benchmarks\n\nMade by `python3 make.py bench`; do not edit. Machines are noisy: compare "
        "figures of one table, not of two. The results as JSON are in `bench/results/`.\n"
    ]
    for name, (title, words) in SECTIONS.items():
        file = RESULTS / f"{name}.json"
        if file.is_file():
            values = json.loads(file.read_text(encoding="utf-8"))
            on = values["machine"]
            parts.append(
                f"## {title}\n\n{words}\n\n{values['table']}\n\n"
                f"`{values['command']}`, {on['date']}, {on['cores']} cores of {on['processor']}, "
                f"Python {on['python']}, load before {on['load_before']}.\n"
            )
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
