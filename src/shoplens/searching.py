"""Search: a photo and a box in, the same product out of a gallery.

What is searched may be a folder of photos, a dataset, or vectors that were made before. One photo
is searched by `search`, many by `search_each`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from shoplens.attributes import NO_ATTRIBUTES
from shoplens.boxes.queries import boxed_photo
from shoplens.catalog.base import Catalog
from shoplens.confidence.calibration import Calibration
from shoplens.confidence.evidence import DEPTH as EVIDENCE_DEPTH
from shoplens.datasets.dataset import Dataset, read_gallery
from shoplens.embedding.caching import Cache
from shoplens.embedding.queries import builtin_encoder
from shoplens.embedding.sets import Picture, embed
from shoplens.errors import CatalogError, PhotoError, ShoplensError
from shoplens.hits import Hit, SearchResult, View
from shoplens.lookup import find_ids
from shoplens.models import DEFAULT_MODEL, Encoder
from shoplens.models.model_folder import is_builtin
from shoplens.products.listing import Listing
from shoplens.progress import Progress, silent
from shoplens.ranking import DEPTH, Ranking, rank
from shoplens.records import Box, PhotoSet, Vector
from shoplens.regions.embedding import with_regions
from shoplens.reranking import NO_STEPS, Chain, Ranked, online_chain
from shoplens.search_options import SearchOptions
from shoplens.similarities import photo_scores
from shoplens.vectors.embeddings import Embeddings

Gallery = str | Path | Dataset | PhotoSet | Embeddings | Catalog
"""What can be searched: a folder, table, archive or URL as `read_gallery` reads it; a dataset that
was read, or its gallery; the vectors of one; or a catalogue."""


def search(
    photo: Picture,
    gallery: Gallery,
    *,
    box: Box | str | None = None,
    k: int = 20,
    regions: int | None = None,
    query_views: int = 1,
    group_by: Literal["product"] | None = None,
    product_score: str | None = None,
    variants: str | None = None,
    collapse: bool | float = False,
    confidence: Calibration | None = None,
    rerank: str | Chain | None = None,
    encoder: Encoder | None = None,
    cache: Cache = True,
    workers: int | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Find the product of a photo in a gallery.

    Args:
        photo: the path of a file, the bytes of one, or a picture opened by Pillow.
        gallery: a folder of photos, a dataset, `Embeddings`, or a `Catalog`. Photos are embedded
            first, which takes a while the first time; their vectors are kept in the cache. The
            photos of a catalogue are embedded already; its own `search` has filters and more.
        box: where the product is: a `Box` in pixels of the upright photo, or the text `x,y,w,h` or
            `rel:x,y,w,h` (fractions), or `auto` for the best box that `propose_boxes` finds; the
            result's `query.box` tells which. None searches for the whole photo.
        k: how many hits to return; fewer when the gallery is smaller.
        regions: of how many regions of each gallery photo the vectors are compared as well, up to
            8. A hit's `region` says which one matched. None takes what the gallery has: none, if
            its photos are embedded now.
        query_views: of how many views of the photo its vector is the mean, up to 4 (see
            docs/searching.md).
        group_by: `product` for k products, each with its best photo and its other photos. The best
            1000 photos are looked at for them. Photos without a product stand for themselves.
        product_score: what products are ordered by, where they are grouped: `best` (their best
            photo, as without it), `mean2` or `mean3` (the mean of their best two or three) or
            `logsum` (see docs/product-scores.md).
        variants: which products are one hit together, where they are grouped: those that share the
            value of an attribute, by its name, or `id:-` for those whose ids are the same before
            the last `-`.
        collapse: show photos of the same picture as one hit; its `duplicates` are the others. A
            number is from which similarity of their vectors on they do; True is 0.95, which suits
            built-in models.
        confidence: a calibration of the model (`shoplens.calibrate`); then hits have a
            `confidence`, and the result a `no_match`.
        rerank: a chain of re-ranking methods, such as `alpha-qe:k=4` (docs/reranking.md). Only
            gallery-side methods can be used: a search does not depend on other searches. `none` for
            no re-ranking; so does None, unless the gallery is a catalogue that keeps a chain.
        encoder: the model; None takes the one that made the gallery's vectors where it is built
            in, else the default.
        cache: whether the gallery's vectors are kept (see `embed`).
        workers: threads that embed the gallery (see `embed`).
        progress: told how far embedding is.

    Returns:
        The hits, best first, as a sequence of `Hit`.

    Raises:
        PhotoError: the photo or its box cannot be used.
        MissingError: there is no such gallery.
        DataError: the gallery's table is faulty.
        ModelError: the calibration is for another model.
        RankingError: the gallery's vectors are of another model, or a re-ranking step cannot be
            taken.
        ChainError: `rerank` is not a chain.
        CatalogError: `regions` were asked for of a catalogue. It has what it was indexed with.
        ShoplensError: none of the gallery's photos could be embedded, or there cannot be so many
            regions or views.
    """
    chain = NO_STEPS if rerank is None else online_chain(rerank)
    options = SearchOptions(k, group_by, product_score, variants, collapse, confidence, chain)
    if isinstance(gallery, Catalog):
        _refuse_regions(regions)
        return gallery.search(
            photo,
            box=box,
            rerank=rerank,
            query_views=query_views,
            encoder=encoder,
            **options.arguments(),
        )
    options.listing()  # What does not fit is told before photos are embedded.
    encoder = encoder or _encoder_for(gallery)
    query = boxed_photo(photo, box)
    # The query comes first: a faulty one is told before a large gallery is embedded.
    started = time.perf_counter()
    embedded = embed(PhotoSet([query]), encoder, views=query_views, cache=False, workers=1)
    if embedded.failures:
        failure = embedded.failures[0]
        raise PhotoError(failure.reason, f"{query.name}: {failure.detail}")
    seconds = {"query": time.perf_counter() - started}
    vectors = gallery_vectors(
        gallery, encoder, regions=regions, cache=cache, workers=workers, progress=progress
    )
    return search_vectors(PhotoSet([query]), embedded, vectors, options, seconds)[0]


