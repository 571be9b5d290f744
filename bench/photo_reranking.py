"""Re-ranking by the photos: patches and geometric verification, beside the ranking by vectors.

Runs on the sample data, on made prints, and on the challenge's open development photos where they
are at hand: log that in docs/devset-log.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring import REAL, ROOT, SAMPLE, finish, table

from shoplens import Box, Photo, PhotoSet, embed, evaluate, load_encoder, rank, read_dataset, rerank
from shoplens.datasets.dataset import Dataset
from shoplens.evaluation.comparison import paired_difference
from shoplens.evaluation.scores import judge

sys.path.insert(0, str(ROOT / "tests"))
from made_prints import cover, shot

METRIC = "map@1000"
CHAINS = ("none", "patches", "verify")
CHOSEN_ON = 200
"""Queries of the development set that the form and the weight of `patches` were chosen on."""
PRINTS = 40


def measured(dataset: Dataset, left_out: npt.NDArray[np.intp] | None = None) -> dict[str, Any]:
    """Return what each chain does on a test set, and on the queries that no choice was made on."""
    encoder = load_encoder()
    gallery, queries = embed(dataset.gallery, encoder), embed(dataset.queries, encoder)
    ranking = rank(queries, gallery)
    groups = judge(ranking, dataset).groups
    held_out = np.ones(len(dataset.queries), dtype=np.bool_)
    if left_out is not None:
        held_out[left_out] = False
    chains: dict[str, Any] = {}
    before: npt.NDArray[np.float64] | None = None
    for chain in CHAINS:
        started = time.perf_counter()
        scores = evaluate(rerank(ranking, queries, gallery, chain), dataset, metrics=(METRIC,))
        seconds = time.perf_counter() - started
        value, per_query = scores[METRIC], scores.per_query[METRIC]
        told: dict[str, Any] = {
            METRIC: {"value": value.value, "low": value.low, "high": value.high},
            "seconds_a_query": seconds / len(dataset.queries),
        }
        if before is None:
            before = per_query
        else:
            told["gain"] = gain(per_query, before, groups)
            if left_out is not None:
                told["held_out_gain"] = gain(
                    per_query[held_out], before[held_out], groups[held_out]
                )
        chains[chain] = told
    return {"n_queries": len(queries), "n_gallery": len(gallery), "chains": chains}


def gain(after: Any, before: Any, groups: Any) -> dict[str, float]:
    """Return the paired difference of two chains."""
    found = paired_difference(after, before, groups)
    return {"value": found.value, "low": found.low, "high": found.high}


def prints(folder: Path) -> Dataset:
    """Make prints, and photos of each under a random perspective in front of clutter."""
    sold, asked = [], []
    for number in range(PRINTS):
        cover(number).save(folder / f"{number}.png")
        taken = shot(cover(number), 1000 + number, tilt=0.08)
        taken.image.save(folder / f"q{number}.png")
        path, product = folder / f"{number}.png", str(number)
        sold.append(Photo(number, path.name, path, "seller", product_id=product))
        path = folder / f"q{number}.png"
        photo = Photo(number, path.name, path, "user", product_id=product)
        asked.append(replace(photo, box=Box(*map(float, taken.box))))
    return Dataset(folder, PhotoSet(sold), PhotoSet(asked))


def interval(value: dict[str, float] | None, form: str) -> str:
    """Return a value with its interval."""
    if value is None:
        return ""
    return f"{value['value']:{form}} ({value['low']:{form}} .. {value['high']:{form}})"


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the lines of a test set's table."""
    return [
        [
            f"`{chain}`",
            interval(told[METRIC], ".3f"),
            interval(told.get("gain"), "+.3f"),
            interval(told.get("held_out_gain"), "+.3f"),
            f"{told['seconds_a_query']:.2f}" if chain != "none" else "",
        ]
        for chain, told in result["chains"].items()
    ]


def main() -> None:
    """Measure, print, write."""
    header = [
        "chain",
        "mAP@1000",
        "gain",
        "gain on queries that had no part in a choice",
        "s a query",
    ]
    results, texts = {}, []
    with tempfile.TemporaryDirectory() as folder:
        sets = {
            "challenge, open development set": (REAL, CHOSEN_ON),
            "sample furniture": (SAMPLE, 0),
            "made prints": (Path(folder), 0),
        }
        for name, (place, n_chosen) in sets.items():
            if name == "made prints":
                dataset = prints(place)
            elif (place / "gallery.csv").is_file():
                dataset = read_dataset(place)
            else:
                print(f"{name}: not at {place}, left out", file=sys.stderr)
                continue
            drawn = np.random.default_rng(0).permutation(len(dataset.queries))[:n_chosen]
            result = results[name] = measured(dataset, drawn if n_chosen else None)
            title = f"{name}: {result['n_queries']} queries, {result['n_gallery']} gallery photos"
            texts.append(f"{title[0].upper()}{title[1:]}.\n\n{table(header, rows(result))}")
    command = "python3 make.py bench photo_reranking"
    finish("photo_reranking", command, {"sets": results}, "\n\n".join(texts))


if __name__ == "__main__":
    main()
