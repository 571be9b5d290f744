"""From photos to vectors, in parallel, one failure at a time.

A worker takes one photo the whole way (read, decode, crop, infer), so that every core is busy from
the first photo to the last, results come in order, and memory holds no more than a few photos a
worker.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from shoplens.crops import crop
from shoplens.errors import PhotoError
from shoplens.images import decode, read_bytes
from shoplens.models.encoder import Encoder
from shoplens.parallel import parallel_map
from shoplens.progress import Progress, silent
from shoplens.records import Box, Domain, Failure, Photo, PhotoSet, Vectors
from shoplens.vectors import Embeddings

STAGES = ("read", "decode", "crop", "infer")
"""The stages whose core time `Embeddings.seconds` holds."""


def embed(
    photos: PhotoSet,
    encoder: Encoder,
    *,
    workers: int | None = None,
    progress: Progress = silent,
) -> Embeddings:
    """Embed every photo; photos that cannot be used become failures and shift nothing.

    Args:
        photos: what to embed; a photo with a box is cropped to it.
        encoder: the model.
        workers: threads that embed side by side; None takes one for each core this process may
            use.
        progress: told how many photos are done.

    Returns:
        `Embeddings` with n = len(photos) rows: (n, dimension) float32 of unit length, zero where a
        photo failed. The result does not depend on `workers`.
    """
    started = time.perf_counter()
    vectors = np.zeros((len(photos), encoder.recipe.dimension), dtype=np.float32)
    failures: list[Failure] = []
    digests: list[str | None] = []
    seconds = dict.fromkeys(STAGES, 0.0)
    n_clipped = 0

    def outcome_of(photo: Photo) -> _Outcome:
        return _embed_one(photo, encoder)

    for row, outcome in enumerate(parallel_map(outcome_of, photos, workers)):
        if isinstance(outcome.result, PhotoError):
            error, photo = outcome.result, photos[row]
            failures.append(Failure(row, photo.id, photo.name, error.reason, str(error)))
        else:
            vectors[row] = outcome.result
        digests.append(outcome.sha256)
        n_clipped += outcome.clipped
        for stage, spent in outcome.seconds.items():
            seconds[stage] += spent
        progress("embed", row + 1, len(photos))
    seconds["embed"] = time.perf_counter() - started
    return Embeddings(
        ids=photos.ids,
        vectors=vectors,
        failures=tuple(failures),
        model_name=encoder.recipe.name,
        fingerprint=encoder.fingerprint,
        sha256=tuple(digests),
        n_clipped=n_clipped,
        seconds=seconds,
    )


def embed_photo(
    source: str | Path,
    encoder: Encoder,
    *,
    box: Box | None = None,
    domain: Domain = "user",
) -> Vectors:
    """Embed one photo, by the same path as `embed`.

    Args:
        source: the file.
        encoder: the model.
        box: region in pixels of the upright photo; None for the whole photo.
        domain: `user` for a shopper's photo, `seller` for a catalogue's.

    Returns:
        (dimension,) float32 of unit length.

    Raises:
        PhotoError: the photo or its box cannot be used.
    """
    path = Path(source)
    result = _embed_one(Photo(0, path.name, path, domain, box), encoder).result
    if isinstance(result, PhotoError):
        raise PhotoError(result.reason, f"{path}: {result}")
    return result


@dataclass(slots=True)
class _Outcome:
    """What became of one photo."""

    result: Vectors | PhotoError
    sha256: str | None = None
    clipped: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    """Core seconds by stage."""


def _embed_one(photo: Photo, encoder: Encoder) -> _Outcome:
    if photo.problem is not None:
        return _Outcome(photo.problem)
    recipe = encoder.recipe
    sha256 = None
    clock = _StageClock()
    try:
        data = read_bytes(photo.path)
        sha256 = hashlib.sha256(data).hexdigest()
        clock.lap("read")
        decoded = decode(
            data,
            box=photo.box,
            box_frame=photo.box_frame,
            target=recipe.input_size,
            target_side="longer" if recipe.fit == "pad" else "shorter",
        )
        clock.lap("decode")
        pixels = crop(decoded, size=recipe.input_size, fit=recipe.fit, pad_colour=recipe.pad_colour)
        clock.lap("crop")
        vector = encoder.encode(pixels[None], [photo.domain])[0]
        clock.lap("infer")
    except PhotoError as error:
        return _Outcome(error, sha256, seconds=clock.seconds)
    return _Outcome(vector, sha256, decoded.clipped, clock.seconds)


class _StageClock:
    """Measures the time this thread itself computes, so that waiting for a core does not count."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.thread_time()

    def lap(self, stage: str) -> None:
        now = time.thread_time()
        self.seconds[stage] = now - self._last
        self._last = now
