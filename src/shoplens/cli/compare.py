"""`shoplens compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import (
    boxes_option,
    columns_option,
    distinct,
    json_option,
    remote_option,
    writable,
)
from shoplens.cli.run_options import category_option, named_dataset, open_named
from shoplens.records import BoxFrame
from shoplens.report import RunComparison, compare_runs, read_categories, write_comparison_page
from shoplens.report.comparison_page import MOST_RUNS, letter, shown_p, verdict
from shoplens.report.counts import counted
from shoplens.runs import Run

_PAGE_METRIC = "map@1000"
"""What the page shows of single queries needs it."""


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--data",
    metavar="DATASET",
    help="The test set; run folders name their own.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    default=(_PAGE_METRIC,),
    show_default=True,
    metavar="NAME",
    help="What to compare by, as in docs/metrics.md; repeatable.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=writable,
    help="Also write a page, with the queries that changed most side by side.",
)
@category_option
@click.option(
    "--queries",
    "n_shown",
    type=click.IntRange(min=1, max=100),
    default=8,
    show_default=True,
    help="How many queries that gained, and that lost, to show.",
)
@boxes_option
@columns_option
@remote_option
@json_option
def compare(
    runs: tuple[Path, ...],
    data: str | None,
    metrics: tuple[str, ...],
    output: Path | None,
    category: str | None,
    n_shown: int,
    box_frame: BoxFrame,
    columns: dict[str, str],
    remote: bool,
    json_file: str | None,
) -> None:
    """Test whether runs differ: paired by query, clustered by product, corrected for several tests.

    RUN... are two or more run folders, or rankings (.npz, .npy, .csv) together with --data. All
    must be of the same test set. The queries shown compare the others with the first run.
    docs/reports.md explains the tests.

    \b
    Example:
      shoplens compare before.npz after.npz --data examples/furniture -o compare.html
    """
    distinct(output, json_file)
    if not 2 <= len(runs) <= MOST_RUNS:
        raise click.UsageError(f"name 2 to {MOST_RUNS} runs to compare; got {len(runs)}")
    dataset = named_dataset(data, runs, box_frame=box_frame, columns=columns, remote=remote)
    names = tuple(dict.fromkeys(metrics))
    needed = tuple(dict.fromkeys((*names, _PAGE_METRIC)))
    opened = open_named(runs, dataset, needed)
    found = compare_runs(opened, names, _labels(runs, opened), n_shown)
    _print(Results(json_file), found)
    if output is not None:
        categories = read_categories(found.dataset, category)
        write_comparison_page(output, found, categories=categories)
        message(f"wrote {output.resolve()}: open it in a browser")
    write_json(json_file, {**found.to_json(), "page": None if output is None else str(output)})


def _labels(paths: Sequence[Path], runs: Sequence[Run]) -> list[str]:
    """Return the runs' labels, or their paths where labels are the same."""
    labels = [run.label for run in runs]
    return [
        label if labels.count(label) == 1 else str(path)
        for label, path in zip(labels, paths, strict=True)
    ]


def _print(results: Results, found: RunComparison) -> None:
    interval = "95 % interval"
    results.table(
        ("metric", "run", "name", "value", interval),
        (
            (metric, letter(position), label, f"{score.value:.4f}", _span(score.low, score.high))
            for metric in found.metrics
            for position, (label, run) in enumerate(zip(found.labels, found.runs, strict=True))
            for score in [run.scores[metric]]
        ),
        numbers=("value", interval),
        title=counted(len(found.dataset.queries), "query"),
    )
    results.table(
        ("metric", "pair", "diff.", interval, "p", "p (Holm)", "win/tie/loss"),
        (
            (
                pair.metric,
                f"{letter(pair.first)} - {letter(pair.second)}",
                f"{pair.difference.value:+.4f}",
                f"{pair.difference.low:+.4f} .. {pair.difference.high:+.4f}",
                shown_p(pair.difference.p_value),
                shown_p(pair.adjusted),
                f"{pair.difference.wins}/{pair.difference.ties}/{pair.difference.losses}",
            )
            for pair in found.pairs
        ),
        numbers=("pair", "diff.", interval, "p", "p (Holm)", "win/tie/loss"),
    )
    for pair in found.pairs:
        results.note(verdict(pair))


def _span(low: float, high: float) -> str:
    return f"{low:.4f} .. {high:.4f}"
