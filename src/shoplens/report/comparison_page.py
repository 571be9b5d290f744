"""The page that compares runs: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from shoplens._version import __version__
from shoplens.evaluation.comparison import Pair
from shoplens.evaluation.formulas import recall
from shoplens.files import write_text
from shoplens.ranking import Ranking
from shoplens.report.curves import MARKED
from shoplens.report.figures import (
    Axis,
    Point,
    Row,
    Series,
    Share,
    histogram,
    interval_chart,
    line_chart,
    share_bar,
)
from shoplens.report.page import render
from shoplens.report.run_comparison import ChangedQuery, Changes, RunComparison
from shoplens.report.run_galleries import Gallery
from shoplens.report.run_page import Figure, chain_text
from shoplens.report.strips import Album, Strip, results_line
from shoplens.report.study import Study, study

LEVEL = 0.05
"""Adjusted p-values up to it are called a difference."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST_RUNS = len(_LETTERS)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A pair by one metric, said in words."""

    pair: Pair
    names: str
    sentence: str
    shares: Markup


def letter(position: int) -> str:
    """Return the letter by which a run is called: A for the first."""
    return _LETTERS[position]


def verdict(pair: Pair) -> str:
    """Return in words what the tests say of a pair."""
    first, second = letter(pair.first), letter(pair.second)
    if pair.adjusted > LEVEL:
        return f"{first} and {second} cannot be told apart"
    better, worse = (first, second) if pair.difference.value > 0 else (second, first)
    return f"{better} is better than {worse}"


def write_comparison_page(
    path: str | Path,
    comparison: RunComparison,
    *,
    categories: Mapping[str, str] | None = None,
    depth: int = 6,
) -> None:
    """Write the page of a comparison. It is self-contained.

    Args:
        path: the HTML file.
        comparison: the runs, compared.
        categories: category by product id, to mark near misses.
        depth: results shown of a query.

    Raises:
        MissingError: the page's folder is not there.
        ShoplensError: the page cannot be written.
    """
    studies = [study(run, categories) for run in comparison.runs]
    galleries = [
        gallery
        for changes in comparison.changes
        for gallery in _galleries(comparison, studies, changes, depth)
        if gallery.strips
    ]
    text = render(
        "comparison.html.j2",
        title=f"{len(comparison.runs)} runs compared",
        facts=[
            # As on a run's page: a path would tell of the machine.
            ("test set", comparison.dataset.root.absolute().name),
            ("queries", f"{len(comparison.dataset.queries):,}"),
            ("gallery photos", f"{len(comparison.dataset.gallery):,}"),
            ("tests", f"{len(comparison.pairs):,}"),
        ],
        comparison=comparison,
        made_by=_made_by([run.scores.ranking for run in comparison.runs]),
        letter=letter,
        conclusions=[_conclusion(pair) for pair in comparison.pairs],
        figures=[*_differences(comparison), _recall(comparison, studies)],
        spreads=[_spread(comparison, changes) for changes in comparison.changes],
        galleries=galleries,
        with_categories=bool(categories),
        album=Album.of([strip for gallery in galleries for strip in gallery.strips]),
        level=LEVEL,
        version=__version__,
    )
    write_text(path, text)


def _made_by(rankings: Sequence[Ranking]) -> list[str]:
    """Return the model of each run, with its fingerprint and chain where those differ between
    runs."""
    told = [ranking.model_name or "model not known" for ranking in rankings]
    values = (
        ("fingerprint", [ranking.fingerprint or "not known" for ranking in rankings]),
        ("chain", [chain_text(ranking) for ranking in rankings]),
    )
    for name, of_runs in values:
        if len(set(of_runs)) > 1:
            told = [f"{one}, {name} {value}" for one, value in zip(told, of_runs, strict=True)]
    return told


def _conclusion(pair: Pair) -> Conclusion:
    first, second = letter(pair.first), letter(pair.second)
    difference = pair.difference
    shares = share_bar(
        f"{first} against {second} by {pair.metric}",
        [
            Share(f"{first} better", difference.wins),
            Share("equal", difference.ties),
            Share(f"{second} better", difference.losses),
        ],
    )
    return Conclusion(pair, f"{first} - {second}", verdict(pair), shares)


