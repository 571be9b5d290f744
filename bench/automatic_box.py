"""Proposed boxes beside given ones: how well they overlap, and what they do to a search.

Runs on the sample data, and on the challenge's open development photos where they are at hand: log
that in docs/devset-log.md.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from measuring import REAL, SAMPLE, finish, interleaved, table

from shoplens import Box, BoxProposals, embed, evaluate, load_encoder, rank, read_dataset
from shoplens.boxes.network import load_network
from shoplens.boxes.proposing import overlap, propose_boxes_of, propose_in
from shoplens.datasets.dataset import Dataset
from shoplens.evaluation.comparison import paired_difference
from shoplens.evaluation.scores import Scores, judge
from shoplens.parallel import parallel_map
from shoplens.pixels.decoding import decode
from shoplens.records import PhotoSet

METRIC = "map@1000"
GIVEN, WHOLE, BEST = "the given box", "the whole photo", "the proposed box"
CENTRED = (0.5, 0.6, 0.75)
CHOSEN = "of five proposed, the nearest to the given"
TIMED = 8
"""Photos a round."""


def centred(share: float) -> Callable[[BoxProposals, Box], Box]:
    """Return what makes a box in the middle of a photo."""
    start = (1 - share) / 2
    return lambda found, _: Box.from_relative(
        start, start, share, share, (found.width, found.height)
    )


def nearest(found: BoxProposals, given: Box) -> Box:
    """Return the proposal that is most like the given box, as a person would choose."""
    return max((proposal.box for proposal in found), key=lambda box: overlap(box, given))


WAYS: dict[str, Callable[[BoxProposals, Box], Box]] = {
    WHOLE: lambda found, _: Box(0, 0, found.width, found.height),
    **{f"the middle, {share:g} of each side": centred(share) for share in CENTRED},
    BEST: lambda found, _: found[0].box,
    CHOSEN: nearest,
    GIVEN: lambda _, given: given,
}
"""By name, the box to search with: from the proposals and the given box."""


def measured(dataset: Dataset) -> dict[str, Any]:
    """Return what each way does on a test set."""
    proposals = list(parallel_map(propose_boxes_of, dataset.queries))
    encoder = load_encoder()
    gallery = embed(dataset.gallery, encoder)
    results: dict[str, Any] = {}
    scores: dict[str, Scores] = {}
    for name, way in WAYS.items():
        overlaps, queries = [], []
        for query, found in zip(dataset.queries, proposals, strict=True):
            given = query.box
            assert given is not None
            box = way(found, given)
            overlaps.append(overlap(box, given.clip((found.width, found.height))))
            queries.append(replace(query, box=box))
        vectors = embed(PhotoSet(queries), encoder)
        scores[name] = evaluate(rank(vectors, gallery), dataset, metrics=(METRIC,))
        value = scores[name][METRIC]
        results[name] = {
            "mean_iou": statistics.fmean(overlaps),
            "share_above_half": statistics.fmean(one > 0.5 for one in overlaps),
            METRIC: {"value": value.value, "low": value.low, "high": value.high},
        }
    groups = judge(scores[WHOLE].ranking, dataset).groups
    for name in (BEST, GIVEN):
        gain = paired_difference(
            scores[name].per_query[METRIC], scores[WHOLE].per_query[METRIC], groups
        )
        results[name]["gain"] = {
            "value": gain.value,
            "low": gain.low,
            "high": gain.high,
            "p_value": gain.p_value,
        }
    return {"n_queries": len(dataset.queries), "n_gallery": len(dataset.gallery), "ways": results}


def milliseconds(folder: Path) -> dict[str, dict[str, float]]:
    """Return core ms a photo of a decoded photo's proposals, and of its vector."""
    encoder, network = load_encoder(), load_network()
    decoded = [decode(p.read_bytes()) for p in sorted((folder / "queries").glob("*.jpg"))[:TIMED]]

    def proposing() -> None:
        for photo in decoded:
            propose_in(network.prepare(photo), photo.size)

    def embedding() -> None:
        for photo in decoded:
            encoder.embed([encoder.prepare(photo, "user")], ["user"])

    def timed(work: Callable[[], None]) -> Callable[[], float]:
        def run() -> float:
            started = time.perf_counter()
            work()
            return 1e3 * (time.perf_counter() - started) / TIMED

        return run

    return interleaved({"propose": timed(proposing), "embed": timed(embedding)})


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the lines of a test set's table."""
    lines = []
    for name, way in result["ways"].items():
        score, gain = way[METRIC], way.get("gain")
        lines.append(
            [
                name,
                f"{way['mean_iou']:.2f}",
                f"{100 * way['share_above_half']:.0f} %",
                f"{score['value']:.3f} ({score['low']:.3f} .. {score['high']:.3f})",
                f"{gain['value']:+.3f} ({gain['low']:+.3f} .. {gain['high']:+.3f})" if gain else "",
            ]
        )
    return lines


def main() -> None:
    """Measure, print, write."""
    speed = milliseconds(SAMPLE)
    header = [
        "searched for", "mean IoU", "IoU above 0.5", "mAP@1000", "gain over the whole photo",
    ]  # fmt: skip
    results, texts = {}, []
    for name, folder in (("challenge, open development set", REAL), ("sample furniture", SAMPLE)):
        if not (folder / "gallery.csv").is_file():
            print(f"{name}: not at {folder}, left out", file=sys.stderr)
            continue
        result = results[name] = measured(read_dataset(folder))
        title = f"{name}: {result['n_queries']} queries, {result['n_gallery']} gallery photos"
        texts.append(f"{title[0].upper()}{title[1:]}.\n\n{table(header, rows(result))}")
    cost = table(
        ["step, photo decoded", "core ms a photo"],
        [
            ["propose five boxes", f"{speed['propose']['median']:.1f}"],
            ["embed the photo", f"{speed['embed']['median']:.1f}"],
        ],
    )
    text = "\n\n".join([*texts, cost])
    command = "python3 make.py bench automatic_box"
    finish("automatic_box", command, {"sets": results, "core_ms": speed}, text)


if __name__ == "__main__":
    main()
