"""`shoplens rank`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import message, progress_display, write_json
from shoplens.cli.listing_options import product_score_option
from shoplens.cli.options import (
    boxes_option,
    columns_option,
    distinct,
    embedding_options,
    gallery_vectors_option,
    json_option,
    query_vectors_option,
    remote_option,
    writable,
)
from shoplens.cli.query_view_options import query_views_option
from shoplens.cli.region_options import regions_option
from shoplens.cli.reranking_options import Reranking, rerank_dataset, rerank_options
from shoplens.cli.telling import tell_ranked
from shoplens.datasets.dataset import read_dataset
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.pipeline import VectorFiles, rank_dataset
from shoplens.products.ranking import rank_products, require_products
from shoplens.products.scores import ProductScore
from shoplens.records import BoxFrame


@click.command()
@click.argument("dataset", metavar="DATASET")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=writable,
    help="ranks.npy for the ids alone, or ranks.npz with scores and the model's fingerprint.",
)
@product_score_option
@rerank_options
@gallery_vectors_option
@query_vectors_option
@click.option(
    "--save-vectors",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Also write gallery.parquet and queries.parquet to this folder, to rank them again later.",
)
@regions_option
@query_views_option
@boxes_option
@columns_option
@remote_option
@embedding_options
@json_option
def rank(
    dataset: str,
    output: Path,
    product_score: str | None,
    reranking: Reranking,
    embedding: EmbeddingSettings,
    gallery_vectors: Path | None,
    query_vectors: Path | None,
    save_vectors: Path | None,
    regions: int,
    query_views: int,
    box_frame: BoxFrame,
    columns: dict[str, str],
    remote: bool,
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
    data = read_dataset(dataset, columns=columns, box_frame=box_frame, remote=remote)
    if output.suffix not in (".npy", ".npz"):
        raise click.BadParameter(f"{output} must end in .npy or .npz", param_hint="--output")
    if product_score is not None:
        require_products(data.gallery)
    files = VectorFiles(gallery_vectors, query_vectors, save_vectors)
    with progress_display() as progress:
        result = rank_dataset(
            data, embedding, files, regions=regions, query_views=query_views, progress=progress
        )
    own = gallery_vectors is not None or query_vectors is not None
    result, chosen = rerank_dataset(result, reranking, embedding, own_vectors=own)
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