def search_each(
    queries: PhotoSet,
    gallery: Gallery,
    *,
    k: int = 20,
    regions: int | None = None,
    query_views: int = 1,
    group_by: Literal["product"] | None = None,
    product_score: str | None = None,
    variants: str | None = None,
    collapse: bool | float = False,
    confidence: Calibration | None = None,
    rerank: str | Chain | None = None,
    encoder: Encoder | None = None,
    cache: Cache = True,
    workers: int | None = None,
    progress: Progress = silent,
) -> list[SearchResult]:
    """Search for each of several photos (see `search`).

    Args:
        queries: the photos with their boxes, as `read_queries` gives them.

    Returns:
        A result for each query, in their order. A query that cannot be used has a `failure` and no
        hits.
    """
    chain = NO_STEPS if rerank is None else online_chain(rerank)
    options = SearchOptions(k, group_by, product_score, variants, collapse, confidence, chain)
    if isinstance(gallery, Catalog):
        _refuse_regions(regions)
        return gallery.search_each(
            queries,
            rerank=rerank,
            query_views=query_views,
            encoder=encoder,
            workers=workers,
            progress=progress,
            **options.arguments(),
        )
    options.listing()  # What does not fit is told before photos are embedded.
    encoder = encoder or _encoder_for(gallery)
    started = time.perf_counter()
    embedded = embed(
        queries, encoder, views=query_views, cache=cache, workers=workers, progress=progress
    )
    seconds = {"query": time.perf_counter() - started}
    vectors = gallery_vectors(
        gallery, encoder, regions=regions, cache=cache, workers=workers, progress=progress
    )
    return search_vectors(queries, embedded, vectors, options, seconds)


def gallery_vectors(
    gallery: Gallery,
    encoder: Encoder,
    *,
    regions: int | None = None,
    cache: Cache = True,
    workers: int | None = None,
    progress: Progress = silent,
) -> Embeddings:
    """Return a gallery's vectors: those given, or those of its photos, and of their regions.

    Arguments and errors are those of `search`.
    """
    if isinstance(gallery, Catalog):
        raise CatalogError("a catalogue keeps its vectors: use its own search")
    if isinstance(gallery, Embeddings):
        vectors = gallery
    else:
        if isinstance(gallery, Dataset):
            gallery = gallery.gallery
        if not isinstance(gallery, PhotoSet):
            gallery = read_gallery(gallery)
        vectors = embed(gallery, encoder, cache=cache, workers=workers, progress=progress)
    if regions is None:
        return vectors
    return with_regions(vectors, regions, encoder, cache=cache, workers=workers, progress=progress)


