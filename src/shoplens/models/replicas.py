"""One model on several devices."""

from __future__ import annotations

import queue
from collections.abc import Sequence

from shoplens.errors import ModelError
from shoplens.models.encoder import Encoder
from shoplens.models.views import Prepared, Target
from shoplens.pixels.decoding import Decoded
from shoplens.records import Domain, Vectors


class Replicas:
    """Encoders with equal weights, of which a call takes one that is free.

    Call `embed` from as many threads as there are replicas; more of them wait.

    Raises `ModelError` when they are of different models.
    """

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        if len({encoder.fingerprint for encoder in encoders}) != 1:
            raise ModelError("replicas must be of one model, and at least one is needed")
        first = self._first = encoders[0]
        self._free: queue.SimpleQueue[Encoder] = queue.SimpleQueue()
        for encoder in encoders:
            self._free.put(encoder)
        self.name, self.dimension, self.nested = first.name, first.dimension, first.nested
        self.fingerprint, self.preparation = first.fingerprint, first.preparation
        self.recipes = first.recipes
        self.concurrency = len(encoders)

    @property
    def batch_size(self) -> int:
        """Of one replica."""
        return self._first.batch_size

    def decode_target(self, domain: Domain | None = None) -> Target:
        """Return the model's."""
        return self._first.decode_target(domain)

    def prepare(self, photo: Decoded, domain: Domain) -> Prepared:
        """Prepare a photo as the model wants it."""
        return self._first.prepare(photo, domain)

    def embed(self, prepared: Sequence[Prepared], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos (see `Encoder.embed`) on a replica that is free."""
        encoder = self._free.get()
        try:
            return encoder.embed(prepared, domains)
        finally:
            self._free.put(encoder)
