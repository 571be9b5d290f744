"""Embed many photos, or a single one."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from shoplens.cache import VectorCache
from shoplens.embedding.batches import embed_in_batches
from shoplens.embedding.caching import Cache, opened, opened_beside
from shoplens.embedding.outcome import Embedded, Tally
from shoplens.embedding.query_views import ViewEncoder
from shoplens.embedding.single import embed_one
from shoplens.errors import PhotoError
from shoplens.models.encoder import Encoder
from shoplens.parallel import parallel_map
from shoplens.progress import Progress, silent
from shoplens.records import Box, Domain, Photo, PhotoSet, Vector
from shoplens.sources.memory import MemoryFile, encoded
from shoplens.vectors.embeddings import Embeddings


def embed_each(
    photos: Iterable[Photo],
    encoder: Encoder,
    *,
    cache: VectorCache | None = None,
    retry_failed: bool = False,
    workers: int | None = None,
) -> Generator[Embedded, None, None]:
    """Yield the result of each photo, in order, as soon as it is known.

    Memory holds a few photos per worker (and a few batches, if the encoder uses batches), however
    many photos there are.

    Args:
        photos: read as they are needed; a photo with a box is cropped to it.
        encoder: the model.
        cache: the cache of this model; vectors that it holds are not computed again.
        retry_failed: try photos again that failed according to the cache. (Whether a file exists
            and can be read is always checked.)
        workers: number of threads; None for one per core that this process may use. Results do
            not depend on it.
    """

    def embedded(photo: Photo) -> Embedded:
        return embed_one(photo, encoder, cache, retry_failed)

    if encoder.batch_size > 1:
        return embed_in_batches(photos, encoder, cache, retry_failed, workers)
    if isinstance(photos, PhotoSet) and len(photos) == 1:
        # On this thread: on a worker's, an ensemble's networks would take turns.
        return (embedded(photo) for photo in photos)
    return parallel_map(embedded, photos, workers)


def embed(
    photos: PhotoSet,
    encoder: Encoder,
    *,
    views: int = 1,
    cache: Cache = True,
    retry_failed: bool = False,
    max_failures: int | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Embeddings:
    """Embed every photo. Photos that cannot be used become failures and do not shift other rows.

    Args:
        photos: the photos to embed; a photo with a box is cropped to it.
        encoder: the model.
        views: of how many views of each photo a vector is the mean, up to 4; more than 1 is for
            queries (see `shoplens.embedding.query_views`).
        cache: whether to read vectors from the user's cache and write new vectors to it; or an open
            `VectorCache` of this model.
        retry_failed: see `embed_each`.
        max_failures: stop if more photos than this have failed; None for no limit.
        workers: see `embed_each`.
        progress: called with the number of photos done.

    Returns:
        `Embeddings` with n = len(photos) rows: (n, dimension) float32 of unit length, and zero if
        the photo failed.

    Raises:
        FailureLimitError: more than `max_failures` photos failed.
        ShoplensError: a photo cannot be embedded from so many views.
    """
    if views != 1:
        shown = ViewEncoder(encoder, views)
        with opened_beside(cache, shown.fingerprint) as beside:
            found = embed(
                photos,
                shown,
                cache=False if beside is None else beside,
                retry_failed=retry_failed,
                max_failures=max_failures,
                workers=workers,
                progress=progress,
            )
        # The mean of a model's vectors is compared with its vectors.
        return replace(found, fingerprint=encoder.fingerprint, views=views)
    tally = Tally(max_failures)
    vectors = np.zeros((len(photos), encoder.dimension), dtype=np.float32)
    digests: list[str | None] = []
    with (
        opened(cache, encoder.fingerprint) as open_cache,
        closing(
            embed_each(
                photos, encoder, cache=open_cache, retry_failed=retry_failed, workers=workers
            )
        ) as results,
    ):
        for row, (photo, result) in enumerate(zip(photos, results, strict=True)):
            if result.computed.vector is not None:
                vectors[row] = result.computed.vector
            digests.append(result.sha256)
            tally.add(row, photo, result)
            progress("embed", row + 1, len(photos))
    return Embeddings(
        ids=photos.ids,
        vectors=vectors,
        failures=tuple(tally.failures),
        model_name=encoder.name,
        fingerprint=encoder.fingerprint,
        sha256=tuple(digests),
        n_clipped=tally.n_clipped,
        n_cached=tally.n_cached,
        seconds=tally.seconds(),
        photos=photos,
    )


Picture = str | Path | bytes | Image.Image
"""A photo: the path of a file, the bytes of a file, or a Pillow image."""


def embed_photo(
    source: Picture,
    encoder: Encoder,
    *,
    box: Box | None = None,
    domain: Domain = "user",
) -> Vector:
    """Embed one photo, in the same way as `embed`.

    Args:
        source: the photo.
        encoder: the model.
        box: the region to embed, in pixels of the upright photo; None for the whole photo.
        domain: `user` for a shopper's photo, `seller` for a photo of a catalogue.

    Returns:
        (dimension,) float32 of unit length.

    Raises:
        PhotoError: the photo or its box cannot be used.
    """
    photo = as_photo(source, domain, box)
    computed = embed_one(photo, encoder).computed
    if computed.vector is None:
        raise PhotoError(computed.reason, f"{photo.name}: {computed.detail}")
    return computed.vector


def as_photo(source: Picture, domain: Domain, box: Box | None = None) -> Photo:
    """Return the `Photo` of a picture that no table lists; its id is 0."""
    if isinstance(source, str | Path):
        path = Path(source)
        return Photo(0, str(source), path, domain, box)
    file = MemoryFile(encoded(source) if isinstance(source, Image.Image) else bytes(source))
    return Photo(0, file.name, Path(file.name), domain, box, file=file)
