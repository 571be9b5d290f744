"""`shoplens evaluate`."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from shoplens.answers.answer import (
    Finding,
    Policy,
    check_answer,
    read_answer,
    refusal,
)
from shoplens.cli.console import message, results_console, write_json
from shoplens.cli.options import (
    EmbeddingOptions,
    boxes_option,
    columns_option,
    embedding_options,
    gallery_vectors_option,
    json_option,
    query_vectors_option,
    remote_option,
)
from shoplens.cli.pipeline import PipelineOptions, run_pipeline
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.errors import RankingError
from shoplens.evaluation.metric_names import DEFAULT_METRICS, parse_metric
from shoplens.evaluation.scores import Scores, require_ground_truth
from shoplens.evaluation.scores import evaluate as evaluate_ranking
from shoplens.ranking import Ranking
from shoplens.records import BoxFrame


def _known_metrics(
    _context: click.Context, _parameter: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    for name in names:
        try:
            parse_metric(name)
        except RankingError as error:
            raise click.BadParameter(str(error)) from None
    return names


@click.command()
@click.argument("dataset", metavar="DATASET")
@click.option(
    "--ranks",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Score this answer (.npy, .csv, or .npz as `shoplens rank` writes it) instead of ranking.",
)
@click.option(
    "--policy",
    type=click.Choice(["strict", "lenient"]),
    help="What to forgive in --ranks. strict: nothing, as the challenge's scoring code. lenient: "
    "as its documentation, columns past 1000 and repeats are dropped. Without it, only more or "
    "fewer columns than a full answer has.",
)
@click.option(
    "--metric",
    "more_metrics",
    multiple=True,
    metavar="NAME",
    callback=_known_metrics,
    help="Another metric beside the usual ones, as in ndcg@10, map@R or hit@5:product; repeatable. "
    "docs/metrics.md has them all.",
)
@gallery_vectors_option
@query_vectors_option
@boxes_option
@columns_option
@remote_option
@embedding_options
@json_option
def evaluate(
    dataset: str,
    ranks: Path | None,
    policy: Policy | None,
    more_metrics: tuple[str, ...],
    embedding: EmbeddingOptions,
    gallery_vectors: Path | None,
    query_vectors: Path | None,
    box_frame: BoxFrame,
    columns: dict[str, str],
    remote: bool,
    json_file: str | None,
) -> None:
    """Score a ranking of a dataset with ground truth: mAP@1000 and more, with intervals.

    Without --ranks the dataset is embedded and ranked first. Intervals are 95 % bootstrap
    intervals that resample products. Queries whose product has no gallery photo are left out of
    every mean and counted. The definitions are in docs/metrics.md.

    \b
    Example:
      shoplens evaluate examples/furniture --ranks ranks.npy --json scores.json
    """
    if ranks is not None and (gallery_vectors or query_vectors):
        raise click.UsageError("--ranks is scored as it is; it cannot go with vectors to rank")
    if policy is not None and ranks is None:
        raise click.UsageError("--policy is for an answer given with --ranks")
    data = read_dataset(dataset, columns=columns, box_frame=box_frame, remote=remote)
    require_ground_truth(data)
    extra: dict[str, Any] = {}
    if ranks is not None:
        ranking, findings = _checked(ranks, data, policy)
        extra = {"findings": [finding.to_json() for finding in findings]}
    else:
        options = PipelineOptions(embedding, gallery_vectors, query_vectors)
        result = run_pipeline(data, options)
        ranking, extra = result.ranking, result.to_json()
    metrics = tuple(dict.fromkeys((*DEFAULT_METRICS, *more_metrics)))
    scores = evaluate_ranking(ranking, data, metrics=metrics)
    print_scores(results_console(json_file), scores)
    write_json(json_file, {**scores.to_json(), **extra})


_UNFORGIVEN = frozenset({"repeat", "nan", "blank"})
"""What lenient scoring forgives and scoring without a policy does not."""


def _checked(
    file: Path, data: Dataset, policy: Policy | None
) -> tuple[Ranking, tuple[Finding, ...]]:
    """Read and check an answer; prints what was found, and raises where it is refused."""
    query_ids, gallery_ids = data.queries.ids, data.gallery.ids
    saved = Ranking.load(file, query_ids) if _is_saved_ranking(file) else None
    if saved is None:
        array = read_answer(file, query_ids)
    elif saved.blank is None:
        array = saved.ids
    elif policy is None:
        return saved, ()  # Its blank places were forgiven when it was made.
    else:
        array = np.where(saved.blank, np.nan, saved.ids)
    checked = check_answer(array, query_ids, gallery_ids, policy or "lenient")
    findings = checked.findings
    if policy is None:
        findings = tuple(
            replace(f, level="error") if f.code in _UNFORGIVEN else f for f in findings
        )
    if any(finding.level == "error" for finding in findings):
        way_out = "\n--policy lenient drops repeats and scores empty places as misses"
        raise RankingError(f"{refusal(findings)}{way_out if checked.accepted else ''}")
    for finding in findings:
        message(str(finding))
    ranking = checked.require()
    if saved is not None:
        ranking = replace(saved, ids=ranking.ids, blank=ranking.blank, scores=None)
    return ranking, findings


def _is_saved_ranking(file: Path) -> bool:
    """Return whether the file is an .npz with what `Ranking.save` writes."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as members:
        return "meta.npy" in members.namelist()


def print_scores(console: Console, scores: Scores) -> None:
    """Print the metrics with their intervals, and what they are of."""
    title = f"{scores.n_queries:,} queries, {scores.n_gallery:,} gallery photos"
    if scores.n_failed:
        title += f", {scores.n_failed:,} photos failed"
    if scores.n_without_positive:
        title += f", {scores.n_without_positive:,} queries without a positive left out"
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, estimate in scores.items():
        table.add_row(name, f"{estimate.value:.4f}", f"{estimate.low:.4f} .. {estimate.high:.4f}")
    console.print(table)
