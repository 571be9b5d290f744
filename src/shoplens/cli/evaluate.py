"""`shoplens evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

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
from shoplens.dataset import read_dataset
from shoplens.evaluation import Scores, require_ground_truth
from shoplens.evaluation import evaluate as evaluate_ranking
from shoplens.ranking import DEPTH, Ranking
from shoplens.records import BoxFrame


@click.command()
@click.argument("dataset", metavar="DATASET")
@click.option(
    "--ranks",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Score this answer (.npy, or .npz as `shoplens rank` writes it) instead of ranking.",
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
    data = read_dataset(dataset, columns=columns, box_frame=box_frame, remote=remote)
    require_ground_truth(data)
    extra: dict[str, Any] = {}
    if ranks is not None:
        ranking = Ranking.load(ranks, data.queries.ids)
    else:
        options = PipelineOptions(embedding, gallery_vectors, query_vectors)
        result = run_pipeline(data, options)
        ranking, extra = result.ranking, result.to_json()
    scores = evaluate_ranking(ranking, data)
    columns_found, full = ranking.ids.shape[1], min(DEPTH, len(data.gallery))
    if columns_found < full:
        message(
            f"warning: the answer has {columns_found} columns, a full one {full}; what lies beyond "
            "counts as not found"
        )
    print_scores(results_console(json_file), scores)
    write_json(json_file, {**scores.to_json(), **extra})


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
