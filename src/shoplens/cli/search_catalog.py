"""`shoplens search --catalog`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from shoplens.catalog.base import Catalog
from shoplens.catalog.entry import photo_id_of
from shoplens.catalog.filters import parse_filter
from shoplens.catalog.opening import open_catalog
from shoplens.catalog.originals import Originals
from shoplens.catalog.reranked import CANDIDATES, rerank_costs
from shoplens.cli.catalog_reranking import catalog_chain
from shoplens.cli.console import message, progress_display
from shoplens.cli.options import (
    settings_for,
)
from shoplens.cli.reranking_options import (
    Reranking,
    tell_costs,
)
from shoplens.cli.search_found import Found
from shoplens.cli.search_query import Query, tell_clipped
from shoplens.cli.telling import tell_failures
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.hits import SearchResult
from shoplens.models import Encoder
from shoplens.pixels.decoding import read_size
from shoplens.records import Photo, PhotoSet
from shoplens.sources import read_photo


def search_catalog(
    asked: Query,
    uri: str,
    arguments: dict[str, Any],
    embedding: EmbeddingSettings,
    reranking: Reranking,
    with_pictures: bool,
) -> Found:
    """Search a catalogue, and say what is done.

    Args:
        asked: what is searched for.
        uri: where.
        arguments: those of `Catalog.search`; `rerank` is put in here.
        embedding: how photos are embedded.
        reranking: how hits are re-ranked.
        with_pictures: whether the photos of hits are wanted, for a page.
    """
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
    return Found(
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
        tell_clipped(photo)
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
    asked: Query, catalog: Catalog, results: Sequence[SearchResult]
) -> list[tuple[Photo, list[Photo]]]:
    """Return each result's query and the photos of its hits."""
    originals = Originals(remote=asked.remote)

    def shown(photo_ids: Sequence[int | str]) -> list[Photo]:
        return [originals.photo(entry) for entry in catalog.get_many(photo_ids) if entry]

    named = [] if asked.photo_id is None else shown([photo_id_of(asked.photo_id)])
    return [
        (result.query or named[0], shown([hit.photo_id for hit in result])) for result in results
    ]
