"""Run the benchmarks, all or those named, and write their results into the docs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from figures import fill_pages
from measuring import RESULTS, ROOT, WITH_BUILT_IN, cores, too_busy, why_not_published

SECTIONS = {
    "end_to_end": (
        "End to end",
        "`shoplens evaluate` as you run it: a new process reads, embeds, ranks and scores. "
        '"Bare inference" is the model alone on the same cores, with one call of one photo per '
        "core, measured before and after. The model was trained on other photos, but its settings "
        "were chosen by their scores on the development set ([log](devset-log.md)). Its score "
        "there is therefore a validation score.",
    ),
    "startup": (
        "One answer",
        "Whole processes, from their start to their end: what you wait for when you search for one "
        "photo in a gallery whose vectors are in a file.",
    ),
    "automatic_box": (
        "Proposed boxes",
        "Queries searched for with the box that `propose_boxes` finds, beside the given box, the "
        "whole photo, and boxes in the middle that need no model. IoU is the intersection over "
        "union with the given box. The line *of five proposed* takes the one nearest to the given "
        "box, as a person would choose. The method and its few settings were chosen by IoU on "
        "these renders, on 54 other photos and on the development set "
        "([experiments](experiments.md#proposing-boxes), [log](devset-log.md)).",
    ),
    "regions": (
        "Regions of gallery photos",
        "Searches with `--regions N`. *Chosen* is what it does: regions around what stands out. "
        "*Fixed* are the middle of the photo, 0.7 of each side, then its corners, then nine of 0.5 "
        "of each side. Gains are over N = 0, with 95 % intervals, paired by query; "
        "so are those of 3 regions with [re-ranking](reranking.md) after them. `product-score` "
        "needs the products of gallery photos ([what regions are](regions.md), "
        "[log](devset-log.md)).",
    ),
    "adaptation": (
        "Fitting a model to a shop",
        "`shoplens finetune` and `adapt` with an empty cache ([adaptation.md](adaptation.md)). "
        "mAP@1000 of queries whose products the head was not fitted to, with 95 % intervals by "
        "product: for `finetune` as it reports it, with what `--network` gains over the head alone "
        "in brackets, for `adapt` by the test set's queries, none of "
        "which it looked at; with users' photos, it looked at 64 of them, without labels. The "
        "photos of the development set stand for a user's own shop here. The methods were chosen "
        "on them ([log](devset-log.md)), and nothing that is fitted to them ships.",
    ),
    "confidence": (
        "Confidence and product scores",
        "Confidences are fitted and measured on different products, in five folds. ECE has ten "
        "bins of equal width; its interval draws products. *Kept* is the share of searches whose "
        "first product is right that are no `no_match`; in brackets, the false accepts that were "
        "measured. Each fold is decided by a threshold from the others, on searches without the "
        "query's product in the gallery. The temperature of `logsum` is learned on the other half "
        "of the products. The lines say what each part of the evidence adds "
        "([confidence.md](confidence.md), [product-scores.md](product-scores.md)).",
    ),
    "photo_reranking": (
        "Re-ranking by the photos",
        "What [`patches` and `verify`](reranking.md#patches-best-match-of-patches) do to the first "
        "50 candidates of each query. Made prints are covers with blocks and random letters, each "
        "photographed once under a random perspective in front of clutter. The form and the weight "
        "of `patches` were chosen on 200 queries of the development set "
        "([experiments](experiments.md#re-ranking-by-the-photos), [log](devset-log.md)).",
    ),
    "cleaning": (
        "Cleaning",
        "What [`dataset clean`](cleaning.md) finds. A tenth of the user photos get the id "
        "of another product, drawn at random, and the threshold is set so that it costs a share of "
        "the right pairs. Real faults are harder: they often show a similar product.",
    ),
    "reranking": (
        "Re-ranking",
        "What each method of [reranking.md](reranking.md) gains with its defaults, the best chains "
        "of each class, and two reference chains on the same vectors. Reference (a) is centring on "
        "queries and gallery, augmentation by 5 neighbours with logarithmic weights, and expansion "
        "in two steps with a gate. Reference (b) is the program of the authors of k-reciprocal "
        "encoding, with full matrices (k1 = 20, k2 = 6, lambda = 0.3). Gains are paired by query, "
        "with 95 % intervals by product. Defaults and best chains were chosen on these sets "
        "([log](devset-log.md)), so expect a little less. The gain of `auto` is that on products "
        "that had no part in its choice. Where products must be known, the gain is that of a "
        "shop, not of a challenge. Targets: `auto` loses at most 0.002 and beats both references "
        "on both sets; k-reciprocal encoding takes a tenth of the memory of (b), and that of "
        "14,000 x 40,000 photos stays under 3 GB; the best gallery-side chain adds under 5 ms to a "
        "search in a catalogue. Memory taken is the peak beside what the process held before.",
    ),
    "starter_kit_way": (
        "Compared with the starter kit",
        "`shoplens embed` beside the method of the challenge's starter kit, with the same weights. "
        "Each run is a fresh process that reads the same photos and writes vectors; the methods "
        "take turns. The cosines show that all of them compute the same. Ratios are relative to "
        "the starter kit.",
    ),
    "preparation": (
        "Before the model: read, decode, crop",
        "Core time on one thread; the methods take turns. The recipe chooses the filter "
        "(`interpolation`). JPEGs that are much larger than the model needs are decoded at reduced "
        "scale. The second table compares this with a full decode.",
    ),
    "limit": (
        "Share of the physical limit",
        "How many multiply-adds per second `lite0-products` reaches when `embed` runs it, beside "
        "a large float32 matrix product on the same cores, in turn. A large matrix product uses "
        "each number that it loads thousands of times. A depthwise convolution uses it a few "
        "times, and reordering and padding compute nothing. The profile shows the share of each.",
    ),
    "precision": (
        "float32, float16, int8",
        "`lite0-products` alone, one call per core, in turn. In float16, weights are stored in "
        "half precision and computed in float32. The gain of int8 depends on the processor. "
        "Without VNNI, sums of products of bytes have to be computed by a slower method. The "
        "second table has the models that ship, as this processor computes them and with the "
        "slower method forced on it.",
    ),
    "large_models": (
        "Large networks on torch",
        "Networks of OpenCLIP with random weights, which cost as much as trained ones. The first "
        "figures are those of `--device cuda`: pixels in the host's memory in, vectors out. The "
        "others are the network alone, on pixels that are already on the device. A large matrix "
        "product in the same precision and a copy to the device were measured in the same run. "
        "Where torch finds no GPU, the smallest network is measured on the processor.",
    ),
    "training_steps": (
        "A training step on a processor",
        "Lite2 with the supervised contrastive loss on random pixels. `bf16` computes everything "
        "except depthwise convolutions in bfloat16. Ratios are relative to the same number of "
        "frozen stages in float32 with the default allocator. The allocator's settings are in "
        "[training.md](training.md#on-a-processor).",
    ),
    "threads": (
        "Threads or processes",
        "The same photos embedded by threads, which is how shoplens works, and by a pool of "
        "processes with shared memory. Processes help only where Python's global lock is held for "
        "a large share of the time. The rows without a model show how large that share is.",
    ),
    "memory": (
        "Memory by size of the catalogue",
        "`shoplens embed` of made photos to a `.npy` file, each in a fresh process. Brackets hold "
        "the difference from the smallest catalogue of the same model (target: within 10 % from "
        "1,000 to 50,000 photos). A vector of the toy model takes 3,072 bytes. Memory grows by "
        "less than that per photo, so neither pictures nor vectors are kept.",
    ),
    "caching": (
        "A second run",
        "`shoplens embed` of the same photos twice with the built-in model. The second run decodes "
        "nothing and runs no inference.",
    ),
    "distributed": (
        "On Ray",
        "The same photos embedded by the local engine and by `--engine ray` on the same cores, in "
        "turn. [distributed.md](distributed.md) says what this means for large catalogues. "
        "Measured by `bench/distributed.py`.",
    ),
    "engines": (
        "Which engine",
        "`lite0-products` alone, with all engines in turn in one process, five rounds.",
    ),
    "ranking": ("Ranking and scoring", "Exact ranking to depth 1000 of random vectors."),
    "answers": (
        "Checking and scoring answers",
        "Answers of 14,000 x 1000 to a gallery of 40,000 photos, the size of the challenge. The "
        "targets are under 1 s for finding every fault and under 2 s for mAP@1000.",
    ),
    "submissions": (
        "Three submissions",
        "Three submissions that `shoplens challenge new` writes, run with the default limits and "
        "without network or labels: one that guesses, ours, and ours with another recipe. The made "
        "catalogue is large enough to score the answers by the rules of the original scoring as "
        "well. On the other sets, a row has fewer than the 1000 columns that the original scoring "
        "requires. Scores on the development set are validation scores ([log](devset-log.md)).",
    ),
    "challenge_runs": (
        "Running submissions",
        "How much time the harness takes (target: under 2 s per run), and how each hostile or "
        "broken submission of `tests/hostile` ends ([sandbox.md](sandbox.md)).",
    ),
    "near_duplicates": (
        "Near-duplicates",
        "Photos of each folder, drawn with seed 0, are edited, saved as JPEG, and searched for "
        "among all photos of the folder. The threshold was chosen on the clothing photos "
        "([data-tools.md](data-tools.md#leaks)).",
    ),
    "reports": (
        "Reports of large runs",
        "`shoplens report` and `shoplens compare` at the size of the challenge: 14,000 queries, "
        "26,000 gallery photos of 640 x 480 pixels, rows of 1000.",
    ),
    "catalog_search_1000k_x_256": (
        "Searching a catalogue of a million photos",
        "The catalogue beside other engines, on the same made vectors: categories and products are "
        "clusters, views of a product are close. Each engine builds in one process with its "
        "default settings and searches in another. The filters let 1 % and 50 % of the photos "
        "pass, whatever they show. Targets for the catalogue at this size: p50 4 ms and p99 15 ms "
        "at recall 0.98; with the 1 % filter 8 ms at recall 0.99; 20 products 10 ms; built in at "
        "most twice the time that FAISS takes. All engines were searched one after the other on a "
        "machine that did nothing else. So were the catalogue, FAISS and usearch built. LanceDB "
        "and Qdrant Edge, which use one core by their defaults, were built while other work ran: "
        "their build times are upper bounds.",
    ),
    "catalog_search_100k_x_256": (
        "Searching a catalogue of 100,000 photos",
        "The same engines and vectors, with fewer photos, on a machine that did nothing else.",
    ),
    "catalog_search_50k_x_512": (
        "Searching a catalogue of 50,000 photos",
        "The same engines. With so few photos the catalogue builds no index: it compares all. "
        "Targets: p50 "
        "8 ms, and 1.5 times what reading all vectors once takes.",
    ),
    "catalog_writes": (
        "Writing into a catalogue while it is searched",
        "An acknowledged write is on disk (SQLite with `synchronous=FULL`). Half of the photos are "
        "new, half replace others.",
    ),
    "catalog_photo": (
        "From a photo to products",
        "A real photo with a box, the built-in model, and a catalogue of made vectors.",
    ),
    "service": (
        "The service under load",
        "`shoplens serve` in a process of its own, with its defaults, and clients in another on "
        "the same cores. A search is a POST of a JPEG with a box, from its first byte sent to the "
        'last byte of its answer. "The library alone" decodes and embeds the same photos with the '
        'same boxes; "bare inference" is the model alone. Both were measured on the same cores '
        "before, between and after, while the server had nothing to do. Under overload, requests "
        "are sent at a fixed rate, each over a connection of its own, whether answered or not. "
        "Memory is that of the server and its decoder processes.",
    ),
    "page": (
        "The page of the service",
        "What it weighs (targets: 40 kB of script, 8 kB of style), and how soon it can be used. "
        "Measured by `bench/page.py`.",
    ),
    "catalog_crashes": (
        "Killed, full, damaged",
        "Processes are killed (`kill -9`) at random moments while they change a catalogue. Then "
        "everything is compared with what was acknowledged: nothing may be lost, doubled, back "
        "again or mixed up. The change that was being made is there as a whole or not at all. "
        "Small disks are filled, and bytes of a catalogue's files flipped or cut off. "
        "tests/test_catalog_crashes.py does the same in small.",
    ),
    "milvus_cluster": (
        "A Milvus cluster with a killed query node",
        "A catalogue on a cluster of Milvus 2.3.5, each part a process on the same machine, with "
        "two replicas. A query node is killed (`kill -9`) while two threads search and one puts "
        "photos in, and another node is started 30 s later. The stall is mostly the time until "
        "the cluster notices the loss. [catalogue-milvus.md](catalogue-milvus.md#what-was-tested) "
        "says more. Measured by `bench/milvus_cluster.py`.",
    ),
    "scale": (
        "What large catalogues need",
        "Computed from the sections above and a scan of up to 10 million vectors, which is "
        "measured here; [scale.md](scale.md) has the rules.",
    ),
    "install": ("Installing", "A plain `pip install shoplens` in an empty environment."),
}
"""Heading and words of each section of docs/benchmarks.md."""

EXPERIMENTS = ("steps", "choice", "reach")
"""Results that docs/experiments.md shows between its markers: a record of scores, and of core time,
which counts no other work."""
QUIET = 0.5
"""How far below its number of cores the load should be before a benchmark begins."""

ELSEWHERE = {
    "steps": "make.py steps",
    "choice": "make.py choice",
    "reach": "make.py reach",
    "distributed": ".venv-ray/bin/python bench/distributed.py",
    "milvus_cluster": ".venv-milvus/bin/python bench/milvus_cluster.py",
    "page": ".venv-web/bin/python bench/page.py",
    "catalog_search_1000k_x_256": "make.py engines 1000000 256",
    "catalog_search_100k_x_256": "make.py engines 100000 256",
    "catalog_search_50k_x_512": "make.py engines 50000 512",
}
"""Results that another command measures; here they are only shown."""
WITH_TORCH = ("starter_kit_way", "precision", "large_models", "training_steps", "adaptation")
"""Benchmarks that run in the environment for training."""
WITH_INDEXES = ("catalog_writes", "catalog_photo")
"""Benchmarks that run in the environment with search engines."""
WITH_TESTS = ("catalog_crashes", "service")
"""Benchmarks that run in the environment for tests."""


def interpreter(name: str) -> str | Path:
    """Return the interpreter that a benchmark is run by; sets its environment up if need be."""
    # `make.py` stands in the root, beside the packages it sets up environments for.
    sys.path.insert(0, str(ROOT))
    import make  # noqa: PLC0415

    if name in WITH_TORCH:
        return make.training_environment()
    if name in WITH_INDEXES:
        return make.engines_environment()
    return make.environment(".venv", ("dev",)) if name in WITH_TESTS else sys.executable


def result(name: str) -> str | None:
    """Return the table of a result and how it was measured, or None where there is no result."""
    file = RESULTS / f"{name}.json"
    if not file.is_file():
        return None
    values = json.loads(file.read_text(encoding="utf-8"))
    reason = None if name in EXPERIMENTS else why_not_published(values)
    if reason is not None:
        return f"Not shown: {reason}. Measure it again with `{values['command']}`.\n"
    on = values["machine"]
    at = f" of commit {values['commit']}" if values.get("commit") else ""
    model = f" with {values['model']['name']}" if name in WITH_BUILT_IN else ""
    return (
        f"{values['table']}\n\n"
        f"`{values['command']}`{model}{at}, {on['date']}, {on['cores']} cores of "
        f"{on['processor']}, Python {on['python']}, load before {on['load_before']}.\n"
    )


def benchmarks_page() -> str:
    """Return docs/benchmarks.md, made from all results there are."""
    parts = [
        "# Benchmarks\n\n`python3 make.py bench` writes this page; do not edit it. Timings vary "
        "between runs, so compare figures within one table only. The results are in "
        "`bench/results/` as JSON, with the commit and the fingerprint of the built-in model that "
        "was measured. A section is not shown if the machine was busy with other work, or if that "
        "model has changed since.\n"
    ]
    for name, (title, words) in SECTIONS.items():
        if shown := result(name):
            parts.append(f"## {title}\n\n{words}\n\n{shown}")
    return "\n".join(parts)


def with_experiments(text: str) -> str:
    """Return docs/experiments.md with the results of experiments between its markers."""
    for name in EXPERIMENTS:
        between = re.compile(rf"(<!-- results: {name} -->\n).*?(<!-- end of results -->)", re.S)
        shown = result(name)
        if shown and between.search(text):
            text = between.sub(lambda m, shown=shown: f"{m[1]}\n{shown}\n{m[2]}", text)
    return text


def wait_until_quiet() -> None:
    """Wait, at most ten minutes, until the machine has done what came before."""
    for _ in range(60):
        if not too_busy(os.getloadavg()[0] + QUIET, cores()):
            return
        time.sleep(10)


def main() -> None:
    """Run the benchmarks that are named, then write all results into the docs."""
    measured_here = [name for name in SECTIONS if name not in ELSEWHERE]
    names = sys.argv[1:] or measured_here
    for name in names:
        if name not in measured_here:
            known = ", ".join([*measured_here, *(f"`{word}`" for word in ELSEWHERE.values())])
            raise SystemExit(f"no benchmark {name!r}; there are {known}")
        wait_until_quiet()
        subprocess.run([interpreter(name), Path(__file__).parent / f"{name}.py"], check=True)
    docs = ROOT / "docs"
    (docs / "benchmarks.md").write_text(benchmarks_page(), encoding="utf-8")
    experiments = docs / "experiments.md"
    text = experiments.read_text(encoding="utf-8")
    experiments.write_text(with_experiments(text), encoding="utf-8")
    fill_pages()


if __name__ == "__main__":
    main()
