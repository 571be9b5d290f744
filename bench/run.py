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
        "the fit, among all seller pictures of groceries. Renders: the sample data, whose "
        "products took no part, made by another renderer (but they calibrate the int8 model, "
        "whose score on them is therefore no test). The development set is validation: it chose. "
        "Photos/s: the model alone, one call a core, the models of one run (last column) in turn, "
        "five rounds, on the machine named below or on another. Rows of runs before 2026-11-29 "
        "were exported before padding became part of convolutions, which makes each of them about "
        "a sixth faster; rows of runs before 2026-11-28 had photos resized by Pillow. Rows at 256 "
        "px are short runs, to compare with each other; validation chose how much of the start "
        "weights each keeps: four fifths, in row 8 nothing. Made by `python3 make.py steps`; what "
        "training the network itself did is in the [model "
        "card](model-card.md#training-the-network-itself).",
    ),
    "choice": (
        "Which network at which size",
        "ImageNet's Lite0, Lite1 and Lite2 and the network that shipped when it was run "
        "(`lite2-products`, its late stages trained at 256 px; what followed from it is in the "
        "[model card](model-card.md#which-network-at-which-size)), each with a head fitted to our "
        "photos in the same way, to at most 250 of a source and domain; 512 components. Two "
        "views: the mirror image as well. Inference alone, one call a core, all in turn. Scores "
        "as in the table before, without their intervals: about 0.03 either way on the "
        "development set, which is validation. Made by `python3 make.py choice`.",
    ),
    "reach": (
        "What more photos would give",
        "ImageNet's Lite2 and the network of `lite2-products` (*built-in*) at 384 px, pooled "
        "features, and a head fitted to more and more products: ours (groceries, garments, "
        "renders: what may train the model), and, as a bound, those of the marketplace that are "
        "not searched for (half of the development set's products; the other half is searched "
        "for, five draws). Components: as the built-in model's head is fitted, whose photos they "
        "are plays no part. Within-class: what varies between photos of one product is whitened "
        "away. Nothing fitted to the development set ships. Made by `python3 make.py reach`.",
    ),
    "starter_kit_way": (
        "Against the starter kit's way",
        "`shoplens embed` beside what the challenge's starter kit does, with the same weights: "
        "fresh processes that read the same photos and write vectors, ways in turn. The cosines "
        "say that all compute the same. Ratios are to the starter kit's way.",
    ),
    "preparation": (
        "Before the model: read, decode, crop",
        "Core time on one thread, ways in turn. The filter is the recipe's choice "
        "(`interpolation`). JPEGs much larger than the model needs are decoded at reduced scale, "
        "which is what the second table compares with a full decode.",
    ),
    "limit": (
        "Share of the physical limit",
        "The multiply-adds/s that the built-in model achieves, as `embed` runs it, beside those "
        "of a large float32 matrix product on the same cores, in turn. A large product reuses "
        "each number it loads thousands of times, a convolution of each channel a few times; "
        "reordering and padding compute nothing. The profile says what each takes.",
    ),
    "precision": (
        "float32, float16, int8",
        "The built-in model alone, one call a core, in turn. float16 is how weights are stored; "
        "they compute in float32. What int8 gains depends on the processor: here it is measured.",
    ),
    "large_models": (
        "Large networks on torch",
        "Networks of OpenCLIP with random weights, which cost what trained ones do, as "
        "`--device cuda` runs them (pixels in the host's memory in, vectors out), and the network "
        "alone on pixels that are on the device already; beside a large matrix product in the same "
        "numbers and a copy to the device, in the same run. Where torch finds no graphics "
        "processor it measures the smallest of them on the cores.",
    ),
    "training_steps": (
        "A training step on processor cores",
        "Lite2 and supervised contrast on random pixels. "
        "`bf16` computes all but the convolutions of single channels in bfloat16. Ratios are to "
        "the same frozen stages in float32 with the allocator as it is; its settings are those of "
        "[training.md](training.md#on-processor-cores).",
    ),
    "threads": (
        "Threads or processes",
        "The same photos by threads, as shipped, and by a pool of processes with shared memory. "
        "Processes pay only where Python holds its lock for a good share of the time; the ways "
        "without a model show how far that is.",
    ),
    "memory": (
        "Memory by size of the catalogue",
        "`shoplens embed` of made photos to a `.npy`, a fresh process each; in brackets, the "
        "difference from the smallest catalogue of the same model (target: within 10 % from 1,000 "
        "to 50,000 photos). A vector of the toy model takes 3,072 bytes: a smaller growth a photo "
        "says that neither pictures nor vectors are kept.",
    ),
    "caching": (
        "A second run",
        "`shoplens embed` of the same photos twice with the built-in model: the second decodes "
        "and infers nothing.",
    ),
    "distributed": (
        "On Ray",
        "The same photos by the local engine and by `--engine ray` on the same cores, in turn. "
        "What follows from it for large catalogues is in [distributed.md](distributed.md). Made "
        "by `bench/distributed.py`.",
    ),
    "engines": (
        "Which engine",
        "The built-in model alone, every way in turn in one process, five rounds.",
    ),
    "ranking": ("Ranking and scoring", "Exact, to depth 1000, random vectors."),
    "answers": (
        "Checking and scoring answers",
        "Answers of 14,000 x 1000 to a gallery of 40,000 photos, the challenge's size: looked "
        "through for every fault (target: under 1 s), and mAP@1000 of it (target: under 2 s).",
    ),
    "submissions": (
        "Three submissions",
        "What `shoplens challenge new` writes, run by the harness with its default limits, without "
        "network or labels: one that guesses, ours, and ours with another recipe. On the made "
        "catalogue, which is large enough for it, the answers are scored by the original scoring's "
        "rules as well; on other sets a row is shorter than the 1000 columns it asks for. The "
        "development set is validation (see [devset-log.md](devset-log.md)).",
    ),
    "challenge_runs": (
        "Running submissions",
        "What the harness costs (target: under 2 s a run), and how every hostile or broken "
        "submission of `tests/hostile` ends. See [sandbox.md](sandbox.md).",
    ),
    "near_duplicates": (
        "Near-duplicates",
        "Photos of each folder, drawn with seed 0, are edited, saved as JPEG and looked for among "
        "all photos of the folder. The threshold was chosen on the photos of clothes. See "
        "[data-tools.md](data-tools.md#leaks).",
    ),
    "reports": (
        "Reports of large runs",
        "`shoplens report` and `compare` at the challenge's size: 14,000 queries, 26,000 gallery "
        "photos of 640 x 480 pixels, rows of 1000.",
    ),
    "install": ("Installing", "A plain `pip install shoplens` in an empty environment."),
}

