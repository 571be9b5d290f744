"""`shoplens evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from shoplens.answers.answer import (
    Policy,
)
from shoplens.answers.ranking_files import read_ranking
from shoplens.cli.console import Results, message, write_json
from shoplens.cli.listing_options import product_score_option
from shoplens.cli.options import json_option
from shoplens.cli.ranking_options import RankingOptions, ranking_options
from shoplens.cli.reranking_options import Reranking, rerank_dataset, rerank_options
from shoplens.cli.telling import tell_ranked
from shoplens.errors import RankingError
from shoplens.evaluation.metric_names import DEFAULT_METRICS, parse_metric
from shoplens.evaluation.scores import Scores, require_ground_truth
from shoplens.evaluation.scores import evaluate as evaluate_ranking
from shoplens.products.ranking import rank_products
from shoplens.products.scores import ProductScore
from shoplens.ranking import is_reranked

PRODUCT_METRICS = ("hit@1:product", "hit@5:product", "mrr:product")
"""Printed beside the others where the ranking is ordered by product."""


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
    help="How to treat faults in --ranks. strict: refuse them, as the challenge's scoring code. "
    "lenient: drop columns after the 1000th and repeats, as its documentation. By default, only "
    "another number of columns is accepted.",
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
@product_score_option
@rerank_options
@ranking_options
@json_option
def evaluate(
    dataset: str,
    ranks: Path | None,
    policy: Policy | None,
    more_metrics: tuple[str, ...],
    product_score: str | None,
    reranking: Reranking,
    options: RankingOptions,
    json_file: str | None,
) -> None:
    """Score a ranking of a dataset with ground truth: mAP@1000 and more, with intervals.

    Without --ranks, the dataset is embedded and ranked first. Intervals are 95 % bootstrap
    intervals that resample products. Queries whose product has no gallery photo are left out of
    every mean and counted. The definitions are in docs/metrics.md.

    With --product-score, each row is ordered by product first: all photos of the best product, then
    those of the next. This uses the product ids of the gallery.

    \b
    Example:
      shoplens evaluate examples/furniture --ranks ranks.npy --json scores.json
    """
    if ranks is not None and options.own_vectors:
        raise click.UsageError("--ranks is scored as it is; it cannot go with vectors to rank")
    if ranks is not None and options.regions:
        raise click.UsageError("--ranks is scored as it is; it cannot go with --regions")
    if ranks is not None and options.query_views != 1:
        raise click.UsageError("--ranks is scored as it is; it cannot go with --query-views")
    if ranks is not None and product_score is not None:
        raise click.UsageError(
            "--ranks is scored as it is; to order products by their scores, leave it out"
        )
    if ranks is not None and reranking.asked:
        raise click.UsageError(
            "--ranks is scored as it is; to re-rank, leave it out, or use `shoplens rank --rerank`"
        )
    if policy is not None and ranks is None:
        raise click.UsageError("--policy is for an answer given with --ranks")
    data = options.read(dataset)
    require_ground_truth(data)
    extra: dict[str, Any] = {}
    if ranks is not None:
        ranking, findings = read_ranking(ranks, data, policy)
        for finding in findings:
            message(str(finding))
        extra = {"findings": [finding.to_json() for finding in findings]}
    else:
        result = options.rank(data)
        result, chosen = rerank_dataset(result, reranking, options)
        tell_ranked(result)
        ranking, extra = result.ranking, {**result.to_json(), **chosen}
    if product_score is not None:
        ranking = rank_products(ranking, data.gallery, ProductScore.parse(product_score))
        more_metrics = (*PRODUCT_METRICS, *more_metrics)
    metrics = tuple(dict.fromkeys((*DEFAULT_METRICS, *more_metrics)))
    scores = evaluate_ranking(ranking, data, metrics=metrics)
    print_scores(Results(json_file), scores, more_metrics)
    write_json(json_file, {**scores.to_json(), **extra})


def print_scores(results: Results, scores: Scores, asked: Sequence[str] = ()) -> None:
    """Print the metrics with their intervals, and what they are of.

    Metrics that say nothing of so small a gallery are left out, unless they were asked for.
    """
    title = f"{scores.n_queries:,} queries, {scores.n_gallery:,} gallery photos"
    if scores.ranking.batch_side:
        title += ", batch-side (uses other queries)"
    elif is_reranked(scores.ranking.chain):
        title += ", gallery-side"
    if scores.n_failed:
        title += f", {scores.n_failed:,} photos failed"
    if scores.n_without_positive:
        title += f", {scores.n_without_positive:,} queries without a positive left out"
    estimates = {name: scores[name] for name in (*scores.informative, *asked)}
    results.table(
        ("metric", "value", "95 % interval"),
        (
            (name, f"{estimate.value:.4f}", f"{estimate.low:.4f} .. {estimate.high:.4f}")
            for name, estimate in estimates.items()
        ),
        numbers=("value", "95 % interval"),
        title=title,
    )