def _differences(comparison: RunComparison) -> list[Figure]:
    figures = []
    for metric in comparison.metrics:
        pairs = [pair for pair in comparison.pairs if pair.metric == metric]
        reach = max(max(abs(p.difference.low), abs(p.difference.high)) for p in pairs) or 0.01
        rows = [
            Row(
                f"{letter(p.first)} - {letter(p.second)}",
                p.difference.value,
                p.difference.low,
                p.difference.high,
                f"{p.difference.value:+.4f}, p {shown_p(p.adjusted)}",
            )
            for p in pairs
        ]
        figures.append(
            Figure(
                f"Differences in {metric}",
                "First minus second, mean over queries, with its 95 % interval; p is corrected "
                "for all tests.",
                interval_chart(
                    f"Differences in {metric}",
                    rows,
                    Axis(f"difference in {metric}", -reach, reach),
                    (0.0, "no difference"),
                ),
            )
        )
    return figures


def shown_p(p_value: float) -> str:
    """Return a p-value as text, with a sensible number of digits."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _recall(comparison: RunComparison, studies: Sequence[Study]) -> Figure:
    series = []
    deepest = max(one.judged.relevant.shape[1] for one in studies)
    for position, one in enumerate(studies):
        relevant, n_positive = one.judged.relevant[one.scored], one.judged.n_positive[one.scored]
        ranks = sorted({*(k for k in MARKED if k < deepest), deepest})
        points = [Point(k, float(recall(relevant, n_positive, k).mean()), note=" ") for k in ranks]
        series.append(Series(letter(position), points))
    return Figure(
        "Recall over rank",
        "Share of a query's gallery photos that are among the first k results; mean over queries.",
        line_chart(
            "Recall over rank",
            series,
            Axis("k, the first results looked at", 1, max(2, deepest), log=True),
            Axis("recall@k", 0, 1),
        ),
    )


def _spread(comparison: RunComparison, changes: Changes) -> Figure:
    metric = comparison.metrics[0]
    first, second = (
        comparison.runs[position].scores.per_query[metric]
        for position in (changes.first, changes.second)
    )
    differences = (first - second)[~np.isnan(first)]
    n_equal = int((differences == 0).sum())
    counts, edges = np.histogram(differences[differences != 0], bins=20, range=(-1, 1))
    a, b = letter(changes.first), letter(changes.second)
    return Figure(
        f"How queries differ between {a} and {b}",
        f"Queries by {metric} in {a} minus {b}; left out: {n_equal:,} that are equal.",
        histogram(
            f"Queries by difference between {a} and {b}",
            edges.tolist(),
            counts.tolist(),
            Axis(f"{metric} of a query, {a} minus {b}", -1, 1),
            "queries",
            [(float(differences.mean()), f"mean {differences.mean():+.3f}")],
        ),
    )


def _galleries(
    comparison: RunComparison, studies: Sequence[Study], changes: Changes, depth: int
) -> list[Gallery]:
    a, b = letter(changes.first), letter(changes.second)
    return [
        Gallery(
            f"{what}-{b}",
            f"Queries that {what} most from {a} to {b}",
            f"{better} is better here: by {comparison.metrics[0]}, one query of each product.",
            [
                _strip(comparison, studies, changes, change, depth)
                for change in changed
                if _shown(change.first) != _shown(change.second)
            ],
            marked=True,
        )
        for what, better, changed in (("gained", b, changes.gained), ("lost", a, changes.lost))
    ]


def _strip(
    comparison: RunComparison,
    studies: Sequence[Study],
    changes: Changes,
    change: ChangedQuery,
    depth: int,
) -> Strip:
    query = comparison.dataset.queries[change.row]
    lines = [
        results_line(
            studies[position],
            change.row,
            depth,
            f"{letter(position)}: {comparison.metrics[0]} {_shown(value)}",
        )
        for position, value in ((changes.first, change.first), (changes.second, change.second))
    ]
    note = (
        f"{_shown(change.first)} → {_shown(change.second)} · query {query.id}, product "
        f"{query.product_id}, {int(studies[0].judged.n_positive[change.row])} to find"
    )
    return Strip(lines, note, query)


def _shown(value: float) -> str:
    return f"{value:.2f}"
