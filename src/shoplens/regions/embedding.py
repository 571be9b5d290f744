"""Give gallery photos vectors of their regions."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from shoplens.cache import VectorCache
from shoplens.embedding.caching import Cache, opened, opened_beside
from shoplens.embedding.outcome import Embedded
from shoplens.embedding.sets import embed_each
from shoplens.errors import PhotoError, RankingError
from shoplens.models.encoder import Encoder
from shoplens.parallel import parallel_map
from shoplens.progress import Progress, silent
from shoplens.records import Box, Photo
from shoplens.regions.choosing import CACHE, choose_regions, require_number
from shoplens.vectors.embeddings import Embeddings
from shoplens.vectors.regions import PhotoRegions, RegionVectors


def with_regions(
    gallery: Embeddings,
    n: int,
    encoder: Encoder,
    *,
    cache: Cache = True,
    workers: int | None = None,
    progress: Progress = silent,
) -> Embeddings:
    """Return the vectors of a gallery with those of regions of its photos beside them.

    Args:
        gallery: of this model, with its `photos`. Photos that failed, and photos with a box, get no
            regions.
        n: regions of each photo, at most 8; 0 for none. If `gallery` has as many or more already,
            its first n are taken, and nothing is embedded.
        encoder: the model.
        cache: as in `shoplens.embed`, for chosen regions and for vectors.
        workers: as in `shoplens.embed`.
        progress: called with the number of photos done.

    Raises:
        RankingError: it is not known which photos the vectors are of.
        ShoplensError: `n` is below 0 or above 8.
    """
    require_number(n)
    if n <= gallery.n_regions:
        return first_regions(gallery, n)
    if gallery.photos is None:
        raise RankingError(
            "regions are embedded from photos, and only the vectors of this gallery are known"
        )
    started = time.perf_counter()
    usable = np.flatnonzero(gallery.has_vector).tolist()
    photos = [gallery.photos[row] for row in usable]
    found: list[PhotoRegions | None] = [None] * len(gallery)
    with closing(embed_regions(photos, n, encoder, cache=cache, workers=workers)) as results:
        for done, (row, regions) in enumerate(zip(usable, results, strict=True), start=1):
            found[row] = regions
            progress("embed regions", done, len(usable))
    made = RegionVectors.of(n, encoder.dimension, found)
    seconds = {**gallery.seconds, "regions": time.perf_counter() - started}
    return replace(gallery, regions=made, seconds=seconds)


def first_regions(gallery: Embeddings, n: int) -> Embeddings:
    """Return a gallery with the first n regions of those that it has; 0 for none."""
    regions = gallery.regions
    if regions is None or n == regions.limit:
        return gallery
    return replace(gallery, regions=regions.first(n) if n else None)


def embed_regions(
    photos: Iterable[Photo],
    n: int,
    encoder: Encoder,
    *,
    cache: Cache = True,
    workers: int | None = None,
) -> Generator[PhotoRegions, None, None]:
    """Yield the regions of each photo with their vectors, in order.

    Photos with a box, and those that cannot be used, have none. Memory holds a few photos for each
    thread, however many there are.

    Args:
        photos: read as they are needed.
        n: regions of each photo, at most.
        encoder: the model.
        cache: as in `shoplens.embed`, for chosen regions and for vectors.
        workers: as in `shoplens.embed_each`.
    """
    with (
        opened_beside(cache, CACHE) as choices,
        opened(cache, encoder.fingerprint) as open_cache,
        closing(
            parallel_map(lambda photo: _with_boxes(photo, n, choices), photos, workers)
        ) as chosen,
    ):
        yield from embed_boxes(chosen, n, encoder, cache=open_cache, workers=workers)


def embed_boxes(
    photos: Iterable[tuple[Photo, Sequence[Box]]],
    limit: int,
    encoder: Encoder,
    *,
    cache: VectorCache | None = None,
    workers: int | None = None,
) -> Iterator[PhotoRegions]:
    """Yield the vectors of regions that are chosen already, photo by photo, in order.

    A region that cannot be embedded is left out. `limit` is how many were asked for.
    """
    waiting: deque[Sequence[Box]] = deque()
    found: deque[Embedded] = deque()

    def parts() -> Iterator[Photo]:
        for photo, boxes in photos:
            waiting.append(boxes)
            yield from (replace(photo, box=box, box_frame="upright") for box in boxes)

    def complete() -> Iterator[PhotoRegions]:
        while waiting and len(found) >= len(waiting[0]):
            boxes = waiting.popleft()
            yield _regions(boxes, limit, [found.popleft() for _ in boxes], encoder.dimension)

    with closing(embed_each(parts(), encoder, cache=cache, workers=workers)) as results:
        for result in results:
            found.append(result)
            yield from complete()
    yield from complete()


def embed_with_regions(
    photos: Iterable[Photo],
    n: int,
    encoder: Encoder,
    *,
    cache: Cache = True,
    retry_failed: bool = False,
    workers: int | None = None,
) -> Generator[tuple[Embedded, PhotoRegions | None], None, None]:
    """Yield the result of each photo, and its regions, in order.

    Arguments are those of `embed_regions`, and `retry_failed` as in `shoplens.embed_each`.
    A photo that failed has no regions, and with n = 0 none has.
    """
    waiting: deque[Photo] = deque()
    results: deque[Embedded] = deque()

    def noted() -> Iterator[Photo]:
        for photo in photos:
            waiting.append(photo)
            yield photo

    def embedded(wholes: Iterable[Embedded]) -> Iterator[Photo]:
        for whole in wholes:
            photo = waiting.popleft()
            results.append(whole)
            yield photo if whole.computed.vector is not None else replace(photo, problem=_FAILED)

    with (
        opened(cache, encoder.fingerprint) as open_cache,
        closing(
            embed_each(
                noted() if n else photos,
                encoder,
                cache=open_cache,
                retry_failed=retry_failed,
                workers=workers,
            )
        ) as wholes,
    ):
        if n == 0:
            yield from ((whole, None) for whole in wholes)
            return
        beside = False if open_cache is None else open_cache
        with closing(
            embed_regions(embedded(wholes), n, encoder, cache=beside, workers=workers)
        ) as parts:
            for regions in parts:
                whole = results.popleft()
                yield whole, None if whole.computed.vector is None else regions


def embed_again(
    photos: Iterable[tuple[Photo, PhotoRegions | None]],
    encoder: Encoder,
    *,
    cache: VectorCache | None = None,
    workers: int | None = None,
) -> Generator[tuple[Embedded, PhotoRegions | None], None, None]:
    """Yield the results of photos and of their regions with another model, in order.

    Args:
        photos: with the regions that they have, whose boxes stay; None for none.
        encoder: the model.
        cache: of this model.
        workers: as in `shoplens.embed_each`.
    """
    waiting: deque[PhotoRegions | None] = deque()

    def parts() -> Iterator[Photo]:
        for photo, regions in photos:
            waiting.append(regions)
            yield photo
            boxes = () if regions is None else regions.boxes
            yield from (replace(photo, box=box, box_frame="upright") for box in boxes)

    with closing(embed_each(parts(), encoder, cache=cache, workers=workers)) as results:
        for whole in results:
            known = waiting.popleft()
            if known is None:
                yield whole, None
                continue
            own = [next(results) for _ in known.boxes]
            yield whole, _regions(known.boxes, known.limit, own, encoder.dimension)


_FAILED = PhotoError("unreadable", "the whole photo could not be embedded")


def _regions(
    boxes: Sequence[Box], limit: int, results: Sequence[Embedded], dimension: int
) -> PhotoRegions:
    usable = [
        (box, result.computed.vector)
        for box, result in zip(boxes, results, strict=True)
        if result.computed.vector is not None
    ]
    vectors = np.array([vector for _, vector in usable], dtype=np.float32)
    return PhotoRegions(limit, tuple(box for box, _ in usable), vectors.reshape(-1, dimension))


def _with_boxes(photo: Photo, n: int, choices: VectorCache | None) -> tuple[Photo, Sequence[Box]]:
    if photo.box is not None:
        return photo, ()
    try:
        return photo, choose_regions(photo, n, choices)
    except PhotoError:
        return photo, ()
