"""The adapted model as a model folder, and its vectors of known photos in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shoplens.adaptation.frozen import AdaptedModel, Seen
from shoplens.cache import Computed, VectorCache, content_key
from shoplens.embedding.sets import embed
from shoplens.errors import ModelError
from shoplens.models.linear_head import LinearHead

_CHECKED = 4
"""Photos that the written model is tried on."""
_LEAST_COSINE = 0.9999


@dataclass(frozen=True, slots=True)
class Written:
    """A model that was written."""

    fingerprint: str
    n_cached: int
    """Vectors of whole photos that were put into the cache."""


def write_adapted(
    output: Path,
    adapted: AdaptedModel,
    head: LinearHead,
    seen: Sequence[Seen],
    *,
    cache: bool = True,
    force: bool = False,
) -> Written:
    """Write a model with another head, after trying it on photos.

    Args:
        output: the folder.
        adapted: the model with the head. The folder of the model before stays as it is.
        head: what is fitted.
        seen: photos as it sees them, each of one domain.
        cache: whether to put the photos' vectors into the user's cache.
        force: replace a model that is in `output`.

    Raises:
        ModelError: the model's vectors are not those of the head.
        ShoplensError: `output` is there already, or cannot be written.
    """
    encoder = adapted.encoder
    vectors = [head.vectors(part.features, part.photos[0].domain) for part in seen]
    for part, expected in zip(seen, vectors, strict=True):
        found = embed(part.photos[:_CHECKED], encoder, cache=False).vectors
        lowest = float(np.min(np.sum(found * expected[:_CHECKED], axis=1)))
        if not lowest >= _LEAST_COSINE:
            raise ModelError(
                f"the model with its new head gives other vectors than were fitted: lowest cosine "
                f"{lowest:.5f}. Nothing was written"
            )
    adapted.write(output, force)
    n_cached = 0
    if cache:
        with VectorCache(encoder.fingerprint) as store:
            for part, rows in zip(seen, vectors, strict=True):
                for photo, sha256, vector in zip(part.photos, part.sha256, rows, strict=True):
                    # Whether a box was clipped is not known here.
                    if photo.box is None:
                        store.put(content_key(sha256, photo), Computed(vector))
                        n_cached += 1
            if store.trouble is not None:
                n_cached = 0
    return Written(encoder.fingerprint, n_cached)
