"""How far confidences can be trusted, what `no_match` keeps, and which product score is best.

Runs on the sample data, and on the challenge's open development photos where they are at hand: log
that in docs/devset-log.md. Everything is fitted and measured on different products.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
from measuring import REAL, SAMPLE, finish, table

from shoplens import PhotoSet, embed, load_encoder, rank, read_dataset
from shoplens.confidence.evidence import FEATURES
from shoplens.confidence.fitting import Method, folds_by_product, held_out_probabilities
from shoplens.confidence.measuring import Searches, calibration_error, log_loss
from shoplens.confidence.samples import Samples, searched_samples
from shoplens.confidence.searched import Searched, search_labelled
from shoplens.datasets.dataset import Dataset
from shoplens.evaluation.comparison import paired_difference
from shoplens.evaluation.scores import evaluate, judge
from shoplens.products.ranking import rank_products
from shoplens.products.scores import ProductScore
from shoplens.products.temperature import fit_temperature
from shoplens.ranking import Ranking
from shoplens.reranking import parse_chain
from shoplens.vectors.embeddings import Embeddings

DRAWS = 1000
RATES = (0.01, 0.05, 0.1)
PARTS = {
    "similarity alone": ("similarity",),
    "and the lead over the next product": ("similarity", "lead", "lag"),
    "and the contrast to other photos": ("similarity", "lead", "lag", "contrast"),
    "all, with agreement": FEATURES,
}
"""By name, the columns of the evidence that are used."""
CHAIN = "product-score"
"""What re-ranks searches, beside those that are not re-ranked."""
SCORES = ("best", "mean2", "mean3", "logsum")
METRICS = ("hit@1:product", "mrr:product", "map@1000")
BY_PRODUCT = "mrr:product"


def only(samples: Samples, columns: tuple[str, ...]) -> Samples:
    """Return samples whose other columns say nothing."""
    kept = np.array([name in columns for name in FEATURES])
    return replace(samples, features=np.where(kept, samples.features, 0.0))


def interval(samples: Samples, said: np.ndarray, first: np.ndarray) -> list[float]:
    """Return the 95 % interval of the ECE, by drawing products."""
    group = np.unique(samples.group[first], return_inverse=True)[1]
    generator = np.random.default_rng(0)
    n = int(group.max()) + 1
    found = []
    for _ in range(DRAWS):
        times = np.bincount(generator.integers(n, size=n), minlength=n)[group].astype(float)
        found.append(calibration_error(said[first], samples.truth[first], times))
    return [float(value) for value in np.percentile(found, [2.5, 97.5])]


def judged(samples: Samples, method: Method, absent: float) -> dict[str, Any]:
    """Return what confidences are worth on products that had no part in their fit."""
    weights = np.where(samples.is_open, absent, 1 - absent)
    folds = folds_by_product(samples)
    said = held_out_probabilities(samples, weights, method, folds)
    first = (samples.place == 0) & (weights > 0)
    searches = Searches.of(samples, said, folds)
    decided = {str(rate): searches.decided(rate) for rate in RATES}
    low, high = interval(samples, said, first)
    return {
        "right": float(np.average(samples.truth[first], weights=weights[first])),
        "ece": {
            "value": calibration_error(said[first], samples.truth[first], weights[first]),
            "low": low,
            "high": high,
        },
        "log_loss": log_loss(said[first], samples.truth[first], weights[first]),
        "decided": {
            rate: {"false_accepts": accepted, "true_matches_kept": kept}
            for rate, (accepted, kept) in decided.items()
        },
    }


def logsum_ranking(ranking: Ranking, searched: Searched, gallery: PhotoSet) -> Ranking:
    """Order each half of the products by the temperature that was learned on the other."""
    products = searched.query_products
    half = np.random.default_rng(0).permutation(products.max() + 1)[products] % 2 == 0
    ids, scores = ranking.ids.copy(), searched.scores.copy()
    for own in (half, ~half):
        temperature = fit_temperature(
            replace(ranking, ids=ranking.ids[~own], scores=searched.scores[~own],
                    query_ids=ranking.query_ids[~own]),
            searched.products[~own],
            products[~own],
        )  # fmt: skip
        ordered = rank_products(ranking, gallery, ProductScore("logsum", temperature))
        assert ordered.scores is not None
        ids[own], scores[own] = ordered.ids[own], ordered.scores[own]
    return replace(ranking, ids=ids, scores=scores)


def by_product(
    dataset: Dataset, queries: Embeddings, gallery: Embeddings, searched: Searched
) -> dict[str, Any]:
    """Return what each product score does to the order of products, beside that of best photos."""
    photos = rank(queries, gallery)
    groups = judge(photos, dataset).groups
    scores = {}
    for name in SCORES:
        if name == "logsum":
            ordered = logsum_ranking(photos, searched, dataset.gallery)
        else:
            ordered = rank_products(photos, dataset.gallery, ProductScore.parse(name))
        scores[name] = evaluate(ordered, dataset, metrics=METRICS)
    found: dict[str, Any] = {}
    for name, own in scores.items():
        gain = paired_difference(
            own.per_query[BY_PRODUCT], scores["best"].per_query[BY_PRODUCT], groups
        )
        found[name] = {
            **{
                metric: {"value": e.value, "low": e.low, "high": e.high}
                for metric, e in own.items()
            },
            "gain": {"value": gain.value, "low": gain.low, "high": gain.high, "p": gain.p_value},
        }
    plain = evaluate(photos, dataset, metrics=METRICS)
    found["photos as they are"] = {
        metric: {"value": e.value, "low": e.low, "high": e.high} for metric, e in plain.items()
    }
    return found


def measured(dataset: Dataset) -> dict[str, Any]:
    """Return what is measured on a test set."""
    encoder = load_encoder()
    queries, gallery = embed(dataset.queries, encoder), embed(dataset.gallery, encoder)
    searched = search_labelled(queries, gallery)
    samples = searched_samples(searched, dataset.gallery, None)
    reranked = search_labelled(queries, gallery, parse_chain(CHAIN))
    return {
        "n_queries": len(dataset.queries),
        "n_products": len(np.unique(samples.group)),
        "n_gallery": len(dataset.gallery),
        "parts": {
            name: judged(only(samples, columns), "logistic", 0.0) for name, columns in PARTS.items()
        },
        "isotonic": judged(samples, "isotonic", 0.0),
        "half absent": judged(samples, "logistic", 0.5),
        "re-ranked": judged(searched_samples(reranked, dataset.gallery, None), "logistic", 0.0),
        "products": by_product(dataset, queries, gallery, searched),
    }


def _ece(result: dict[str, Any]) -> str:
    ece = result["ece"]
    return f"{ece['value']:.3f} ({ece['low']:.3f} .. {ece['high']:.3f})"


def _kept(result: dict[str, Any], rate: float) -> str:
    decided = result["decided"][str(rate)]
    return f"{decided['true_matches_kept']:.2f} ({100 * decided['false_accepts']:.1f} %)"


def confidence_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the lines of a test set's table of confidences."""
    ways = {
        **result["parts"],
        "all, isotonic": result["isotonic"],
        "all, half of the searches without the product": result["half absent"],
        f"all, re-ranked by {CHAIN}": result["re-ranked"],
    }
    return [
        [
            name,
            f"{way['right']:.3f}",
            _ece(way),
            f"{way['log_loss']:.3f}",
            *(_kept(way, rate) for rate in RATES),
        ]
        for name, way in ways.items()
    ]


