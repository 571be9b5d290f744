"""Fill the figures in README and docs from the results of benchmarks: `python3 make.py figures`.

A figure stands between two comments, which pages do not show:

    <!-- figure: development.map@1000 -->0.268<!-- /figure -->

`FIGURES` says which result each name means, and how it is written; `TABLES` are made of several
results. A test compares all of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import RESULTS, ROOT, why_no_figure
from shop_steps import Read, shop_steps

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKED = re.compile(r"(<!-- figure: ([\w@.-]+) -->)(.*?)(<!-- /figure -->)", re.DOTALL)

Result = dict[str, Any]


def score(metric: dict[str, float]) -> str:
    """Write a score."""
    return f"{metric['value']:.3f}"


def interval(metric: dict[str, float]) -> str:
    """Write a score's interval."""
    return f"{metric['low']:.3f} .. {metric['high']:.3f}"


def _end_to_end(data: str, write: Callable[[dict[str, float]], str]) -> Callable[[Result], str]:
    return lambda result: write(result["runs"][data]["metrics"]["map@1000"])


def _speed(result: Result, way: str, beside: str) -> str:
    rates = result["photos_per_second"]
    return f"{rates[way]['median'] / rates[beside]['median']:.1f}"


def _slower(result: Result, model: str) -> str:
    way = result["ways"][model]
    return f"{way['slower']['median'] / way['here']['median']:.2f}"


def _core_ms(result: Result) -> float:
    """Return the core milliseconds that a photo takes, start and end of the process included."""
    run = result["runs"][DEVELOPMENT]
    return float(1e3 * run["cpu_seconds"] / (run["n_queries"] + run["n_gallery"]))


def _clothing(result: Result) -> Any:
    (folder,) = (each for each in result["folders"] if each["folder"] == "clothing")
    return folder


def _training(gain: Callable[[dict[str, Any], dict[str, Any]], bool]) -> Callable[[Result], str]:
    """Return the range of what one change of the settings gains while the others stay."""

    def read(result: Result) -> str:
        ways = result["ways"]
        ratios = [
            after["photos_per_second"] / before["photos_per_second"]
            for before in ways
            for after in ways
            if gain(before, after)
        ]
        return f"{min(ratios):.1f} to {max(ratios):.1f}"

    return read


def _changes(key: str, before: object, after: object) -> Callable[[Any, Any], bool]:
    keys = ("frozen_stages", "precision", "memory_kept")
    return lambda a, b: (
        a[key] == before and b[key] == after and all(a[k] == b[k] for k in keys if k != key)
    )


def _frozen(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a["precision"] == "no" and _changes("frozen_stages", 0, 5)(a, b)


def _scan(result: Result, n: int) -> str:
    """Return how long a query takes to be compared with n vectors."""
    seconds = result["scan_ns"][str(n)] * n * result["rates"]["d"] / 1e9
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1e3 * seconds:.0f} ms"


def _dollars(result: Result, what: str) -> str:
    return f"{result['assumed']['dollars'][what]:g}"


def _boxes(data: str, way: str) -> Callable[[Result], str]:
    return lambda result: score(result["sets"][data]["ways"][way]["map@1000"])


DEVELOPMENT, SAMPLE = "challenge, open development set", "sample furniture"
PROPOSED_BOX = "the proposed box"
ONNX = "ONNX Runtime, 1 thread x 2, batch 1"