ELSEWHERE = {
    "steps": "make.py steps",
    "choice": "make.py choice",
    "reach": "make.py reach",
    "distributed": ".venv-ray/bin/python bench/distributed.py",
}
"""What has a command of its own: here its results are only shown."""
WITH_TORCH = ("starter_kit_way", "precision", "large_models", "training_steps")
"""What is run in the environment for training."""


def interpreter(name: str) -> str | Path:
    """Return the interpreter that a benchmark is run by; sets its environment up if need be."""
    if name not in WITH_TORCH:
        return sys.executable
    # `make.py` stands in the root, beside the packages it sets up environments for.
    sys.path.insert(0, str(ROOT))
    from make import training_environment  # noqa: PLC0415

    return training_environment()


def main() -> None:
    """Run what is named, then write the page from all results there are."""
    measured_here = [name for name in SECTIONS if name not in ELSEWHERE]
    names = sys.argv[1:] or measured_here
    for name in names:
        if name not in measured_here:
            known = ", ".join([*measured_here, *(f"`{word}`" for word in ELSEWHERE.values())])
            raise SystemExit(f"no benchmark {name!r}; there are {known}")
        subprocess.run([interpreter(name), Path(__file__).parent / f"{name}.py"], check=True)
    parts = [
        "# Benchmarks\n\nMade by `python3 make.py bench`; do not edit. Machines are noisy: compare "
        "figures of one table, not of two. The results as JSON are in `bench/results/`.\n\n"
        "The built-in model changed on 2026-11-29, from Lite2 (`lite2-products`) to Lite0 "
        "(`lite0-products`). Where a section does not name its network, *built-in* in a run of "
        "before means the former; all of those are to be measured again.\n"
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
