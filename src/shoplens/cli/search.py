"""`shoplens search`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from shoplens.boxes.queries import AUTO, boxed_photo
from shoplens.catalog.base import Catalog
from shoplens.catalog.entry import photo_id_of
from shoplens.catalog.filters import parse_filter
from shoplens.catalog.opening import open_catalog
from shoplens.catalog.originals import Originals
from shoplens.catalog.reranked import CANDIDATES, rerank_costs
from shoplens.cli.catalog_reranking import catalog_chain
from shoplens.cli.console import Results, message, progress_display, write_json
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
    settings_for,
    writable,
)
from shoplens.cli.query_view_options import query_views_option
from shoplens.cli.region_options import regions_option
from shoplens.cli.reranking_options import (
    Reranking,
    chosen_chain,
    online_rerank_options,
    tell_costs,
)
from shoplens.cli.telling import tell_failures, tell_others, tell_photos
from shoplens.datasets.dataset import read_gallery, read_queries
from shoplens.embedding.sets import embed
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.errors import MissingError, PhotoError, RankingError
from shoplens.hits import SearchResult
from shoplens.models import Encoder
from shoplens.pipeline import VectorFiles, failures_json, load_vectors, require_same_model
from shoplens.pixels.decoding import read_size
from shoplens.records import BoxFrame, Photo, PhotoSet
from shoplens.regions.embedding import first_regions, with_regions
from shoplens.reranking import Ranked, online_chain
from shoplens.search_options import SearchOptions
from shoplens.searching import search_vectors
from shoplens.sources import read_photo


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
      shoplens search snapshot.jpg --box 120,40,300,200 --gallery photos/ -k 10 --html hits.html
      shoplens search snapshot.jpg --catalog shop --where 'price < 50' --group-by product
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
    asked = _Query(photos, box_text, queries, photo_id, query_views, box_frame, columns, remote)
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
        found = _search_gallery(asked, gallery, options, regions, files, embedding, reranking)
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
        found = _search_catalog(
            asked, catalog, arguments, embedding, reranking, html_file is not None
        )
    shown = Results(json_file)
    print_hits(shown, found.results, found.title)
    if facets and found.results:
        _print_facets(shown, found.results[0])
    if html_file is not None:
        write_hit_page(html_file, found.results, found.pictures, with_matches=matches)
        message(f"wrote {html_file}")
    write_json(json_file, found.to_json())
    return 1 if any(result.failure for result in found.results) else 0


@dataclass(frozen=True, slots=True)
class _Query:
    """What is searched for."""

    photos: tuple[Path, ...]
    box_text: str | None
    table: str | None
    photo_id: str | None
    views: int
    box_frame: BoxFrame
    columns: dict[str, str]
    remote: bool

    @property
    def is_single(self) -> bool:
        """Whether there is one result, whose JSON stands by itself."""
        return self.table is None and len(self.photos) < 2

    def read(self) -> PhotoSet:
        """Return the photos that are searched for."""
        if self.table is None:
            return PhotoSet(self._photo(n, photo) for n, photo in enumerate(self.photos))
        return read_queries(
            self.table, columns=self.columns, box_frame=self.box_frame, remote=self.remote
        )

    def _photo(self, number: int, photo: Path) -> Photo:
        if photo.is_dir():
            raise click.BadParameter(
                f"{photo} is a folder; name a photo to search for, and the folder to search in "
                "with --gallery",
                param_hint="PHOTO",
            )
        if not photo.exists():
            raise MissingError(f"photo {photo} is not there")
        try:
            found = boxed_photo(photo, self.box_text, number)
        except PhotoError as error:
            if error.reason != "bad_box":
                raise
            raise click.BadParameter(str(error), param_hint="--box") from error
        if self.box_text == AUTO:
            message(f"{photo}: the proposed box is {found.box}")
        return found


@dataclass(frozen=True, slots=True)
class _Found:
    """The results, and what the outputs say beside them."""

    results: Sequence[SearchResult]
    is_single: bool
    title: str
    failures: Mapping[str, Any]
    """What JSON adds: photos that failed."""
    pictures: Sequence[tuple[Photo, Sequence[Photo]]] = ()
    """For a page: each result's query, and the photos of its hits."""

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` writes."""
        if self.is_single:
            return {**self.results[0].to_json(), **self.failures}
        return {
            "results": [
                {"query": {"id": result.query.id, "path": result.query.name}, **result.to_json()}
                for result in self.results
                if result.query is not None
            ],
            **self.failures,
        }


def _search_gallery(
    asked: _Query,
    gallery: str,
    options: SearchOptions,
    regions: int,
    files: VectorFiles,
    embedding: EmbeddingSettings,
    reranking: Reranking,
) -> _Found:
    with ThreadPoolExecutor(1) as pool:
        # The model loads while the gallery is listed: for one photo a fifth of the time.
        needed = files.gallery is None or files.queries is None or regions
        loading = pool.submit(embedding.load_encoder) if needed else None
        searched = read_gallery(gallery, columns=asked.columns, remote=asked.remote)
        tell_others(searched.n_others)
        loaded = load_vectors(searched, files.gallery)
        if loaded is not None:
            loaded = first_regions(loaded, regions)
        wanted = asked.read()
        vectors = load_vectors(wanted, files.queries)
        encoder = None if loading is None else loading.result()
    for known, file in ((loaded, files.gallery), (vectors, files.queries)):
        if known is not None and encoder is not None:
            require_same_model(known, encoder, file)
    # The queries come first: a bad box is told before a large gallery is embedded.
    if vectors is None:
        assert encoder is not None  # It is needed, then.
        use_cache = asked.table is not None and embedding.use_cache
        vectors = embed(wanted, encoder, views=asked.views, cache=use_cache)
    if asked.is_single and vectors.failures:
        failure = vectors.failures[0]
        raise PhotoError(failure.reason, f"{asked.photos[0]}: {failure.detail}")
    if asked.is_single and vectors.n_clipped:
        _tell_clipped(wanted[0])
    with progress_display() as progress:
        if loaded is None:
            assert encoder is not None
            loaded = embedding.embed(searched, encoder, progress)
        if regions:
            assert encoder is not None
            loaded = with_regions(
                loaded,
                regions,
                encoder,
                cache=embedding.use_cache,
                workers=embedding.workers,
                progress=progress,
            )
    tell_photos("gallery", loaded)
    sides = {"gallery": loaded}
    if not asked.is_single:
        tell_photos("queries", vectors)
        sides["queries"] = vectors
    load = None if files.gallery is not None or encoder is None else lambda: encoder
    chain, chosen = chosen_chain(reranking, loaded, load, embedding)
    seconds = {"query": vectors.seconds.get("embed", 0.0)}
    if chain.steps:
        tell_costs(chain, chain.costs(Ranked.sized(len(wanted), *loaded.vectors.shape)))
    results = search_vectors(wanted, vectors, loaded, replace(options, chain=chain), seconds)
    return _Found(
        results,
        asked.is_single,
        f"{len(searched):,} gallery photos",
        {**failures_json(sides), **chosen},
        [
            (photo, [hit.photo for hit in result if hit.photo is not None])
            for photo, result in zip(wanted, results, strict=True)
        ],
    )


def _search_catalog(
    asked: _Query,
    uri: str,
    arguments: dict[str, Any],
    embedding: EmbeddingSettings,
    reranking: Reranking,
    with_pictures: bool,
) -> _Found:
    where = arguments["where"]
    if where is not None and where.strip():
        parse_filter(where)  # A fault in it is told before a model is loaded.
    with open_catalog(uri, read_only=True) as catalog:
        wanted = PhotoSet([]) if asked.photo_id is not None else asked.read()
        chain, chosen = catalog_chain(reranking, catalog, embedding)
        arguments = {**arguments, "rerank": chain}
        if chain.steps and catalog.model is not None:
            n = min(catalog.count(), max(arguments["k"], CANDIDATES))
            costs = rerank_costs(chain, n, catalog.model.dimension)
            tell_costs(chain, [cost.times(max(1, len(wanted))) for cost in costs])
        if asked.photo_id is not None:
            results = [catalog.search(photo_id=asked.photo_id, **arguments)]
        else:
            arguments = {**arguments, "query_views": asked.views}
            encoder = settings_for(catalog.model, embedding).load_encoder()
            if asked.is_single:
                results = [_search_one(wanted[0], catalog, encoder, arguments)]
            else:
                results = _search_each(wanted, catalog, encoder, arguments, embedding)
        n_photos = catalog.count()
        pictures = _pictures(asked, catalog, results) if with_pictures else ()
    failures = [result.failure for result in results if result.failure is not None]
    failed_photos = [
        {"side": "queries", "id": f.id, "path": f.name, "reason": f.reason, "detail": f.detail}
        for f in failures
    ]
    counts = dict(Counter(failure.reason for failure in failures).most_common())
    told = {"failures": {"queries": counts}, "failed_photos": failed_photos}
    return _Found(
        results,
        asked.is_single,
        f"{n_photos:,} photos in {uri}",
        chosen if asked.is_single else {**told, **chosen},
        pictures,
    )


def _search_one(
    photo: Photo, catalog: Catalog, encoder: Encoder, arguments: dict[str, Any]
) -> SearchResult:
    if photo.box is not None and not photo.box.is_within(read_size(read_photo(photo))):
        _tell_clipped(photo)
    return catalog.search(photo.path, box=photo.box, encoder=encoder, **arguments)


def _search_each(
    wanted: PhotoSet,
    catalog: Catalog,
    encoder: Encoder,
    arguments: dict[str, Any],
    embedding: EmbeddingSettings,
) -> list[SearchResult]:
    with progress_display() as progress:
        results = catalog.search_each(
            wanted, encoder=encoder, workers=embedding.workers, progress=progress, **arguments
        )
    failures = [result.failure for result in results if result.failure is not None]
    message(f"queries: {len(results) - len(failures):,} of {len(results):,} photos")
    tell_failures(failures)
    return results


def _pictures(
    asked: _Query, catalog: Catalog, results: Sequence[SearchResult]
) -> list[tuple[Photo, list[Photo]]]:
    """Return each result's query and the photos of its hits."""
    originals = Originals(remote=asked.remote)

    def shown(photo_ids: Sequence[int | str]) -> list[Photo]:
        return [originals.photo(entry) for entry in catalog.get_many(photo_ids) if entry]

    named = [] if asked.photo_id is None else shown([photo_id_of(asked.photo_id)])
    return [
        (result.query or named[0], shown([hit.photo_id for hit in result])) for result in results
    ]


def _tell_clipped(photo: Photo) -> None:
    message(f"box {photo.box} reaches beyond the photo: the part inside is searched for")


def _print_facets(shown: Results, result: SearchResult) -> None:
    shown.table(
        ("attribute", "value", "photos"),
        (
            (name, "null" if value is None else value, count)
            for name, counts in (result.facets or {}).items()
            for value, count in counts.items()
        ),
        numbers=("photos",),
    )
