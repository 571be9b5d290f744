"""Regions of gallery photos, chosen or fixed, alone and re-ranked, and views of queries: what they
add to a search, and what they cost.

Runs on the sample data, and on the challenge's open development photos where they are at hand: log
that in docs/devset-log.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from measuring import REAL, SAMPLE, finish, interleaved, table

from shoplens import (
    Box,
    Embeddings,
    Encoder,
    Photo,
    embed,
    evaluate,
    load_encoder,
    rank,
    read_dataset,
    rerank,
)
from shoplens.boxes.network import load_network
from shoplens.boxes.proposing import propose_in
from shoplens.datasets.dataset import Dataset
from shoplens.embedding.caching import opened
from shoplens.embedding.query_views import MOST as MOST_VIEWS
from shoplens.evaluation.comparison import Groups, paired_difference
from shoplens.evaluation.scores import Scores, judge
from shoplens.parallel import parallel_map
from shoplens.pixels.decoding import decode, read_size
from shoplens.regions.choosing import FIXED, choose_regions
from shoplens.regions.embedding import embed_boxes, first_regions
from shoplens.sources import read_photo
from shoplens.vectors.regions import RegionVectors

METRIC = "map@1000"
NONE, CHOSEN, BLIND = "none", "chosen", "fixed"
NUMBERS = (1, 2, 3, 5)
MOST = max(NUMBERS)
VIEWS = tuple(range(2, MOST_VIEWS + 1))
ALL = len(FIXED)
CHAINS = ("none", "dba", "patches", "product-score", "patches+product-score")
"""Gallery-side chains, with and without regions; the last two need products."""
CHAINED = 3
"""Regions that they are tried with."""
TIMED = 8
"""Photos a round."""


def fixed(photo: Photo) -> list[Box]:
    """Return all fixed regions of a photo."""
    size = read_size(read_photo(photo))
    return [Box.from_relative(*shares, size) for shares in FIXED]


WAYS: dict[str, Callable[[Photo], Sequence[Box]]] = {
    CHOSEN: lambda photo: choose_regions(photo, MOST),
    BLIND: fixed,
}


def with_boxes(
    gallery: Embeddings, way: Callable[[Photo], Sequence[Box]], encoder: Encoder
) -> Embeddings:
    """Return a gallery with the regions that a way gives."""
    assert gallery.photos is not None
    with (
        opened(True, encoder.fingerprint) as cache,
        closing(parallel_map(lambda photo: (photo, way(photo)), gallery.photos)) as chosen,
    ):
        found = list(embed_boxes(chosen, ALL, encoder, cache=cache))
    return replace(gallery, regions=RegionVectors.of(ALL, encoder.dimension, found))


def measured(dataset: Dataset) -> dict[str, Any]:
    """Return what regions do on a test set."""
    encoder = load_encoder()
    queries, gallery = embed(dataset.queries, encoder), embed(dataset.gallery, encoder)
    galleries = {(NONE, 0): gallery}
    for name, way in WAYS.items():
        every = with_boxes(gallery, way, encoder)
        numbers = (*NUMBERS, ALL) if name == BLIND else NUMBERS
        galleries |= {(name, n): first_regions(every, n) for n in numbers}
    scores: dict[tuple[str, int], Scores] = {
        key: evaluate(rank(queries, one), dataset, metrics=(METRIC,))
        for key, one in galleries.items()
    }
    plain = scores[NONE, 0]
    groups = judge(plain.ranking, dataset).groups
    ways = []
    for (name, n), found in scores.items():
        regions = galleries[name, n].regions
        n_vectors = 1 + (0 if regions is None else len(regions) / len(gallery))
        beside = {"regions": name, "n": n, "vectors_a_photo": n_vectors}
        ways.append({**beside, **compared(found, plain, groups)})
    views = []
    for n in VIEWS:
        seen = embed(dataset.queries, encoder, views=n)
        found = evaluate(rank(seen, gallery), dataset, metrics=(METRIC,))
        views.append({"n": n, **compared(found, plain, groups)})
    chains = []
    for key in ((NONE, 0), (CHOSEN, CHAINED)):
        searched = galleries[key]
        for chain in CHAINS:
            ranking = rerank(rank(queries, searched), queries, searched, chain)
            found = evaluate(ranking, dataset, metrics=(METRIC,))
            chains.append({"n": key[1], "chain": chain, **compared(found, plain, groups)})
    return {
        "n_queries": len(dataset.queries),
        "n_gallery": len(dataset.gallery),
        "ways": ways,
        "chains": chains,
        "query_views": views,
    }


def compared(found: Scores, plain: Scores, groups: Groups) -> dict[str, Any]:
    """Return a score with its interval, and its gain over that without regions and views."""
    value = found[METRIC]
    gain = paired_difference(found.per_query[METRIC], plain.per_query[METRIC], groups)
    return {
        METRIC: {"value": value.value, "low": value.low, "high": value.high},
        "gain": {
            "value": gain.value,
            "low": gain.low,
            "high": gain.high,
            "p_value": gain.p_value,
        },
    }


def milliseconds(folder: Path) -> dict[str, dict[str, float]]:
    """Return core ms a photo for the choice of regions, and for the vector of one."""
    encoder, network = load_encoder(), load_network()
    data = [p.read_bytes() for p in sorted((folder / "gallery").glob("*.jpg"))[:TIMED]]

    def choosing() -> None:
        for one in data:
            target, side = network.target
            decoded = decode(one, target=target, target_side=side)
            propose_in(network.prepare(decoded), decoded.size)

    def embedding() -> None:
        for one in data:
            target, side = encoder.decode_target("seller")
            decoded = decode(one, target=target, target_side=side)
            encoder.embed([encoder.prepare(decoded, "seller")], ["seller"])

    def timed(work: Callable[[], None]) -> Callable[[], float]:
        def run() -> float:
            started = time.perf_counter()
            work()
            return 1e3 * (time.perf_counter() - started) / len(data)

        return run

    return interleaved({"choose": timed(choosing), "embed": timed(embedding)})


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the lines of a test set's table of regions."""
    lines = []
    for way in result["ways"]:
        score, gain = told(way)
        beside = [way["regions"], str(way["n"]), f"{way['vectors_a_photo']:.1f}"]
        lines.append([*beside, score, gain if way["n"] else ""])
    return lines


