"""`shoplens demo`."""

from __future__ import annotations

import webbrowser
from importlib import resources
from pathlib import Path

import click

from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.evaluate import print_scores
from shoplens.cli.options import (
    distinct,
    embedding_options,
    json_option,
    writable,
)
from shoplens.cli.telling import tell_ranked
from shoplens.datasets.dataset import read_dataset
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.evaluation.scores import evaluate, require_ground_truth
from shoplens.pipeline import rank_dataset
from shoplens.report import show_ranking, write_page


@click.command()
@click.argument("dataset", required=False, metavar="[DATASET]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("shoplens-demo.html"),
    show_default=True,
    metavar="FILE",
    help="The page to write.",
    callback=writable,
)
@click.option(
    "--results",
    "depth",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="How many results to show for each query.",
)
@click.option(
    "--queries",
    "n_shown",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="How many queries to show.",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@embedding_options
@json_option
def demo(
    dataset: str | None,
    output: Path,
    depth: int,
    n_shown: int,
    open_page: bool,
    embedding: EmbeddingSettings,
    json_file: str | None,
) -> None:
    """Search and score, and write a page with each query, its box and its results.

    Without DATASET it uses the sample data of the package: renders of about 20 pieces of furniture.

    \b
    Example:
      shoplens demo
    """
    distinct(output, json_file)
    with resources.as_file(resources.files("shoplens") / "sample") as sample:
        data = read_dataset(dataset if dataset is not None else sample)
        require_ground_truth(data)
        with progress_display() as progress:
            result = rank_dataset(data, embedding, progress=progress)
        tell_ranked(result)
        scores = evaluate(result.ranking, data)
        print_scores(Results(json_file), scores)
        best = scores["map@1000"]
        title = Path(dataset).name if dataset is not None else "sample furniture"
        facts = [
            ("mAP@1000", f"{best.value:.3f}"),
            ("95 % interval", f"{best.low:.3f} .. {best.high:.3f}"),
            ("hit@1", f"{scores['hit@1'].value:.3f}"),
            ("queries", f"{scores.n_queries:,}"),
            ("gallery photos", f"{scores.n_gallery:,}"),
            ("failed", f"{scores.n_failed:,}"),
            ("model", result.ranking.model_name or ""),
        ]
        write_page(
            output,
            f"shoplens: {title}",
            facts,
            show_ranking(scores, data, depth)[:n_shown],
        )
    message(f"wrote {output.resolve()}: open it in a browser")
    write_json(json_file, {**scores.to_json(), **result.to_json(), "page": str(output)})
    if open_page:
        webbrowser.open(output.resolve().as_uri())
