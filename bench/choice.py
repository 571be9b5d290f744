"""Accuracy against milliseconds: each network that could ship, at each size, with the same head.

    python3 make.py choice --tables FOLDER

ImageNet's Lite0, Lite1 and Lite2, and the built-in model's network; pooled features, a head fitted
to our photos as the built-in model's is, centres, 512 components. One machine, one run; inference
is timed in turn. `--tables` is the folder that scripts/build_model.py takes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from measuring import REAL, ROOT, SAMPLE, finish, interleaved, table
from reach import Fitted, Labelled, components, score
from torch import Tensor

from shoplens.cores import usable_cores
from shoplens.parallel import parallel_map
from shoplens.pixels.crops import crop
from shoplens.pixels.decoding import decode, read_bytes
from shoplens.records import Domain
from shoplens.training.backbones import Backbone, load_backbone
from shoplens.training.config import Holdout, SourceConfig
from shoplens.training.config import NetworkConfig as NetworkSettings
from shoplens.training.fitted import Group
from shoplens.training.network import Network
from shoplens.training.photos import Product, TrainingPhoto, read_products, split
from shoplens.training.teacher import Pooled
from shoplens.training.tracing import Traced
from shoplens.training.validation import spread_out

PLOT = ROOT / "docs" / "images" / "choice.png"
NETWORKS = {
    "Lite0": "imagenet:lite0",
    "Lite1": "imagenet:lite1",
    "Lite2": "imagenet:lite2",
    "built-in": "builtin:lite0-products",
}
SIZES = (192, 256, 320, 384)
MIRRORED = (("Lite2", 256), ("built-in", 256))
"""Shown the mirror image as well: two views for the price of a larger one."""
FITTED = 250
"""Photos of a source and domain, at most, that heads are fitted to."""
TIMED = 24
DOMAINS: tuple[Domain, ...] = ("user", "seller")


@dataclass(frozen=True)
class Choice:
    """A row of the table."""

    network: str
    size: int
    mirrored: bool = False

    @property
    def label(self) -> str:
        """As the table names it."""
        return f"{self.network}, two views" if self.mirrored else self.network


class Extractor:
    """Pooled features of photos at one size."""

    def __init__(self, choice: Choice) -> None:
        self.backbone: Backbone = load_backbone(NETWORKS[choice.network])
        network = Network(self.backbone, NetworkSettings(frozen_stages=0))
        self.graph = Traced(Pooled(network.eval()), choice.size)
        self.choice = choice

    def row(self, photo: TrainingPhoto) -> np.ndarray:
        """Return the mean of a photo's views, of unit length."""
        size = self.choice.size
        decoded = decode(read_bytes(photo.path), box=photo.box, target=size)
        colour = self.backbone.pad_colour
        view = crop(decoded, size=size, fit=self.backbone.fit, pad_colour=colour)
        views = [view, np.ascontiguousarray(view[:, ::-1])] if self.choice.mirrored else [view]
        mean: np.ndarray = np.concatenate([self.graph(each[None]) for each in views]).mean(axis=0)
        return mean / np.linalg.norm(mean)

    def of(self, products: Sequence[Product], most: int | None = None) -> dict[Group, Tensor]:
        """Return (n, channels) features by source and domain, in the order of `Labelled`."""
        groups: dict[Group, Tensor] = {}
        for source in sorted({product.source for product in products}):
            own = [product for product in products if product.source == source]
            for domain in DOMAINS:
                photos = [photo for product in own for photo in product.taken_by(domain)]
                photos = photos if most is None else spread_out(photos, most)
                if photos:
                    rows = np.stack(list(parallel_map(self.row, photos)))
                    groups[source, domain] = torch.from_numpy(rows)
        return groups

    def seconds(self) -> float:
        """Return core seconds a photo of inference, one call a core."""
        size, n = self.choice.size, TIMED * (1 + self.choice.mirrored)
        pixels = np.random.default_rng(0).integers(256, size=(1, size, size, 3), dtype=np.uint8)
        started = time.perf_counter()
        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(lambda _: self.graph(pixels), range(n)))
        return usable_cores() * (time.perf_counter() - started) / TIMED