def told(way: dict[str, Any]) -> tuple[str, str]:
    """Return a score and its gain with their intervals."""
    score, gain = way[METRIC], way["gain"]
    return (
        f"{score['value']:.3f} ({score['low']:.3f} .. {score['high']:.3f})",
        f"{gain['value']:+.3f} ({gain['low']:+.3f} .. {gain['high']:+.3f})",
    )


def main() -> None:
    """Measure, print, write."""
    speed = milliseconds(SAMPLE)
    header = ["regions", "N", "vectors a photo", "mAP@1000", "gain"]
    results, texts = {}, []
    for name, folder in (("challenge, open development set", REAL), ("sample furniture", SAMPLE)):
        if not (folder / "gallery.csv").is_file():
            print(f"{name}: not at {folder}, left out", file=sys.stderr)
            continue
        result = results[name] = measured(read_dataset(folder))
        title = f"{name}: {result['n_queries']} queries, {result['n_gallery']} gallery photos"
        views = [[str(way["n"]), *told(way)] for way in result["query_views"]]
        chains = [
            [str(way["n"]), f"`{way['chain']}`", *told(way)]
            for way in result["chains"]
            if way["n"] or way["chain"] != "none"
        ]
        texts.append(
            f"{title[0].upper()}{title[1:]}.\n\n{table(header, rows(result))}\n\n"
            + table(["views of a query", "mAP@1000", "gain over one"], views)
            + "\n\n"
            + table(["regions", "then re-ranked by", "mAP@1000", "gain over neither"], chains)
        )
    cost = table(
        ["step", "core ms a photo"],
        [
            ["choose regions", f"{speed['choose']['median']:.1f}"],
            ["embed the photo, or a region", f"{speed['embed']['median']:.1f}"],
        ],
    )
    text = "\n\n".join([*texts, cost])
    command = "python3 make.py bench regions"
    finish("regions", command, {"sets": results, "core_ms": speed}, text)


if __name__ == "__main__":
    main()
