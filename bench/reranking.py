"""Re-ranking: what each method gains, beside two reference chains, and what it costs.

Runs on the sample renders, and on the challenge's open development photos where they are at hand:
log that in docs/devset-log.md. `--one WAY Q N D` measures one way in a process of its own, and
prints JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from made_vectors import made_products, made_queries, made_vectors
from measuring import REAL, SAMPLE, added_mb, finish, peak_mb, table

from shoplens import Embeddings, PhotoSet, embed, evaluate, load_encoder, rank, read_dataset
from shoplens.catalog import Entry
from shoplens.catalog.reranked import reranked
from shoplens.choosing import chains, choose, pairs_of
from shoplens.datasets.dataset import Dataset
from shoplens.evaluation.comparison import paired_difference
from shoplens.evaluation.scores import judge
from shoplens.reranking import METHODS, Chain, Ranked, parse_chain

METRIC = "map@1000"
ONLINE, BATCH = "product-score", "csls+product-score"
"""The best chains of each class where products are known."""
ONLINE_WITHOUT, BATCH_WITHOUT = "dba", "csls"
"""Likewise where they are not."""
CENTRED, DENSE = "reference: centring, DBA, expansion", "reference: dense k-reciprocal"
AUTO, ALONE = "auto", "chosen on the gallery alone"
CHALLENGE = 14_000, 40_000, 512
SMALL = 1_500, 4_500, 512
"""As large as the dense reference can be on a small machine."""
CANDIDATES, ROUNDS = 1_000, 40

Vectors = npt.NDArray[np.float32]


def unit(vectors: npt.NDArray[Any]) -> Vectors:
    """Return the rows at unit length."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def centred_chain(ranked: Ranked) -> Ranked:
    """Reference (a): all vectors centred on the mean of queries and gallery; gallery vectors
    averaged with their neighbours, k = 5 with the photo itself, weights from 1 to 10^-1.5 evenly on
    a logarithmic scale; then the query averaged with its best photo, and again with the best two,
    each if the score is at most 0.05 below the best."""
    queries, gallery = ranked.queries.vectors, ranked.gallery.vectors
    mean = np.concatenate((queries, gallery)).mean(axis=0)
    queries, gallery = unit(queries - mean), unit(gallery - mean)
    order = np.argsort(-(gallery @ gallery.T), axis=1, kind="stable")[:, :5]
    weights = np.logspace(0, -1.5, order.shape[1])
    gallery = unit(np.einsum("k,nkd->nd", weights, gallery[order]))
    sides = (
        replace(ranked.queries, vectors=queries), replace(ranked.gallery, vectors=gallery)
    )  # fmt: skip
    return parse_chain("aqe:k=1,gap=0.05+aqe:k=2,gap=0.05").rerank(Ranked(rank(*sides), *sides))


def dense_scores(
    queries: Vectors, gallery: Vectors, k1: int = 20, k2: int = 6, lam: float = 0.3
) -> npt.NDArray[np.float32]:
    """Reference (b): k-reciprocal encoding with full matrices, as its authors' program has it:
    squared distances divided by each row's largest, encodings of sum 1, k2 with the photo."""
    pool = np.concatenate((queries, gallery))
    n = len(pool)
    distance = np.maximum(2 - 2 * (pool @ pool.T), 0)
    distance /= distance.max(axis=1, keepdims=True)
    order = np.argsort(distance, axis=1)
    encoding = np.zeros((n, n), dtype=np.float32)

    def reciprocal(x: int, k: int) -> npt.NDArray[np.intp]:
        forward = order[x, : k + 1]
        return forward[(order[forward, : k + 1] == x).any(axis=1)]

    for x in range(n):
        own = reciprocal(x, k1)
        members = own
        for other in own:
            more = reciprocal(other, round(k1 / 2))
            if len(np.intersect1d(more, own)) > 2 / 3 * len(more):
                members = np.append(members, more)
        members = np.unique(members)
        weights = np.exp(-distance[x, members])
        encoding[x, members] = weights / weights.sum()
    if k2 > 1:
        encoding = np.stack([encoding[order[x, :k2]].mean(axis=0) for x in range(n)])
    columns = [np.flatnonzero(encoding[:, column]) for column in range(n)]
    n_queries = len(queries)
    scores = np.empty((n_queries, len(gallery)), dtype=np.float32)
    for x in range(n_queries):
        shared = np.zeros(n, dtype=np.float32)
        for column in np.flatnonzero(encoding[x]):
            rows = columns[column]
            shared[rows] += np.minimum(encoding[x, column], encoding[rows, column])
        jaccard = 1 - shared / (2 - shared)
        scores[x] = 1 - ((1 - lam) * jaccard + lam * distance[x])[n_queries:]
    return scores


