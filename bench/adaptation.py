"""Fitting a model to a shop: what `finetune` and `adapt` gain, and how long they take.

Runs on the sample data, and on the challenge's open development photos where they are at hand: log
that in docs/devset-log.md. There the photos stand for a user's own shop; nothing that is fitted to
them ships.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import REAL, SAMPLE, finish, table

from shoplens import embed, evaluate, rank, read_dataset
from shoplens.adaptation.adapting import adapt
from shoplens.adaptation.finetuning import finetune
from shoplens.adaptation.report import METRIC, Gain
from shoplens.datasets.dataset import Dataset
from shoplens.evaluation.formulas import PerQuery
from shoplens.evaluation.scores import judge
from shoplens.models import DEFAULT_MODEL, load_encoder
from shoplens.records import PhotoSet

SETS = (("challenge, open development set", REAL), ("sample furniture", SAMPLE))
N_USER_PHOTOS = 64
NO_FOLDER = {"output": None}
"""Where the model was says nothing to others."""


def scored(dataset: Dataset, model: str | Path) -> tuple[PerQuery, np.ndarray]:
    """Return the average precision of each query, and its product's number."""
    encoder = load_encoder(model)
    queries, gallery = (embed(photos, encoder) for photos in (dataset.queries, dataset.gallery))
    scores = evaluate(rank(queries, gallery), dataset, metrics=(METRIC,))
    return scores.per_query[METRIC], judge(scores.ranking, dataset).groups


def label_free(dataset: Dataset, folder: Path, users: PhotoSet | None) -> dict[str, Any]:
    """Return what `adapt` gains on the test set's queries, and what it reports itself."""
    output = folder / ("adapted" if users is None else "adapted-with-users")
    report = adapt(dataset.gallery, output, user_photos=users)
    values = report.to_json()
    values["reported"] = values.pop(METRIC)
    before, products = scored(dataset, DEFAULT_MODEL)
    after = scored(dataset, output)[0] if report.kept else before
    counted = ~np.isnan(before)
    gain = Gain.of(before[counted], after[counted], products[counted])
    return {**values, METRIC: gain.to_json(), "n_queries": int(counted.sum()), **NO_FOLDER}


def measured(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Return what each way does; each begins with an empty cache."""
    order = np.random.default_rng(0).permutation(len(dataset.queries))[:N_USER_PHOTOS]
    users = PhotoSet([dataset.queries[row] for row in order.tolist()])
    ways = {
        "finetune": lambda: {**finetune(dataset, folder / "finetuned").to_json(), **NO_FOLDER},
        "finetune --network": lambda: {
            **finetune(dataset, folder / "tuned", network=True).to_json(),
            **NO_FOLDER,
        },
        "adapt": lambda: label_free(dataset, folder, None),
        f"adapt, {N_USER_PHOTOS} users' photos": lambda: label_free(dataset, folder, users),
    }
    results = {}
    for name, way in ways.items():
        os.environ["SHOPLENS_CACHE"] = str(folder / f"cache of {name}")
        results[name] = way()
    return results


def main() -> None:
    """Fit, score, write."""
    results: dict[str, Any] = {}
    lines = []
    for name, path in SETS:
        if not (path / "gallery.csv").is_file():
            print(f"{name}: not at {path}, left out", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            results[name] = measured(read_dataset(path), Path(scratch))
        lines += [[name, command, *shown(report)] for command, report in results[name].items()]
    header = ["test set", "command", "model", "before", "after", "gain", "kept"]
    header += ["embed, s", "fit, s", "tune, s"]
    text = table(header, lines)
    finish("adaptation", "python3 make.py bench adaptation", {"sets": results}, text)


def shown(report: dict[str, Any]) -> list[str]:
    """Return the cells of a report."""
    score, network = report[METRIC], report["network"]
    seconds = report["seconds"]
    gain = difference(score)
    if network is not None:
        gain += f" [{difference(network[METRIC])}]"
    kept = "yes" if report["kept"] else "no"
    if report["kept"] and network is not None and not network["kept"]:
        kept = "the head"
    return [
        report["model"]["name"],
        f"{score['before']['value']:.3f}",
        f"{score['after']['value']:.3f}",
        gain,
        kept,
        f"{seconds['embed']:.0f}",
        f"{seconds['fit']:.0f}",
        f"{seconds['tune']:.0f}" if "tune" in seconds else "",
    ]


def difference(score: dict[str, Any]) -> str:
    """Return a gain and its interval."""
    gain = score["gain"]
    return f"{gain['value']:+.3f} ({gain['low']:+.3f} .. {gain['high']:+.3f})"


if __name__ == "__main__":
    main()
