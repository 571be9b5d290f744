"""What more photos would give: the head fitted to fewer and more products, and to the right ones.

    python3 make.py reach --tables FOLDER

The network stays as it is (ImageNet's weights, then the built-in model's); only the linear head is
fitted, by the method that made the built-in model (principal components, partly whitened) and,
beside it, by one that knows which photos show one product (within-class whitening). Fitted to what
may train the model (groceries, garments, renders), and, as a bound, to other products of the
marketplace itself. The latter never ship: the development set trains nothing that does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from measuring import REAL, ROOT, finish, table
from torch import Tensor
from torch.nn import functional

from shoplens.datasets.dataset import Dataset
from shoplens.evaluation.scores import evaluate
from shoplens.ranking import rank
from shoplens.records import Domain, Photo, PhotoSet
from shoplens.training.backbones import load_backbone
from shoplens.training.config import NetworkConfig as NetworkSettings
from shoplens.training.config import SourceConfig
from shoplens.training.fitted import Group, fit_centres, fit_head, pooled_features
from shoplens.training.network import Network
from shoplens.training.photo_views import EarlyStages
from shoplens.training.photos import Product, read_products
from shoplens.training.validation import PlainViews
from shoplens.vectors.embeddings import Embeddings

NETWORKS = {"ImageNet's": "imagenet:lite2", "built-in": "builtin:lite0-products"}
PLOT = ROOT / "docs" / "images" / "learning-curves.png"
SIZE = 384
DIMENSION = 512
WHITENING = 0.5
SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
HALVES = 5
"""Random halves of the marketplace's products, searched for; the others may be fitted to."""
SHRINKAGE = 0.5
"""How far the within-class covariance moves towards its mean eigenvalue."""


class Labelled:
    """Pooled features of products' photos, in rows that can be taken by product."""

    def __init__(self, products: Sequence[Product], features: dict[Group, Tensor]) -> None:
        self.features: dict[Group, Tensor] = features
        self.labels: dict[Group, np.ndarray] = {}
        sources = sorted({product.source for product in products})
        domains: tuple[Domain, ...] = ("user", "seller")
        for source in sources:
            own = [product for product in products if product.source == source]
            for domain in domains:
                keys = [product.key for product in own for _ in product.taken_by(domain)]
                if keys:
                    self.labels[source, domain] = np.array(keys)
        self.products = np.array(sorted({product.key for product in products}))

    def of(self, products: Sequence[str]) -> tuple[dict[Group, Tensor], dict[Group, np.ndarray]]:
        """Return the features of some products, and whose each row is."""
        chosen = {group: np.isin(keys, products) for group, keys in self.labels.items()}
        kept = {group: mask for group, mask in chosen.items() if mask.any()}
        return (
            {group: self.features[group][torch.from_numpy(mask)] for group, mask in kept.items()},
            {group: self.labels[group][mask] for group, mask in kept.items()},
        )


Fitted = Callable[[Tensor, Domain], Tensor]
"""From pooled features of a domain's photos to vectors."""


def components(features: dict[Group, Tensor], labels: dict[Group, np.ndarray]) -> Fitted:
    """Fit the head as the built-in model's is: whose photos they are plays no part."""
    backbone = load_backbone("imagenet:lite2", random_weights=True)
    network = Network(backbone, NetworkSettings(dimension=DIMENSION))
    # Fewer photos than components leave the rest of them as they are: nothing.
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.zeros_(network.head.bias)
    fit_head(network, features, WHITENING)
    centres = fit_centres(network, features)

    def vectors(rows: Tensor, domain: Domain) -> Tensor:
        unit = functional.normalize(network.head(rows))
        return functional.normalize(unit - torch.tensor(centres[domain]))

    return vectors


def within_class(features: dict[Group, Tensor], labels: dict[Group, np.ndarray]) -> Fitted:
    """Whiten what varies between photos of one product (Hatch et al., Interspeech 2006)."""
    domains: tuple[Domain, ...] = ("user", "seller")
    means = {
        domain: torch.stack(
            [rows.mean(0) for (_, d), rows in features.items() if d == domain]
        ).mean(0)
        for domain in domains
    }
    rows = torch.cat([functional.normalize(x - x.mean(0)) for x in features.values()])
    keys = np.concatenate([labels[group] for group in features])
    _, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), rows.shape[1]).index_add(0, torch.from_numpy(places), rows)
    apart = rows - (sums / torch.from_numpy(counts)[:, None])[torch.from_numpy(places)]
    covariance = (apart.T @ apart / len(apart)).double()
    level = covariance.diagonal().mean()
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * level * torch.eye(len(covariance))
    values, basis = torch.linalg.eigh(covariance)
    transform = (basis * values**-0.5 @ basis.T).float()

    def vectors(rows: Tensor, domain: Domain) -> Tensor:
        return functional.normalize(functional.normalize(rows - means[domain]) @ transform)

    return vectors


WAYS = {"components": components, "within-class": within_class}


def score(fitted: Fitted, market: Labelled, products: Sequence[str]) -> float:
    """Return mAP@1000 of searching for some products among all of the marketplace's photos."""
    name = market.products[0].rpartition(":")[0]
    sides = {}
    photos = {}
    for group, rows in market.features.items():
        keys, domain = market.labels[group], group[1]
        kept = np.isin(keys, products) if domain == "user" else np.ones(len(keys), dtype=bool)
        sides[domain] = fitted(rows[torch.from_numpy(kept)], domain).detach().numpy()
        photos[domain] = PhotoSet(
            [
                Photo(row, f"{name}{row}", Path(), domain, product_id=str(key))
                for row, key in enumerate(keys[kept])
            ]
        )
    queries, gallery = (Embeddings(photos[d].ids, sides[d]) for d in ("user", "seller"))
    dataset = Dataset(Path(), photos["seller"], photos["user"])
    return float(evaluate(rank(queries, gallery), dataset)["map@1000"].value)