def search_vectors(
    queries: PhotoSet,
    query_vectors: Embeddings,
    gallery: Embeddings,
    options: SearchOptions,
    seconds: Mapping[str, float] | None = None,
) -> list[SearchResult]:
    """Search with vectors that are at hand.

    Args:
        queries: q photos.
        query_vectors: theirs.
        gallery: the vectors to search.
        options: how many hits to return, what is one, and so on.
        seconds: what was spent before.

    Returns:
        A result for each query.

    Raises:
        ModelError: the calibration is for another model.
        RankingError: the vectors are of different models, the gallery is empty, or an option does
            not exist or does not fit.
        ShoplensError: no gallery photo has a vector.
    """
    listing, chain, confidence = options.listing(), options.chain, options.confidence
    if confidence is not None:
        regions = 0 if gallery.regions is None else gallery.regions.limit
        confidence.require_fit(
            gallery.fingerprint,
            gallery.model_name,
            regions,
            query_views=query_vectors.views,
            chain=chain.names,
        )
    if len(gallery) and not gallery.has_vector.any():
        raise ShoplensError(f"none of the {len(gallery):,} gallery photos could be embedded")
    depth = listing.k if listing.is_plain else max(listing.n_photos, DEPTH)
    if chain.steps:
        depth = max(depth, DEPTH)
        listing.require_similarities()
    if confidence is not None:
        depth = max(depth, EVIDENCE_DEPTH)
    ranked = chain.rerank(Ranked(rank(query_vectors, gallery, depth=depth), query_vectors, gallery))
    # More photos than are listed only tell of products, and of how sure the search is.
    n_hits = listing.k if listing.is_plain and confidence is None else depth
    ranking, scores, rows = ranked.ranking, ranked.scores[:, :n_hits], ranked.positions(n_hits)
    products = _Products(gallery)
    failures = {failure.row: failure for failure in query_vectors.failures}
    spent = {**(seconds or {}), **gallery.seconds, **ranking.seconds}
    results = []
    for number, query in enumerate(queries):
        found = zip(rows[number].tolist(), scores[number].tolist(), strict=True)
        photos = [
            _hit(position, gallery, row, score, _region(ranking, number, position))
            for position, (row, score) in enumerate(found, start=1)
            if np.isfinite(score)
        ]
        hits = products.listed(photos, listing, query_vectors.vectors[number])
        judgement = None
        if confidence is not None and number not in failures:
            judgement = confidence.judge(photos)
        results.append(
            SearchResult(
                query=query,
                hits=hits if judgement is None else judgement.told(hits),
                n_gallery=len(gallery),
                model_name=query_vectors.model_name,
                fingerprint=query_vectors.fingerprint,
                chain=chain.names,
                failure=failures.get(number),
                gallery=gallery,
                n_failed=len(gallery.failures),
                confidence=None if judgement is None else judgement.confidence,
                no_match=None if judgement is None else judgement.no_match,
                seconds=spent,
            )
        )
    return results


def _region(ranking: Ranking, number: int, position: int) -> Box | None:
    """Return the region of a query's photo at a rank that matched."""
    if ranking.regions is None:
        return None
    return ranking.regions.box(number, int(ranking.ids[number, position - 1]))


def _refuse_regions(regions: int | None) -> None:
    if regions is not None:
        raise CatalogError(
            "a catalogue has the regions that it was indexed with: leave `regions` out"
        )


class _Products:
    """The photos of each product of a gallery, looked up when they are first needed.

    Args:
        gallery: the vectors that are searched.
    """

    def __init__(self, gallery: Embeddings) -> None:
        self._gallery = gallery

    @functools.cached_property
    def _rows(self) -> Mapping[str, list[int]]:
        rows: dict[str, list[int]] = {}
        has_vector = self._gallery.has_vector
        for row, photo in enumerate(self._gallery.photos or ()):
            if photo.product_id is not None and has_vector[row]:
                rows.setdefault(photo.product_id, []).append(row)
        return rows

    def listed(self, photos: Sequence[Hit], listing: Listing, query: Vector) -> tuple[Hit, ...]:
        """Return the hits of a query."""
        if listing.is_plain:
            return tuple(photos[: listing.k])
        gallery = self._gallery

        def views(product_ids: Sequence[str]) -> dict[str, list[View]]:
            found = {}
            for product in product_ids:
                rows = np.array(self._rows[product])
                scores = photo_scores(query, gallery, rows)
                best = np.argsort(-scores, kind="stable")
                hits = [
                    _hit(0, gallery, row, score, None)
                    for row, score in zip(rows[best].tolist(), scores[best].tolist(), strict=True)
                ]
                found[product] = [View(hit.photo_id, hit.score, hit.path) for hit in hits]
            return found

        vectors = {}
        if listing.collapses:
            ids = np.array([[hit.photo_id for hit in photos]], dtype=np.int32)
            rows = find_ids(ids, gallery.ids)[0].tolist()
            vectors = {
                hit.photo_id: gallery.vectors[row] for hit, row in zip(photos, rows, strict=True)
            }
        return listing.finished(listing.chosen(photos, views, vectors), views)


def _hit(position: int, gallery: Embeddings, row: int, score: float, region: Box | None) -> Hit:
    photo = None if gallery.photos is None else gallery.photos[row]
    return Hit(
        rank=position,
        photo_id=int(gallery.ids[row]),
        product_id=None if photo is None else photo.product_id,
        score=score,
        path="" if photo is None else photo.name,
        photo=photo,
        attributes=NO_ATTRIBUTES if photo is None else photo.attributes,
        region=region,
    )


def _encoder_for(gallery: Gallery) -> Encoder:
    name = gallery.model_name if isinstance(gallery, Embeddings) else None
    return builtin_encoder(name if is_builtin(name) else DEFAULT_MODEL)
