"""The adapted model as a model folder, and its vectors of known photos in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shoplens.adaptation.closed_form import LinearHead
from shoplens.adaptation.frozen import FrozenModel, Seen
from shoplens.cache import Computed, VectorCache, content_key
from shoplens.embedding.sets import embed
from shoplens.errors import ModelError
from shoplens.models.heads import with_head
from shoplens.models.model_folder import write_model

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
    model: FrozenModel,
    head: LinearHead,
    seen: Sequence[Seen],
    *,
    tuned: bytes | None = None,
    name: str | None = None,
    source: str,
    cache: bool = True,
    force: bool = False,
) -> Written:
    """Write a model with another head, after trying it on photos.

    Args:
        output: the folder.
        model: the model that was adapted. Its own folder stays as it is.
        head: what is fitted.
        seen: photos whose vectors go into the user's cache, each of one domain.
        tuned: the ONNX file of the tuned network that the features are of; None where the network
            is the model's own. Its vectors do not go into the cache.
        name: of the new model; None takes the folder's.
        source: what the head was fitted to, in words; the recipe names it.
        cache: whether to put vectors into the cache.
        force: replace a model that is in `output`.

    Raises:
        ModelError: the model's vectors are not those of the head.
        ShoplensError: `output` is there already, or cannot be written.
    """
    weights = with_head(tuned or model.weights, head.weight, head.bias)
    recipe = replace(
        model.recipe,
        name=name or output.resolve().name,
        version="1",
        dimension=head.dimension,
        nested=(),
        # Seven digits are all a float32 has; more would only make the file longer.
        centres={
            domain: tuple(float(f"{value:.7g}") for value in centre)
            for domain, centre in head.centres.items()
        },
        sources=(*model.recipe.sources, source),
    )
    encoder = model.encoder(weights, recipe)
    vectors = [head.vectors(part.features, part.photos[0].domain) for part in seen]
    for part, expected in zip(seen, vectors, strict=True):
        found = embed(part.photos[:_CHECKED], encoder, cache=False).vectors
        lowest = float(np.min(np.sum(found * expected[:_CHECKED], axis=1)))
        if not lowest >= _LEAST_COSINE:
            raise ModelError(
                f"the model with its new head gives other vectors than were fitted: lowest cosine "
                f"{lowest:.5f}. Nothing was written"
            )
    write_model(output, weights, recipe, replace=force)
    n_cached = 0
    if cache and tuned is None:
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
