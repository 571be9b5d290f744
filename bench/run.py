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
        "measured before and after. The model was fitted on other photos, but its settings were "
        "chosen with a look at the development set (see [devset-log.md](devset-log.md)), which "
        "makes its score a validation score.",
    ),
    "steps": (
        "Steps towards the built-in model",
        "mAP@1000 with its 95 % interval after each step, as trained and exported by the "
        "configurations in `examples/training`. Groceries: user photos of products kept out of "
        "the fit, among all seller pictures of groceries. Renders: the sample data, whose products "
        "took no part, made by another renderer. The development set is validation: it chose. "
        "Photos/s: the model alone, one call a core, all models in turn, five rounds. Made by "
        "`python3 make.py steps`; what training the network itself did is in the "
        "[model card](model-card.md#training-the-network-itself).",
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
    names = sys.argv[1:] or [name for name in SECTIONS if name != "steps"]
    for name in names:
        if name not in SECTIONS or name == "steps":
            known = ", ".join(each for each in SECTIONS if each != "steps")
            raise SystemExit(f"no benchmark {name!r}; there are {known} (and `make.py steps`)")
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