FIGURES: dict[str, tuple[str, Callable[[Result], str]]] = {
    "development.map@1000": ("end_to_end", _end_to_end(DEVELOPMENT, score)),
    "development.interval": ("end_to_end", _end_to_end(DEVELOPMENT, interval)),
    "sample.interval": ("end_to_end", _end_to_end(SAMPLE, interval)),
    "model.megabytes": (
        "precision",
        lambda result: f"{result['megabytes']['float16 weights, as it ships']:.1f}",
    ),
    "int8.megabytes": ("precision", lambda result: f"{result['megabytes']['int8']:.1f}"),
    "int8.speed": (
        "precision",
        lambda result: _speed(result, "int8", "float16 weights, as it ships"),
    ),
    "int8.slower": ("precision", lambda result: _slower(result, "lite0-products-int8")),
    "default.slower": ("precision", lambda result: _slower(result, "lite0-lite2-products")),
    "int8.cosine": ("precision", lambda result: f"{result['cosine_mean']['int8']:.3f}"),
    "openvino.speed": (
        "engines",
        lambda result: _speed(result, "OpenVINO float32, 2 streams, batch 1", ONNX),
    ),
    "openvino-bf16.speed": (
        "engines",
        lambda result: _speed(result, "OpenVINO bfloat16, 2 streams, batch 1", ONNX),
    ),
    "boxes.development.iou": (
        "automatic_box",
        lambda result: f"{result['sets'][DEVELOPMENT]['ways'][PROPOSED_BOX]['mean_iou']:.2f}",
    ),
    **{
        f"boxes.{data}.{name}": ("automatic_box", _boxes(label, way))
        for data, label in (("development", DEVELOPMENT), ("sample", SAMPLE))
        for name, way in (
            ("whole", "the whole photo"),
            ("proposed", PROPOSED_BOX),
            ("nearest", "of five proposed, the nearest to the given"),
            ("given", "the given box"),
        )
    },
    "photo.core-ms": ("end_to_end", lambda result: f"{_core_ms(result):.1f}"),
    "photos-10m.core-hours": ("end_to_end", lambda result: f"{_core_ms(result) / 0.36:.0f}"),
    "photos-1b.core-hours": ("end_to_end", lambda result: f"{_core_ms(result) / 0.0036:,.0f}"),
    "duplicates.photos": ("near_duplicates", lambda result: f"{_clothing(result)['n_photos']:,}"),
    "duplicates.million-pairs": (
        "near_duplicates",
        lambda result: f"{math.comb(_clothing(result)['n_photos'], 2) / 1e6:.1f}",
    ),
    "duplicates.near": (
        "near_duplicates",
        lambda result: str(_clothing(result)["pairs"].get("near", 0)),
    ),
    "clip.table": ("clip", lambda result: f"\n{result['table']}\n"),
    "install.megabytes": ("install", lambda result: f"{result['total_mb']:.0f}"),
    "scale.table": ("scale", lambda result: f"\n{result['table']}\n"),
    "scale.cores": ("scale", lambda result: str(result["rates"]["cores"])),
    "scale.dimension": ("scale", lambda result: str(result["dimension"])),
    "scale.scan-small": ("scale", lambda result: _scan(result, 300_000)),
    "scale.scan-large": ("scale", lambda result: _scan(result, 10_000_000)),
    "scale.queries": ("scale", lambda result: str(result["assumed"]["queries_a_second"])),
    "scale.machine": (
        "scale",
        lambda result: "{} cores and {} GB".format(*result["assumed"]["machine"]),
    ),
    "scale.core-dollars": ("scale", lambda result: _dollars(result, "core")),
    "scale.memory-dollars": ("scale", lambda result: _dollars(result, "GB of memory")),
    "scale.disk-dollars": ("scale", lambda result: _dollars(result, "GB of SSD")),
    "training.frozen": ("training_steps", _training(_frozen)),
    "training.allocator": ("training_steps", _training(_changes("memory_kept", False, True))),
    "training.bf16": ("training_steps", _training(_changes("precision", "no", "bf16"))),
}
"""By name: the result, and how the figure is read from it."""

TABLES: dict[str, Callable[[Read], str]] = {"shop.steps": shop_steps}
"""By name: a table that is made of those results that can be shown."""


def figure(name: str) -> str:
    """Return a figure as docs write it.

    Raises:
        ValueError: there is no figure of that name, or its result must not be published.
    """
    if name in TABLES:
        return f"\n{TABLES[name](shown_result)}\n"
    if name not in FIGURES:
        raise ValueError(f"there is no figure {name!r}; bench/figures.py lists those there are")
    result, read = FIGURES[name]
    values = json.loads((RESULTS / f"{result}.json").read_text(encoding="utf-8"))
    if reason := why_no_figure(values):
        raise ValueError(f"the figure {name!r} must not be shown: {reason}")
    return read(values)


def shown_result(name: str) -> Result | None:
    """Return a result; None where there is none, or where it must not be published."""
    file = RESULTS / f"{name}.json"
    if not file.is_file():
        return None
    values: Result = json.loads(file.read_text(encoding="utf-8"))
    return None if why_no_figure(values) else values


def filled(text: str) -> str:
    """Return a page with its figures as the results have them."""
    return MARKED.sub(lambda match: f"{match[1]}{figure(match[2])}{match[4]}", text)


def fill_pages(pages: list[Path] = PAGES) -> None:
    """Fill the figures of pages, and say which were stale."""
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            page.write_text(new, encoding="utf-8")
            print(f"filled {page.relative_to(ROOT)}")


if __name__ == "__main__":
    fill_pages()