def dense_chain(ranked: Ranked) -> Ranked:
    """Rank by reference (b)."""
    scores = dense_scores(ranked.queries.vectors, ranked.gallery.vectors)
    return ranked.reordered(np.take_along_axis(scores, ranked.positions().astype(np.intp), axis=1))


def without_products(ranked: Ranked) -> Ranked:
    """Return the same as a challenge hands it out."""
    photos = ranked.gallery.photos
    assert photos is not None
    bare = PhotoSet(replace(photo, product_id=None) for photo in photos)
    return replace(ranked, gallery=replace(ranked.gallery, photos=bare))


class Measured:
    """A test set, its plain ranking, and what chains do to it."""

    def __init__(self, dataset: Dataset) -> None:
        encoder = load_encoder()
        self.dataset = dataset
        self.encoder = encoder
        queries, gallery = embed(dataset.queries, encoder), embed(dataset.gallery, encoder)
        self.plain = Ranked(rank(queries, gallery), queries, gallery)
        self.before = evaluate(self.plain.ranking, dataset, metrics=(METRIC,))
        self.groups = judge(self.plain.ranking, dataset).groups

    def gain(self, chain: Callable[[Ranked], Ranked]) -> dict[str, float]:
        """Return a chain's score, and its gain with a paired interval."""
        after = evaluate(chain(self.plain).ranking, self.dataset, metrics=(METRIC,))
        return self._told(after.per_query[METRIC])

    def auto(self, *, with_products: bool) -> dict[str, Any]:
        """Return what `auto` gains on products that had no part in its choice, labelled queries and
        gallery-side chains; and what it gains here if it chooses on the gallery alone."""
        tried = list(chains(with_products=with_products, batch_side=False))
        queries, gallery = self.plain.queries, self.plain.gallery
        choice = choose(queries, gallery, tried, seconds=600)
        gain = choice.gain
        found: dict[str, Any] = {
            "chain": str(choice.chain),
            "value": self.before[METRIC].value + gain.value,
            "gain": gain.value, "low": gain.low, "high": gain.high,
            "n_tried": len(choice.trials), "seconds": choice.seconds, "gallery_alone": {},
        }  # fmt: skip
        if with_products:
            made = pairs_of(gallery, self.encoder)
        else:
            made = pairs_of(without_products(self.plain).gallery, self.encoder)
        for batch_side, name in ((False, ALONE), (True, f"{ALONE}, batch-side methods too")):
            tried = list(chains(with_products=with_products, batch_side=batch_side))
            alone = choose(*made, tried, seconds=600)
            found["gallery_alone"][name] = {
                "chain": str(alone.chain), "batch_side": alone.chain.batch_side,
                **self.gain(alone.chain.rerank),
            }  # fmt: skip
        return found

    def _told(self, values: npt.NDArray[np.float64]) -> dict[str, float]:
        gain = paired_difference(values, self.before.per_query[METRIC], self.groups)
        return {
            "value": float(np.nanmean(values)),
            "gain": gain.value, "low": gain.low, "high": gain.high,
        }  # fmt: skip


def measured(dataset: Dataset) -> dict[str, Any]:
    """Return what each method, the best chains, `auto` and the references do on a test set."""
    on = Measured(dataset)
    ways: dict[str, dict[str, Any]] = {}
    methods = [Chain((method(),)) for method in METHODS if not method.reads_photos]
    best = [parse_chain(text) for text in (ONLINE_WITHOUT, BATCH_WITHOUT, ONLINE, BATCH)]
    for chain in [*methods, *best]:
        ways[str(chain)] = {
            **on.gain(chain.rerank),
            "batch_side": chain.batch_side,
            "products": any(step.name.startswith("product-") for step in chain.steps),
        }
    for name, with_products in ((AUTO, False), (f"{AUTO}, products known", True)):
        ways[name] = {
            **on.auto(with_products=with_products), "batch_side": False, "products": with_products
        }  # fmt: skip
    for name, way in ((CENTRED, centred_chain), (DENSE, dense_chain)):
        ways[name] = {**on.gain(way), "batch_side": True, "products": False}
    return {
        "n_queries": len(dataset.queries),
        "n_gallery": len(dataset.gallery),
        "plain": on.before[METRIC].value,
        "ways": ways,
    }