def main() -> None:
    """Embed, fit, score, time, draw, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    tables = parser.parse_args().tables
    real = tables / "train-photos" / "train.csv"
    grocery = read_products([SourceConfig(table=real, sources=("grocery",), max_per_product=20)])
    others = [
        SourceConfig(table=real, sources=("clothing",)),
        SourceConfig(table=tables / "renders" / "train.csv", max_per_product=3),
    ]
    trained, _ = split([*grocery, *read_products(others)], Holdout())
    whole = read_products([SourceConfig(table=real, sources=("grocery",))])
    known, kept_out = split(whole, Holdout())
    # Of groceries, products kept out are searched for among the seller pictures of all.
    pictures = [replace(product, photos=product.taken_by("seller")) for product in known]
    sample, market = (read_products([SourceConfig(table=folder)]) for folder in (SAMPLE, REAL))
    sets = {
        "groceries": ([*kept_out, *pictures], keys_of(kept_out)),
        "renders": (sample, keys_of(sample)),
        "development": (market, keys_of(market)),
    }
    choices = [Choice(network, size) for network in NETWORKS for size in SIZES]
    choices += [Choice(network, size, mirrored=True) for network, size in MIRRORED]
    extractors = {choice: Extractor(choice) for choice in choices}
    rows: list[dict[str, Any]] = []
    for choice, extractor in extractors.items():
        fitted: Fitted = components(extractor.of(trained, FITTED), {})
        scores = {
            name: score(fitted, Labelled(found, extractor.of(found)), searched)
            for name, (found, searched) in sets.items()
        }
        rows.append({"label": choice.label, "size": choice.size, "scores": scores})
        print(rows[-1], flush=True)
    names = {f"{c.label} {c.size}": extractor for c, extractor in extractors.items()}
    costs = interleaved({name: extractor.seconds for name, extractor in names.items()})
    for row, cost in zip(rows, costs.values(), strict=True):
        row["core_ms"] = 1000 * cost["median"]
    plot(rows)
    header = ["network", "px", "core ms a photo", "groceries", "renders", "open development set"]
    text = table(
        header,
        [
            [
                r["label"],
                r["size"],
                f"{r['core_ms']:.0f}",
                *(f"{s:.3f}" for s in r["scores"].values()),
            ]
            for r in rows
        ],
    )
    text += "\n\n![Accuracy by cost](images/choice.png)"
    finish("choice", "python3 make.py choice --tables FOLDER", {"rows": rows}, text)


def keys_of(products: Sequence[Product]) -> list[str]:
    """Return the keys of products."""
    return [product.key for product in products]


def plot(rows: Sequence[dict[str, Any]]) -> None:
    """Draw accuracy on the development set against core milliseconds, a line for each network."""
    figure = Figure(figsize=(7.2, 4.4), dpi=130, layout="constrained")
    axes = figure.subplots()
    colours = ("#56b4e9", "#009e73", "#0072b2", "#d55e00")
    for network, colour in zip(NETWORKS, colours, strict=True):
        for label, mark, line in ((network, "o", "-"), (f"{network}, two views", "*", "")):
            own = [row for row in rows if row["label"] == label]
            costs = [row["core_ms"] for row in own]
            values = [row["scores"]["development"] for row in own]
            if own:
                axes.plot(costs, values, color=colour, marker=mark, linestyle=line, label=label)
            for row, cost, value in zip(own, costs, values, strict=True):
                offset = (5, -11)
                axes.annotate(
                    str(row["size"]), (cost, value), offset, textcoords="offset points", fontsize=8
                )
    axes.set_xlabel("core milliseconds a photo, inference alone")
    axes.set_ylabel("mAP@1000, open development set")
    axes.set_title("Networks at 192 to 384 px, the same head")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    figure.savefig(PLOT)


if __name__ == "__main__":
    main()
