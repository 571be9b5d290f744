"""`shoplens calibrate`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import distinct, json_option, output_option, writable
from shoplens.cli.ranking_options import RankingOptions, ranking_options
from shoplens.cli.reranking_options import rerank_chain_option
from shoplens.cli.telling import tell_ranked
from shoplens.confidence import Calibration
from shoplens.confidence import calibrate as fit_calibration
from shoplens.evaluation.scores import require_ground_truth
from shoplens.reranking import Chain


@click.command()
@click.argument("dataset", metavar="DATASET")
@output_option("The calibration to write, for `shoplens search --confidence`.")
@click.option(
    "--category",
    metavar="COLUMN",
    help="A column of the gallery's table with categories. Confidences may differ between them. By "
    "default `category`, if it exists.",
)
@click.option(
    "--false-accepts",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    metavar="SHARE",
    help="The share of searches that may pass as a match although their product is not in the "
    "gallery.",
)
@click.option(
    "--absent",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="The share of all searches that will be for a product that is not in the gallery, beyond "
    "those of the dataset. It lowers all confidences.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=writable,
    help="Also write a page with a reliability diagram.",
)
@rerank_chain_option
@ranking_options
@json_option
def calibrate(
    dataset: str,
    output: Path,
    category: str | None,
    false_accepts: float,
    absent: float,
    html_file: Path | None,
    chain: Chain,
    options: RankingOptions,
    json_file: str | None,
) -> None:
    """Learn from a dataset with ground truth how likely a score means the same product.

    The file that this writes is for one model, and for the --regions, --query-views and --rerank
    that are given here. With it, `shoplens search --confidence FILE` gives each hit a probability,
    and says when the product is probably not there. The figures that are printed were measured on
    products that had no part in the fit. docs/confidence.md explains them.

    \b
    Example:
      shoplens calibrate examples/furniture -o confidence.json
    """
    distinct(output, html_file, json_file)
    data = options.read(dataset)
    require_ground_truth(data)
    result = options.rank(data)
    tell_ranked(result)
    found = fit_calibration(
        result.queries,
        result.gallery,
        category=category,
        false_accepts=false_accepts,
        absent=absent,
        rerank=chain,
    )
    found.save(output)
    _print(Results(json_file), found)
    message(f"wrote {output}")
    if html_file is not None:
        from shoplens.report import write_calibration_page  # noqa: PLC0415  Jinja takes its time.

        write_calibration_page(html_file, found)
        message(f"wrote {html_file}")
    write_json(json_file, {"output": str(output), **result.to_json(), **found.to_json()})


def _print(results: Results, found: Calibration) -> None:
    measured = found.measured
    results.table(
        ("measured", "value"),
        (
            ("first product right", f"{measured.right:.3f}"),
            ("calibration error (ECE)", f"{measured.calibration_error:.3f}"),
            ("no match below", f"{found.no_match_below:.3f}"),
            ("false accepts", f"{measured.false_accepts:.3f}"),
            ("true matches kept", f"{measured.true_matches_kept:.3f}"),
            ("temperature of logsum", f"{found.temperature:g}"),
        ),
        numbers=("value",),
        title=f"{measured.n_queries:,} queries of {measured.n_products:,} products, "
        f"{measured.n_gallery:,} gallery photos",
    )
    results.table(
        ("confidence", "searches", "mean confidence", "right"),
        (
            (f"{one.low:.1f} .. {one.high:.1f}", one.n, f"{one.confidence:.3f}", f"{one.right:.3f}")
            for one in measured.bins
        ),
        numbers=("searches", "mean confidence", "right"),
    )
    if measured.categories:
        results.table(
            ("category", "searches", "mean confidence", "right"),
            (
                (one.name, one.n, f"{one.confidence:.3f}", f"{one.right:.3f}")
                for one in measured.categories
            ),
            numbers=("searches", "mean confidence", "right"),
        )