def one(way: str, n_queries: int, n: int, d: int) -> dict[str, float]:
    """Re-rank made vectors in this process; return seconds, and the memory that it took at its peak
    beside vectors and ranking."""
    gallery = Embeddings(np.arange(n, dtype=np.int32), made_vectors(n, d))
    asked = made_queries(n_queries, n, d)
    queries = Embeddings(np.arange(n_queries, dtype=np.int32), asked)
    if way == DENSE:

        def work() -> None:
            dense_scores(queries.vectors, gallery.vectors)

    else:
        # Neighbours and scores, but for the order of all of them, which exact ranking would take
        # long for: what is measured is re-ranking.
        ranked = Ranked(rank(queries, gallery), queries, gallery)

        def work() -> None:
            parse_chain(way).rerank(ranked)

    started = time.perf_counter()
    added = added_mb(work)
    return {"seconds": time.perf_counter() - started, "added_mb": added, "peak_mb": peak_mb()}


def in_process(way: str, shape: tuple[int, int, int]) -> dict[str, float]:
    """Return what `one` measures in a fresh process."""
    command = [sys.executable, __file__, "--one", way, *map(str, shape)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def online_ms() -> dict[str, float]:
    """Return milliseconds that chains add to a search in a catalogue, 1,000 candidates of it."""
    vectors = made_vectors(CANDIDATES, 512)
    products = made_products(CANDIDATES)
    entries = [
        Entry(row, vector, product_id=f"p{products[row]}") for row, vector in enumerate(vectors)
    ]
    queries = made_queries(ROUNDS, CANDIDATES, 512)
    alone = [method.name for method in METHODS if not (method.batch_side or method.reads_photos)]
    times: dict[str, list[float]] = {}
    for query in queries:
        scores = vectors @ query
        order = np.argsort(-scores)
        found = [(entries[row], float(scores[row])) for row in order]
        for text in (*alone, f"alpha-qe+{ONLINE}"):
            started = time.perf_counter()
            reranked(found, query, None, parse_chain(text))
            times.setdefault(text, []).append(1e3 * (time.perf_counter() - started))
    return {text: median(values) for text, values in times.items()}


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the lines of a test set's table."""
    lines = [["plain ranking", "", "", f"{result['plain']:.3f}", ""]]
    for name, way in result["ways"].items():
        lines.append(
            [
                f"{name}: {way['chain']}" if "chain" in way else name,
                "batch" if way["batch_side"] else "gallery",
                "yes" if way["products"] else "",
                f"{way['value']:.3f}",
                f"{way['gain']:+.3f} ({way['low']:+.3f} .. {way['high']:+.3f})",
            ]
        )
        for how, alone in way.get("gallery_alone", {}).items():
            lines.append(
                [
                    f"{name}, {how}: {alone['chain']}",
                    "batch" if alone["batch_side"] else "gallery",
                    "yes" if way["products"] else "",
                    f"{alone['value']:.3f}",
                    f"{alone['gain']:+.3f} ({alone['low']:+.3f} .. {alone['high']:+.3f})",
                ]
            )
    return lines


def main() -> None:
    """Measure, print, write."""
    if sys.argv[1:2] == ["--one"]:
        way, *shape = sys.argv[2:]
        print(json.dumps(one(way, *map(int, shape))))
        return
    results, texts = {}, []
    for name, folder in (("challenge, open development set", REAL), ("sample furniture", SAMPLE)):
        if not (folder / "gallery.csv").is_file():
            print(f"{name}: not at {folder}, left out", file=sys.stderr)
            continue
        result = results[name] = measured(read_dataset(folder))
        title = f"{name}: {result['n_queries']} queries, {result['n_gallery']} gallery photos"
        header = ["chain", "class", "products known", "mAP@1000", "gain"]
        texts.append(f"{title[0].upper()}{title[1:]}.\n\n{table(header, rows(result))}")
    costs = {
        "k-reciprocal, sparse": {
            shape: in_process("k-reciprocal", shape) for shape in (SMALL, CHALLENGE)
        },
        DENSE: {SMALL: in_process(DENSE, SMALL)},
    }
    texts.append(
        table(
            ["", "queries", "gallery", "seconds", "memory taken"],
            [
                [
                    name,
                    f"{shape[0]:,}",
                    f"{shape[1]:,}",
                    f"{cost['seconds']:,.1f}",
                    f"{cost['added_mb']:,.0f} MB",
                ]
                for name, by_shape in costs.items()
                for shape, cost in by_shape.items()
            ],
        )
    )
    online = online_ms()
    texts.append(
        table(
            [f"a query's {CANDIDATES:,} candidates, 512 dimensions", "ms"],
            [[f"`{text}`", f"{ms:.1f}"] for text, ms in online.items()],
        )
    )
    told = {
        "sets": results,
        "costs": {
            name: [{"shape": shape, **cost} for shape, cost in by_shape.items()]
            for name, by_shape in costs.items()
        },
        "online_ms": online,
    }
    finish("reranking", "python3 make.py bench reranking", told, "\n\n".join(texts))


if __name__ == "__main__":
    main()
