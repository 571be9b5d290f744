"""The table of docs/your-own-shop.md: what each step of the guide gives on both test sets.

It is made of the results of several benchmarks. A step whose result is not there, or must not be
shown, has no line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from measuring import table

Result = dict[str, Any]
Read = Callable[[str], Result | None]
"""From the name of a result to the result; None where there is none to show."""
Line = tuple[str, Callable[[Result], str]]
"""What is told, and how it is read of a test set's part of the result."""

SETS = ("challenge, open development set", "sample furniture")
METRIC = "map@1000"
EVIDENCE = "all, with agreement"
SHARE = "0.05"
"""Of false accepts, and of right pairs that cleaning may cost."""


def shop_steps(read: Read) -> str:
    """Return the table."""
    return table(["", *(f"{name[0].upper()}{name[1:]}" for name in SETS)], list(_rows(read)))


def _rows(read: Read) -> Iterator[list[str]]:
    for name, lines in _STEPS:
        result = read(name)
        if result is not None:
            sets = result.get("sets") or result["runs"]
            for label, cell in lines:
                yield [label, *(cell(sets[one]) if one in sets else "" for one in SETS)]


def _gained(value: float, gain: Result) -> str:
    told = f"{gain['value']:+.3f} ({gain['low']:+.3f} .. {gain['high']:+.3f})"
    return f"{value:.3f}, gain {told}"


def _plain(found: Result) -> str:
    metric = found["metrics"][METRIC]
    return f"{metric['value']:.3f} ({metric['low']:.3f} .. {metric['high']:.3f})"


def _box(way: str) -> Callable[[Result], str]:
    return lambda found: f"{found['ways'][way][METRIC]['value']:.3f}"


def _wrong_pairs(found: Result) -> str:
    return f"{100 * found['at_right_lost'][SHARE]['wrong_left_out']:.0f} %"


def _chain(name: str) -> Callable[[Result], str]:
    def cell(found: Result) -> str:
        ways = found["ways"]
        way = next(ways[key] for key in ways if key == name or key.startswith(f"{name}:"))
        return _gained(way["value"], {**way, "value": way["gain"]})

    return cell


def _patches(found: Result) -> str:
    chain = found["chains"]["patches"]
    return _gained(chain[METRIC]["value"], chain["gain"])


def _regions(found: Result) -> str:
    (way,) = (one for one in found["ways"] if (one["regions"], one["n"]) == ("chosen", 3))
    return _gained(way[METRIC]["value"], way["gain"])


def _regions_reranked(found: Result) -> str:
    wanted = (3, "product-score")
    (way,) = (one for one in found["chains"] if (one["n"], one["chain"]) == wanted)
    return _gained(way[METRIC]["value"], way["gain"])


def _fitted(command: str) -> Callable[[Result], str]:
    def cell(found: Result) -> str:
        report = found[command]
        told = _gained(report[METRIC]["after"]["value"], report[METRIC]["gain"])
        return told if report["kept"] else f"{told}; not kept"

    return cell


def _right(found: Result) -> str:
    return f"{100 * found['parts'][EVIDENCE]['right']:.0f} %"


def _calibration_error(found: Result) -> str:
    return f"{found['parts'][EVIDENCE]['ece']['value']:.3f}"


def _kept(found: Result) -> str:
    return f"{100 * found['parts'][EVIDENCE]['decided'][SHARE]['true_matches_kept']:.0f} %"


_STEPS: Sequence[tuple[str, Sequence[Line]]] = (
    ("end_to_end", [("mAP@1000 of the default model, with the given boxes", _plain)]),
    (
        "automatic_box",
        [
            ("without boxes", _box("the whole photo")),
            ("with proposed boxes (`--box auto`)", _box("the proposed box")),
        ],
    ),
    (
        "reranking",
        [
            ("`--rerank product-score`, products known", _chain("product-score")),
            ("`--rerank auto`, products not known", _chain("auto")),
        ],
    ),
    ("photo_reranking", [("`--rerank patches`", _patches)]),
    (
        "regions",
        [
            ("`--regions 3`", _regions),
            ("`--regions 3 --rerank product-score`, products known", _regions_reranked),
        ],
    ),
    (
        "adaptation",
        [
            ("`finetune`, on products that it was not fitted to", _fitted("finetune")),
            ("`finetune --network`, likewise", _fitted("finetune --network")),
            ("`adapt`, from seller photos alone", _fitted("adapt")),
        ],
    ),
    (
        "cleaning",
        [("`dataset clean pairs`: wrong pairs found, 5 % of the right ones lost", _wrong_pairs)],
    ),
    (
        "confidence",
        [
            ("searches whose first product is right", _right),
            ("the share of these that pass as a match at 5 % false accepts", _kept),
            ("calibration error (ECE)", _calibration_error),
        ],
    ),
)
"""In the order of the guide: the result, and its lines."""