def product_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the lines of a test set's table of product scores."""
    lines = []
    for name, way in result["products"].items():
        gain = way.get("gain")
        lines.append(
            [
                name,
                *(f"{way[metric]['value']:.3f}" for metric in METRICS),
                f"{gain['value']:+.3f} ({gain['low']:+.3f} .. {gain['high']:+.3f})" if gain else "",
            ]
        )
    return lines


def main() -> None:
    """Measure, print, write."""
    confidences = [
        "evidence", "first product right", "ECE", "log-loss",
        *(f"kept at {100 * rate:g} % false accepts (measured)" for rate in RATES),
    ]  # fmt: skip
    products = ["product score", *METRICS, f"{BY_PRODUCT}, gain over best"]
    results, texts = {}, []
    for name, folder in (("challenge, open development set", REAL), ("sample furniture", SAMPLE)):
        if not (folder / "gallery.csv").is_file():
            print(f"{name}: not at {folder}, left out", file=sys.stderr)
            continue
        result = results[name] = measured(read_dataset(folder))
        title = (
            f"{name[0].upper()}{name[1:]}: {result['n_queries']} queries of "
            f"{result['n_products']} products, {result['n_gallery']} gallery photos."
        )
        texts += [
            title,
            table(confidences, confidence_rows(result)),
            table(products, product_rows(result)),
        ]
    finish("confidence", "python3 make.py bench confidence", {"sets": results}, "\n\n".join(texts))


if __name__ == "__main__":
    main()
