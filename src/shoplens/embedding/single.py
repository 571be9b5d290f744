"""Embed one photo on the calling thread: read, decode, crop, infer.

On a processor this is faster than a pipeline of stages: every core is busy from the first photo to
the last, and memory holds only a few photos per core (`bench/threads.py`).
"""

from __future__ import annotations

import hashlib

from shoplens.cache import Computed, VectorCache, content_key
from shoplens.embedding.outcome import Embedded, StageClock
from shoplens.errors import PhotoError
from shoplens.looking import photo_bytes
from shoplens.models.encoder import Encoder
from shoplens.models.views import Prepared
from shoplens.pixels.decoding import decoding
from shoplens.records import Photo


def embed_one(
    photo: Photo, encoder: Encoder, cache: VectorCache | None = None, retry_failed: bool = False
) -> Embedded:
    """Embed a photo, or find its earlier result in the cache."""
    clock = StageClock()
    try:
        data = photo_bytes(photo)
    except PhotoError as error:
        return Embedded(failed(error))
    sha256 = hashlib.sha256(data).hexdigest()
    clock.lap("read")

    def compute() -> Computed:
        try:
            prepared, clipped = prepared_from(data, photo, encoder, clock)
            vector = encoder.embed([prepared], [photo.domain])[0]
        except PhotoError as error:
            return failed(error)
        clock.lap("infer")
        return Computed(vector, clipped)

    if cache is None:
        return Embedded(compute(), sha256, seconds=clock.seconds)
    key = content_key(sha256, photo)
    computed, cached = cache.remember(key, compute, retry_failed=retry_failed)
    return Embedded(computed, sha256, cached, clock.seconds)


def prepared_from(
    data: bytes, photo: Photo, encoder: Encoder, clock: StageClock
) -> tuple[Prepared, bool]:
    """Return the input of the encoder for a photo, and whether its box was clipped.

    Raises `PhotoError` if the bytes or the box cannot be used.
    """
    target, side = encoder.decode_target(photo.domain)
    with decoding(
        data, box=photo.box, box_frame=photo.box_frame, target=target, target_side=side
    ) as decoded:
        clock.lap("decode")
        prepared = encoder.prepare(decoded, photo.domain)
        clock.lap("crop")
        return prepared, decoded.clipped


def failed(error: PhotoError) -> Computed:
    """Return the result for an error."""
    return Computed(None, reason=error.reason, detail=str(error))
