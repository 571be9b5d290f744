"""`shoplens rank`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import message, write_json
from shoplens.cli.listing_options import product_score_option
from shoplens.cli.options import distinct, json_option, output_option
from shoplens.cli.ranking_options import RankingOptions, ranking_options
from shoplens.cli.reranking_options import Reranking, rerank_dataset, rerank_options
from shoplens.cli.telling import tell_ranked
from shoplens.products.ranking import rank_products, require_products
from shoplens.products.scores import ProductScore


@click.command()
@click.argument("dataset", metavar="DATASET")
@output_option(
    "ranks.npy for the ids alone, or ranks.npz with scores and the model's fingerprint.",
    ".npy",
    ".npz",
)
@product_score_option
@rerank_options
@click.option(
    "--save-vectors",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Also write gallery.parquet and queries.parquet to this folder, to rank them again later.",
)
@ranking_options
@json_option
def rank(
    dataset: str,
    output: Path,
    product_score: str | None,
    reranking: Reranking,
    save_vectors: Path | None,
    options: RankingOptions,
    json_file: str | None,
) -> None:
    """Rank a dataset's gallery for each of its queries.

    This writes an int32 array (n_queries, min(1000, n_gallery)) of seller_img_ids, best first, in
    the order of queries.csv. If a query photo cannot be read, its row is the gallery in its order.
    Gallery photos that cannot be read come last. Both are counted.

    With --product-score, each row is ordered by product: all photos of the best product, then those
    of the next. This uses the product ids of the gallery, which a challenge does not tell.

    \b
    Example:
      shoplens rank examples/furniture -o ranks.npy
    """
    distinct(output, json_file)
    data = options.read(dataset)
    if product_score is not None:
        require_products(data.gallery)
    result = options.rank(data, save_vectors)
    result, chosen = rerank_dataset(result, reranking, options)
    tell_ranked(result)
    ranking = result.ranking
    if product_score is not None:
        ranking = rank_products(ranking, data.gallery, ProductScore.parse(product_score))
    ranking.save(output)
    message(f"wrote {output}: {ranking.ids.shape[0]:,} x {ranking.ids.shape[1]:,} ids")
    write_json(
        json_file,
        {
            "output": str(output),
            "shape": list(ranking.ids.shape),
            "n_queries": len(data.queries),
            "n_gallery": len(data.gallery),
            "n_failed": sum(ranking.n_failed.values()),
            **result.to_json(),
            "model": {"name": ranking.model_name, "fingerprint": ranking.fingerprint},
            "chain": list(ranking.chain),
            "batch_side": ranking.batch_side,
            "seconds": dict(ranking.seconds),
            **chosen,
        },
    )
