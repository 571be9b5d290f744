"""Which cache a run uses."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from shoplens.cache import VectorCache
from shoplens.errors import ShoplensWarning

Cache = VectorCache | bool
"""True: the user's cache for the model (see `shoplens.cache`); False: none; or one that you opened
for the model."""


@contextmanager
def opened(cache: Cache, fingerprint: str) -> Iterator[VectorCache | None]:
    """Open the user's cache of a model where it is asked for, and close it at the end.

    Warns with `ShoplensWarning` when vectors could not be kept.
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
            f"vectors were not kept for the next run: {own.trouble}", ShoplensWarning, stacklevel=4
        )
