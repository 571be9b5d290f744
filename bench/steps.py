"""What each step towards the built-in model gained: models side by side, and a plot of the choice.

    python3 make.py steps --tables FOLDER

Every step is a training configuration in examples/training/steps; `--tables` is the folder that
scripts/build_model.py takes. Steps whose model is not in build/steps yet are trained and exported
first; the others, and the built-in models, are only measured. `--only NAME` measures some steps,
named by configuration or built-in model, and keeps the other rows of the last result.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from measuring import REAL, RESULTS, ROOT, SAMPLE, finish, interleaved, table

from shoplens import Dataset, embed, evaluate, load_encoder, rank, read_dataset
from shoplens.cores import usable_cores
from shoplens.models import BASE_MODEL, Encoder
from shoplens.records import Photo, PhotoSet
from shoplens.training.config import Holdout, SourceConfig
from shoplens.training.photos import Product, read_products, split

CONFIGS = ROOT / "examples" / "training" / "steps"
MODELS = ROOT / "build" / "steps"
BUILTIN = ROOT / "src" / "shoplens" / "models" / "builtin"
PLOT = ROOT / "docs" / "images" / "accuracy-by-cost.png"
PHOTOS = 24


@dataclass(frozen=True)
class Step:
    """A row of the table."""

    label: str
    config: str
    """Name of its configuration, or of the built-in model."""
    input_size: int

    @property
    def shipped(self) -> bool:
        """Whether it is one of the built-in models."""
        return self.config.startswith(BASE_MODEL)

    @property
    def model(self) -> Path:
        """Where its model folder is."""
        if self.shipped:
            return BUILTIN / self.config
        return MODELS / f"{self.config}-{self.input_size}-fp32"


STEPS = (
    Step("ImageNet Lite2, mean pooling, 512 components", "imagenet", 260),
    Step("GeM pooling, each domain centred", "gem-centred", 260),
    Step("head partly whitened on real photos", "head", 260),
    Step("head fitted on renders as well", "head-renders", 260),
    Step("at 320 px", "head-320", 320),
    Step("at 384 px", "head-384", 384),
    Step("row 4, late stages tuned for 60 steps on augmented views", "late-stages", 256),
    Step("row 7 without augmentation: on the photos as they are", "late-stages-plain", 256),
    Step("row 7 with attention pooling", "attention", 256),
    Step("row 7, every stage tuned (end to end)", "all-stages", 256),
    Step("row 7 for 100 steps, a greedy soup of four epochs", "soup", 256),
    Step(
        "row 8 for 240 steps of twice the products, head of row 6, float16 "
        "(lite2-products, shipped until 2026-11-29)",
        "lite2-products",
        384,
    ),
    Step("row 12 with Lite0, trained at 320 px: lite0-products", BASE_MODEL, 384),
    Step("the same in int8: lite0-products-int8", f"{BASE_MODEL}-int8", 384),
    Step("Lite1 at 320 px", "lite1-320", 320),
)


def prepare(step: Step, tables: Path) -> None:
    """Train and export a step's model where it is not there."""
    if step.model.is_dir():
        return
    run = MODELS / "runs" / step.config
    shoplens = (sys.executable, "-m", "shoplens")
    if not (run / "model.pt").is_file():
        config = CONFIGS / f"{step.config}.yaml"
        command = ("train", config, "-o", run, "--tables", tables, "--resume")
        subprocess.run([*shoplens, *map(str, command)], check=True)
    command = (
        "export", run, "-o", step.model, "--precision", "fp32",
        "--input-size", str(step.input_size), "--photos", SAMPLE,
    )  # fmt: skip
    subprocess.run([*shoplens, *map(str, command)], check=True)


def grocery(tables: Path) -> Dataset:
    """Return the grocery products kept out of training, among all seller pictures of groceries."""
    source = SourceConfig(table=tables / "train-photos" / "train.csv", sources=("grocery",))
    products = read_products([source])
    _, held_out = split(products, Holdout())

    def photos(of: list[Product], domain: str) -> PhotoSet:
        chosen = [(p, product.key) for product in of for p in product.photos if p.domain == domain]
        return PhotoSet(
            [
                Photo(row, photo.name, photo.path, photo.domain, product_id=key)
                for row, (photo, key) in enumerate(chosen)
            ]
        )

    return Dataset(tables, photos(products, "seller"), photos(held_out, "user"))


