"""Vectors of unit length."""

from __future__ import annotations

import numpy as np

from shoplens.errors import PhotoError
from shoplens.records import Vectors


def unit(vectors: Vectors) -> Vectors:
    """Scale rows to unit length.

    Raises `PhotoError` (reason `no_direction`) when a row is zero or not finite, as a blank photo's
    may be: it has no direction to compare by.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not (norms > 0).all():
        bad = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))[0])
        raise PhotoError(
            "no_direction", f"the model's vector is zero or not finite (length {norms[bad, 0]})"
        )
    scaled: Vectors = vectors / norms
    return scaled
