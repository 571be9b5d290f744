"""One model on several devices."""

from __future__ import annotations

import queue
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shoplens.errors import ModelError
from shoplens.models.encoder import Encoder, LeadingEncoder
from shoplens.models.ensemble import Ensemble
from shoplens.models.recipe import Recipe
from shoplens.records import Domain, Vectors


class Replicas:
    """Encoders with equal weights, of which a call takes one that is free.

    Call `encode` from as many threads as there are replicas; more of them wait.

    Raises `ModelError` when they are of different models.
    """

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        if len({encoder.fingerprint for encoder in encoders}) != 1:
            raise ModelError("replicas must be of one model, and at least one is needed")
        self._first = encoders[0]
        self._free: queue.SimpleQueue[Encoder] = queue.SimpleQueue()
        for encoder in encoders:
            self._free.put(encoder)
        self.n_replicas = len(encoders)

    @property
    def recipe(self) -> Recipe:
        """The model's."""
        return self._first.recipe

    @property
    def fingerprint(self) -> str:
        """The model's."""
        return self._first.fingerprint

    @property
    def batch_size(self) -> int:
        """Of one replica."""
        return self._first.batch_size

    def encode(self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos (see `Encoder.encode`) on a replica that is free."""
        encoder = self._free.get()
        try:
            return encoder.encode(pixels, domains)
        finally:
            self._free.put(encoder)


def n_replicas(encoder: Encoder) -> int:
    """Return how many calls of an encoder run side by side on devices of their own."""
    if isinstance(encoder, LeadingEncoder):
        return n_replicas(encoder.whole)
    if isinstance(encoder, Ensemble):
        return min(n_replicas(member.encoder) for member in encoder.members)
    return encoder.n_replicas if isinstance(encoder, Replicas) else 1