def main() -> None:
    """Embed, fit, score, draw, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    tables = parser.parse_args().tables
    rows = [row for name in NETWORKS for row in curves(name, tables)]
    plot(rows)
    header = ["network", "fitted to", "head", "products", "mAP@1000, open development set"]
    text = table(
        [*header, "range of draws"],
        [
            [
                r["network"],
                r["data"],
                r["way"],
                r["products"],
                f"{r['mean']:.3f}",
                f"{r['low']:.3f} .. {r['high']:.3f}",
            ]
            for r in rows
        ],
    )
    text += "\n\n![Learning curves](images/learning-curves.png)"
    finish("reach", "python3 make.py reach --tables FOLDER", {"rows": rows}, text)


def curves(network_name: str, tables: Path) -> list[dict[str, Any]]:
    """Return the scores of heads on one network, by what they are fitted to and how much of it."""
    backbone = load_backbone(NETWORKS[network_name])
    network = Network(backbone, NetworkSettings(frozen_stages=9))
    early = EarlyStages(network, SIZE)
    plain = PlainViews(backbone, SIZE, ())

    def labelled(*sources: SourceConfig) -> Labelled:
        products = read_products(sources)
        sound = [p for p in products if all(x.problem is None for x in p.photos)]
        # Garments are many, a photo each: a fifth of them is as many as the model is fitted to.
        garments = [p for p in sound if p.source == "clothing"]
        sound = [p for p in sound if p.source != "clothing"] + garments[::5]
        features = pooled_features(network, sound, plain, early, most=10**9, progress=told)
        return Labelled(sound, features)

    real = tables / "train-photos" / "train.csv"
    ours = labelled(
        SourceConfig(table=real, sources=("grocery",), max_per_product=20),
        SourceConfig(table=real, sources=("clothing",)),
        SourceConfig(table=tables / "renders" / "train.csv", max_per_product=2),
    )
    market = labelled(SourceConfig(table=REAL))
    rows: list[dict[str, Any]] = []

    def keep(data: str, way: str, products: int, scores: Sequence[float]) -> None:
        rows.append(record(network_name, data, way, products, scores))

    for way, fit in WAYS.items():
        for share in SHARES:
            scores, n = [], round(share * len(ours.products))
            for draw in range(1 if share == 1 else HALVES):
                order = np.random.default_rng(draw).permutation(ours.products)
                scores.append(score(fit(*ours.of(order[:n])), market, market.products))
            keep("ours", way, n, scores)
        for share in SHARES[2:]:
            scores, fitted_scores, n = [], [], 0
            for draw in range(HALVES):
                order = np.random.default_rng(draw).permutation(market.products)
                half = len(order) // 2
                n = round(share * half)
                searched = order[half:]
                scores.append(score(fit(*market.of(order[:n])), market, searched))
                if share == 1:
                    fitted_scores.append(score(fit(*ours.of(ours.products)), market, searched))
            keep("marketplace", way, n, scores)
            if fitted_scores:
                keep("ours, the same searched for", way, len(ours.products), fitted_scores)
    return rows


def record(network: str, data: str, way: str, n: int, scores: Sequence[float]) -> dict[str, Any]:
    """Return a row of the table."""
    row = {
        "network": network, "data": data, "way": way, "products": n, "draws": len(scores),
        "mean": float(np.mean(scores)), "low": min(scores), "high": max(scores),
    }  # fmt: skip
    print(row, flush=True)
    return row


def told(stage: str, done: int, total: int) -> None:
    """Say how far the features have come."""
    if done == total or done % 1024 == 0:
        print(f"{stage}: {done:,} of {total:,}", flush=True)


def plot(rows: Sequence[dict[str, Any]]) -> None:
    """Draw scores by number of products, a panel for each network."""
    figure = Figure(figsize=(10.4, 4.4), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(NETWORKS), sharey=True)
    styles = {
        ("ours", "components"): ("#d55e00", "o", "our photos, components (as shipped)"),
        ("ours", "within-class"): ("#e69f00", "s", "our photos, within-class whitening"),
        ("marketplace", "components"): ("#0072b2", "o", "marketplace's other products, components"),
        ("marketplace", "within-class"): (
            "#56b4e9", "s", "marketplace's other products, within-class whitening",
        ),
    }  # fmt: skip
    for axes, network in zip(panels, NETWORKS, strict=True):
        for (data, way), (colour, mark, label) in styles.items():
            own = [r for r in rows if (r["network"], r["data"], r["way"]) == (network, data, way)]
            x = [r["products"] for r in own]
            axes.plot(x, [r["mean"] for r in own], color=colour, marker=mark, label=label)
            axes.fill_between(
                x, [r["low"] for r in own], [r["high"] for r in own], color=colour, alpha=0.15
            )
        axes.set_xscale("log")
        axes.set_xlabel("products that the head is fitted to")
        axes.set_title(f"{network} network")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mAP@1000, open development set")
    panels[1].legend(loc="lower right", fontsize="small")
    figure.savefig(PLOT)


if __name__ == "__main__":
    main()
