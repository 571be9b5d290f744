"""Looking at the pixels of photos, wherever their bytes are: one photo, or many on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from shoplens.errors import PhotoError
from shoplens.parallel import parallel_map
from shoplens.pixels.decoding import Decoded, decoding
from shoplens.progress import Progress, silent
from shoplens.records import Photo
from shoplens.sources import read_photo

_R = TypeVar("_R")


def photo_bytes(photo: Photo) -> bytes:
    """Return a photo's bytes.

    Raises `PhotoError` when they cannot be read, or when the table already says that the photo
    cannot be used.
    """
    if photo.problem is not None:
        raise photo.problem
    return read_photo(photo)


@contextmanager
def decoded_photo(photo: Photo, target: int | None = None) -> Iterator[Decoded]:
    """Read and decode a photo for the length of a `with` block; see `shoplens.pixels.decoding`.

    Raises `PhotoError` when it cannot be used.
    """
    data = photo_bytes(photo)
    with decoding(data, box=photo.box, box_frame=photo.box_frame, target=target) as decoded:
        yield decoded


def look_at(
    photos: Sequence[Photo],
    look: Callable[[Photo], _R],
    *,
    workers: int | None = None,
    progress: Progress = silent,
    stage: str = "look",
) -> Iterator[tuple[Photo, _R | PhotoError]]:
    """Yield each photo with what `look` returns of it, or the `PhotoError` that it raises.

    Args:
        photos: looked at side by side, yielded in order.
        look: called once for each photo, from any of the threads.
        workers: threads; None takes one for each usable core.
        progress: told how many photos are done.
        stage: the name of this work for `progress`.
    """

    def tried(photo: Photo) -> _R | PhotoError:
        try:
            return look(photo)
        except PhotoError as error:
            return error

    results = zip(photos, parallel_map(tried, photos, workers), strict=True)
    for done, result in enumerate(results, start=1):
        progress(stage, done, len(photos))
        yield result
