"""The cache that a run uses."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from shoplens.cache import VectorCache
from shoplens.errors import ShoplensWarning

Cache = VectorCache | bool
"""True for the user's cache of the model (see `shoplens.cache`), False for no cache, or a cache
that you opened for the model."""


@contextmanager
def opened(cache: Cache, fingerprint: str) -> Iterator[VectorCache | None]:
    """Open the user's cache of a model if it is requested, and close it at the end.

    Warns with `ShoplensWarning` if vectors could not be saved.
    """
    if isinstance(cache, VectorCache):
        yield cache
        return
    if not cache:
        yield None
        return
    with VectorCache(fingerprint) as own:
        yield own
    if own.trouble is not None:
        warnings.warn(
            f"vectors could not be saved in the cache: {own.trouble}", ShoplensWarning, stacklevel=4
        )


@contextmanager
def opened_beside(cache: Cache, name: str) -> Iterator[VectorCache | None]:
    """Open the cache of this name beside a model's: in its folder, or as `opened` does."""
    if isinstance(cache, VectorCache):
        with VectorCache(name, cache.file.parent) as beside:
            yield beside
    else:
        with opened(cache, name) as usual:
            yield usual
