"""Prepare photos on all cores and embed them in batches, for a device that needs many at once."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from shoplens.cache import Computed, VectorCache, content_key
from shoplens.embedding.outcome import Embedded, StageClock
from shoplens.embedding.single import failed, prepared_from
from shoplens.errors import PhotoError
from shoplens.looking import photo_bytes
from shoplens.models.encoder import Encoder
from shoplens.models.views import Prepared
from shoplens.parallel import parallel_map
from shoplens.records import Domain, Photo

_BATCHES_AHEAD = 2
"""Batches of prepared photos that are held ready while the device works on another."""
_RIDERS = 8
"""Photos that need no inference wait in a batch with the others: at most this many times its
size."""


@dataclass(slots=True)
class _Waiting:
    """A photo that is either computed, or prepared for the encoder."""

    domain: Domain
    clock: StageClock
    sha256: str | None = None
    key: bytes = b""
    computed: Computed | None = None
    cached: bool = False
    prepared: Prepared = ()
    clipped: bool = False

    def embedded(self) -> Embedded:
        assert self.computed is not None
        return Embedded(self.computed, self.sha256, self.cached, self.clock.seconds)


def embed_in_batches(
    photos: Iterable[Photo],
    encoder: Encoder,
    cache: VectorCache | None,
    retry_failed: bool,
    workers: int | None,
) -> Generator[Embedded, None, None]:
    """Yield the result of each photo, in order (see `shoplens.embedding.embed_each`)."""
    size = encoder.batch_size
    n_devices = encoder.concurrency
    ahead = _BATCHES_AHEAD * n_devices

    def prepared(photo: Photo) -> _Waiting:
        return _prepared(photo, encoder, cache, retry_failed)

    def encoded(batch: Sequence[_Waiting]) -> Sequence[_Waiting]:
        _encode(batch, encoder, cache)
        return batch

    with (
        closing(parallel_map(prepared, photos, workers, ahead=ahead * size)) as ready,
        # A thread drives each device while this one takes what the others have prepared.
        closing(parallel_map(encoded, _grouped(ready, size), n_devices, ahead=ahead)) as batches,
    ):
        for batch in batches:
            for waiting in batch:
                yield waiting.embedded()


def _prepared(
    photo: Photo, encoder: Encoder, cache: VectorCache | None, retry_failed: bool
) -> _Waiting:
    waiting = _Waiting(photo.domain, StageClock())
    try:
        data = photo_bytes(photo)
    except PhotoError as error:
        waiting.computed = failed(error)
        return waiting
    waiting.sha256 = hashlib.sha256(data).hexdigest()
    waiting.key = content_key(waiting.sha256, photo)
    waiting.clock.lap("read")
    found = None if cache is None else cache.get(waiting.key)
    if found is not None and not (found.reason and retry_failed):
        waiting.computed, waiting.cached = found, True
        return waiting
    try:
        waiting.prepared, waiting.clipped = prepared_from(data, photo, encoder, waiting.clock)
    except PhotoError as error:
        waiting.computed = failed(error)
        if cache is not None:
            cache.put(waiting.key, waiting.computed)
    return waiting


def _grouped(ready: Iterable[_Waiting], size: int) -> Iterator[list[_Waiting]]:
    """Yield groups of photos of which `size` need inference."""
    batch: list[_Waiting] = []
    n_open = 0
    for waiting in ready:
        batch.append(waiting)
        n_open += waiting.computed is None
        if n_open == size or len(batch) == _RIDERS * size:
            yield batch
            batch, n_open = [], 0
    if batch:
        yield batch


def _encode(batch: Sequence[_Waiting], encoder: Encoder, cache: VectorCache | None) -> None:
    """Compute what is not computed yet, and equal photos only once."""
    first: dict[bytes, _Waiting] = {}
    for waiting in batch:
        if waiting.computed is not None:
            continue
        # The batch before may have held the same photo.
        if cache is not None and (found := cache.get(waiting.key)) and not found.reason:
            waiting.computed, waiting.cached = found, True
        else:
            first.setdefault(waiting.key, waiting)
    photos = list(first.values())
    clock = StageClock()
    try:
        vectors = encoder.embed([p.prepared for p in photos], [p.domain for p in photos])
        results = [Computed(row, p.clipped) for row, p in zip(vectors, photos, strict=True)]
    except PhotoError:
        # The vector of one photo has no direction; the other photos must not fail with it.
        results = [_alone(photo, encoder) for photo in photos]
    clock.lap("infer")
    for photo, computed in zip(photos, results, strict=True):
        photo.computed, photo.prepared = computed, ()
        photo.clock.seconds["infer"] = clock.seconds["infer"] / len(photos)
        if cache is not None:
            cache.put(photo.key, computed)
    for waiting in batch:
        if waiting.computed is None:
            waiting.computed, waiting.cached, waiting.prepared = (
                first[waiting.key].computed,
                True,
                (),
            )


def _alone(photo: _Waiting, encoder: Encoder) -> Computed:
    try:
        return Computed(encoder.embed([photo.prepared], [photo.domain])[0], photo.clipped)
    except PhotoError as error:
        return failed(error)
