"""Search: a photo and a box in, the same product out of a gallery.

What is searched may be a folder of photos, a dataset, or vectors that were made before. One photo
is searched by `search`, many by `search_each`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from shoplens.attributes import NO_ATTRIBUTES
from shoplens.boxes.queries import boxed_photo
from shoplens.catalog.base import Catalog
from shoplens.datasets.dataset import Dataset, read_gallery
from shoplens.embedding.caching import Cache
from shoplens.embedding.queries import builtin_encoder
from shoplens.embedding.sets import Picture, embed
from shoplens.errors import CatalogError, PhotoError, RankingError, ShoplensError
from shoplens.hits import Hit, SearchResult
from shoplens.lookup import find_ids
from shoplens.models import DEFAULT_MODEL, Encoder, builtin_names
from shoplens.progress import Progress, silent
from shoplens.ranking import rank
from shoplens.records import Box, PhotoSet
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
        RankingError: the gallery's vectors are of another model.
        ShoplensError: none of the gallery's photos could be embedded.
    """
    if isinstance(gallery, Catalog):
        return gallery.search(photo, box=box, k=k, encoder=encoder)
    encoder = encoder or _encoder_for(gallery)
    query = boxed_photo(photo, box)
    # The query comes first: a faulty one is told before a large gallery is embedded.
    started = time.perf_counter()
    embedded = embed(PhotoSet([query]), encoder, cache=False, workers=1)
    if embedded.failures:
        failure = embedded.failures[0]
        raise PhotoError(failure.reason, f"{query.name}: {failure.detail}")
    seconds = {"query": time.perf_counter() - started}
    vectors = gallery_vectors(gallery, encoder, cache=cache, workers=workers, progress=progress)
    return search_vectors(PhotoSet([query]), embedded, vectors, k, seconds)[0]


def search_each(
    queries: PhotoSet,
    gallery: Gallery,
    *,
    k: int = 20,
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
    if isinstance(gallery, Catalog):
        return gallery.search_each(queries, k=k, encoder=encoder, workers=workers)
    encoder = encoder or _encoder_for(gallery)
    started = time.perf_counter()
    embedded = embed(queries, encoder, cache=cache, workers=workers, progress=progress)
    seconds = {"query": time.perf_counter() - started}
    vectors = gallery_vectors(gallery, encoder, cache=cache, workers=workers, progress=progress)
    return search_vectors(queries, embedded, vectors, k, seconds)


def gallery_vectors(
    gallery: Gallery,
    encoder: Encoder,
    *,
    cache: Cache = True,
    workers: int | None = None,
    progress: Progress = silent,
) -> Embeddings:
    """Return a gallery's vectors: those given, or those of its photos.

    Raises as `search`.
    """
    if isinstance(gallery, Catalog):
        raise CatalogError("a catalogue keeps its vectors: use its own search")
    if isinstance(gallery, Embeddings):
        return gallery
    if isinstance(gallery, Dataset):
        gallery = gallery.gallery
    if not isinstance(gallery, PhotoSet):
        gallery = read_gallery(gallery)
    return embed(gallery, encoder, cache=cache, workers=workers, progress=progress)


def search_vectors(
    queries: PhotoSet,
    query_vectors: Embeddings,
    gallery: Embeddings,
    k: int,
    seconds: Mapping[str, float] | None = None,
) -> list[SearchResult]:
    """Search with vectors that are at hand.

    Args:
        queries: q photos.
        query_vectors: theirs.
        gallery: the vectors to search.
        k: how many hits to return.
        seconds: what was spent before.

    Returns:
        A result for each query.

    Raises:
        RankingError: the vectors are of different models, or the gallery is empty.
        ShoplensError: no gallery photo has a vector.
    """
    if k < 1:
        raise RankingError(f"k must be at least 1, got {k}")
    if len(gallery) and not gallery.has_vector.any():
        raise ShoplensError(f"none of the {len(gallery):,} gallery photos could be embedded")
    ranking = rank(query_vectors, gallery, depth=k)
    scores = ranking.scores if ranking.scores is not None else np.empty((0, 0), np.float32)
    failures = {failure.row: failure for failure in query_vectors.failures}
    rows = find_ids(ranking.ids, gallery.ids)
    spent = {**(seconds or {}), **gallery.seconds, **ranking.seconds}
    results = []
    for number, query in enumerate(queries):
        found = zip(rows[number].tolist(), scores[number].tolist(), strict=True)
        hits = [
            _hit(position, gallery, row, score)
            for position, (row, score) in enumerate(found, start=1)
            if np.isfinite(score)
        ]
        results.append(
            SearchResult(
                query=query,
                hits=tuple(hits),
                n_gallery=len(gallery),
                model_name=query_vectors.model_name,
                fingerprint=query_vectors.fingerprint,
                failure=failures.get(number),
                gallery=gallery,
                n_failed=len(gallery.failures),
                seconds=spent,
            )
        )
    return results


def _hit(position: int, gallery: Embeddings, row: int, score: float) -> Hit:
    photo = None if gallery.photos is None else gallery.photos[row]
    return Hit(
        rank=position,
        photo_id=int(gallery.ids[row]),
        product_id=None if photo is None else photo.product_id,
        score=score,
        path="" if photo is None else photo.name,
        photo=photo,
        attributes=NO_ATTRIBUTES if photo is None else photo.attributes,
    )


def _encoder_for(gallery: Gallery) -> Encoder:
    name = gallery.model_name if isinstance(gallery, Embeddings) else None
    return builtin_encoder(name if name is not None and name in builtin_names() else DEFAULT_MODEL)