def speed(encoder: Encoder) -> float:
    """Return photos/s of the model alone, one call a core."""
    size = encoder.recipe.input_size
    pixels = np.random.default_rng(0).integers(256, size=(1, size, size, 3), dtype=np.uint8)
    started = time.perf_counter()
    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(lambda _: encoder.encode(pixels, ["user"]), range(PHOTOS)))
    return PHOTOS / (time.perf_counter() - started)


def plot(rows: list[dict[str, Any]]) -> None:
    """Draw accuracy on the development set against milliseconds a photo."""
    figure = Figure(figsize=(7.2, 4.4), dpi=130, layout="constrained")
    axes = figure.subplots()
    for row in rows:
        cost = 1000 * usable_cores() / row["photos_per_second"]
        score = row["scores"]["development"]
        colour, mark = ("#d55e00", "D") if row["shipped"] else ("#0072b2", "o")
        axes.errorbar(
            cost, score["value"],
            yerr=[[score["value"] - score["low"]], [score["high"] - score["value"]]],
            color=colour, marker=mark, linestyle="", elinewidth=0.6, alpha=0.9,
        )  # fmt: skip
        axes.annotate(
            str(row["number"]), (cost, score["value"]), (5, 4), textcoords="offset points"
        )
    axes.set_xlabel("core milliseconds a photo, model alone")
    axes.set_ylabel("mAP@1000, open development set")
    axes.set_title("Numbers are rows of the table; diamonds ship; bars are 95 % intervals")
    axes.grid(alpha=0.3)
    figure.savefig(PLOT)


def main() -> None:
    """Prepare, measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices={s.config for s in STEPS})
    arguments = parser.parse_args()
    tables: Path = arguments.tables
    steps = [s for s in STEPS if arguments.only is None or s.config in arguments.only]
    kept = {row["label"]: row for row in last_rows()} if arguments.only else {}
    MODELS.mkdir(parents=True, exist_ok=True)
    for step in steps:
        prepare(step, tables)
    sets = {
        "grocery": grocery(tables),
        "renders": read_dataset(SAMPLE),
        "development": read_dataset(REAL),
    }
    encoders = {step: load_encoder(step.model) for step in steps}
    speeds = interleaved({s.label: lambda e=e: speed(e) for s, e in encoders.items()})
    for step, encoder in encoders.items():
        scores = {}
        for name, dataset in sets.items():
            ranking = rank(
                *(embed(side, encoder, cache=False) for side in (dataset.queries, dataset.gallery))
            )
            best = evaluate(ranking, dataset)["map@1000"]
            scores[name] = {"value": best.value, "low": best.low, "high": best.high}
        kept[step.label] = {
            "label": step.label,
            "shipped": step.shipped,
            "dimension": encoder.dimension,
            "input_size": step.input_size,
            "photos_per_second": speeds[step.label]["median"],
            "megabytes": (step.model / "model.onnx").stat().st_size / 1e6,
            "scores": scores,
            "measured": time.strftime("%Y-%m-%d %H:%M"),
        }
    rows: list[dict[str, Any]] = [kept[step.label] for step in STEPS if step.label in kept]
    for number, row in enumerate(rows, start=1):
        row["number"] = number
    plot(rows)
    header = ["", "step", "px", "grocery", "renders", "open development set", "photos/s", "MB"]
    text = table([*header, "run"], [line(row) for row in rows])
    text += "\n\n![Accuracy by cost](images/accuracy-by-cost.png)"
    finish("steps", "python3 make.py steps --tables FOLDER", {"steps": rows}, text)


def last_rows() -> list[dict[str, Any]]:
    """Return the rows of the last result."""
    file = RESULTS / "steps.json"
    rows: list[dict[str, Any]] = []
    if file.is_file():
        rows = json.loads(file.read_text(encoding="utf-8"))["steps"]
    return rows


def line(row: dict[str, Any]) -> list[str]:
    """Return a row of the table as it is printed."""
    scores = [
        f"{score['value']:.3f} ({score['low']:.3f} .. {score['high']:.3f})"
        for score in row["scores"].values()
    ]
    label = f"**{row['label']}**" if row["shipped"] else row["label"]
    return [
        str(row["number"]), label, str(row["input_size"]), *scores,
        f"{row['photos_per_second']:.0f}", f"{row['megabytes']:.1f}",
        row.get("measured", "earlier"),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
