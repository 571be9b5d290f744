"""`shoplens search`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from shoplens.boxes.queries import AUTO
from shoplens.cli.console import Results, message, write_json
from shoplens.cli.hit_page import matches_option, write_hit_page
from shoplens.cli.hit_table import print_hits
from shoplens.cli.listing_options import listing_options
from shoplens.cli.options import (
    CATALOG_HELP,
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
from shoplens.cli.reranking_options import (
    Reranking,
    online_rerank_options,
)
from shoplens.cli.search_catalog import search_catalog
from shoplens.cli.search_found import print_facets
from shoplens.cli.search_gallery import search_gallery
from shoplens.cli.search_query import Query
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.errors import RankingError
from shoplens.pipeline import VectorFiles
from shoplens.records import BoxFrame
from shoplens.reranking import online_chain
from shoplens.search_options import SearchOptions


@click.command()
@click.argument("photos", nargs=-1, type=click.Path(path_type=Path), metavar="[PHOTO]...")
@click.option(
    "--box",
    "box_text",
    metavar="X,Y,W,H",
    help="Where the product is, in pixels of the upright photo, or rel:x,y,w,h in fractions of "
    "it, or `auto` for a box that is proposed. By default the whole photo.",
)
@click.option(
    "--queries",
    metavar="DATASET_OR_CSV",
    help="Search for each photo of a test set's queries.csv, or of such a table, with its box.",
)
@click.option(
    "--photo-id",
    metavar="ID",
    help="Search for photos like this photo of the catalogue.",
)
@click.option(
    "--gallery",
    metavar="DATASET_OR_FOLDER",
    help="Where to search: a test set folder, a CSV table, or any folder of images.",
)
@click.option(
    "--catalog",
    metavar="URI",
    help=f"The catalogue to search, instead of --gallery: {CATALOG_HELP}.",
)
@click.option(
    "-k",
    "depth",
    type=click.IntRange(min=1),
    metavar="N",
    default=20,
    show_default=True,
    help="How many hits to return.",
)
@click.option(
    "--where",
    metavar="FILTER",
    help="Only search photos of the catalogue that pass this filter, such as "
    "'category = \"shoes\" and price < 50' (docs/filters.md).",
)
@click.option(
    "--min-score",
    type=click.FloatRange(-1, 1),
    metavar="SCORE",
    help="Leave out hits with a lower score.",
)
@click.option(
    "--facet",
    "facets",
    multiple=True,
    metavar="NAME",
    help="Also count the values of this attribute among the photos that pass --where; repeatable.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Compare every photo that passes --where, even where an index would be faster.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=writable,
    help="Also write the hits as a page with pictures.",
)
@matches_option
@listing_options
@online_rerank_options
@gallery_vectors_option
@query_vectors_option
@regions_option
@query_views_option
@boxes_option
@columns_option
@remote_option
@embedding_options
@json_option
def search(
    photos: tuple[Path, ...],
    box_text: str | None,
    queries: str | None,
    photo_id: str | None,
    gallery: str | None,
    catalog: str | None,
    depth: int,
    where: str | None,
    min_score: float | None,
    facets: tuple[str, ...],
    exact: bool,
    html_file: Path | None,
    matches: bool,
    options: SearchOptions,
    reranking: Reranking,
    embedding: EmbeddingSettings,
    gallery_vectors: Path | None,
    query_vectors: Path | None,
    regions: int,
    query_views: int,
    box_frame: BoxFrame,
    columns: dict[str, str],
    remote: bool,
    json_file: str | None,
) -> int:
    """Search a gallery or a catalogue for the product in PHOTO, or in each of several.

    Say where to search, with --gallery or --catalog. If a PHOTO cannot be used, the exit code is 1.

    \b
    Example:
      shoplens search snapshot.jpg --box 120,40,300,200 --gallery photos/
      shoplens search snapshot.jpg --catalog shop --where 'price < 50'
    """
    distinct(html_file, json_file)
    options = replace(options, k=depth)
    if matches and html_file is None:
        raise click.UsageError("--matches is shown on the page: name it with --html")
    if reranking.chain is not None:
        try:
            online_chain(reranking.chain)
        except RankingError as error:
            raise click.UsageError(str(error)) from error
    asked = Query(photos, box_text, queries, photo_id, query_views, box_frame, columns, remote)
    if (gallery is None) == (catalog is None):
        raise click.UsageError("name what to search, with --gallery or with --catalog")
    if sum((bool(photos), queries is not None, photo_id is not None)) != 1:
        raise click.UsageError(
            "name the photos to search for, or a table of them with --queries, or a photo of the "
            "catalogue with --photo-id"
        )
    if box_text is not None and len(photos) != 1 and not (box_text == AUTO and photos):
        raise click.UsageError(
            "--box belongs to one photo; for several, use --box auto, or write a table and name it "
            "with --queries"
        )
    if query_views != 1 and (photo_id is not None or query_vectors is not None):
        raise click.UsageError(
            "--query-views is for photos to embed: it does not go with --photo-id or "
            "--query-vectors"
        )
    files = VectorFiles(gallery_vectors, query_vectors)
    if files.queries is not None and (queries is None or gallery is None):
        raise click.UsageError(
            "--query-vectors needs --queries, a table of the photos that they are of, and --gallery"
        )
    if gallery is not None:
        needing = {
            "--photo-id": photo_id,
            "--where": where,
            "--min-score": min_score,
            "--facet": facets or None,
            "--exact": exact or None,
        }
        if wrong := [name for name, value in needing.items() if value is not None]:
            raise click.UsageError(
                f"only a catalogue takes {', '.join(wrong)}: make one with `shoplens index`, and "
                "name it with --catalog instead of --gallery"
            )
        found = search_gallery(asked, gallery, options, regions, files, embedding, reranking)
    else:
        assert catalog is not None
        if gallery_vectors is not None:
            raise click.UsageError("--gallery-vectors needs --gallery; a catalogue has its own")
        if regions:
            raise click.UsageError(
                "--regions needs --gallery; a catalogue has the regions that it was indexed with"
            )
        arguments = {
            "where": where,
            "min_score": min_score,
            "facets": facets,
            "exact": exact,
            **options.arguments(),
        }
        found = search_catalog(
            asked, catalog, arguments, embedding, reranking, html_file is not None
        )
    shown = Results(json_file)
    print_hits(shown, found.results, found.title)
    if facets and found.results:
        print_facets(shown, found.results[0])
    if html_file is not None:
        write_hit_page(html_file, found.results, found.pictures, with_matches=matches)
        message(f"wrote {html_file}")
    write_json(json_file, found.to_json())
    return 1 if any(result.failure for result in found.results) else 0
