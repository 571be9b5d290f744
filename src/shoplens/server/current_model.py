"""The model that embeds photos now: that of the catalogue, whichever that becomes."""

from __future__ import annotations

import asyncio
import logging
import time

from shoplens.catalog.model_stamp import ModelStamp
from shoplens.errors import ModelError, ShoplensError
from shoplens.models import DEFAULT_MODEL, Encoder, load_encoder
from shoplens.server.embedder import Embedder
from shoplens.server.logs import log_event
from shoplens.server.metrics import Metrics
from shoplens.server.problems import Problem, not_open
from shoplens.server.settings import ServerSettings

_AGAIN_SECONDS = 60.0
"""After which a model that could not be loaded is looked for again."""


class CurrentModel:
    """Loads a model, and another one when the catalogue gets vectors of another one.

    What is under way then finishes with the model that it began with.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._embedder: Embedder | None = None
        self._changing = asyncio.Lock()
        self._missing: tuple[ModelStamp, float] | None = None
        """The catalogue's model where it could not be loaded, and when that was tried."""

    @property
    def embedder(self) -> Embedder:
        """The model at work, or the last one that was.

        Raises `Problem` (`stopping`) before `load` and after `close`.
        """
        if self._embedder is None:
            raise not_open()
        return self._embedder

    @property
    def at_work(self) -> Embedder:
        """The model that embeds what is compared with the catalogue's vectors.

        Raises `Problem`: as `embedder`, or `model_mismatch` if the catalogue's model could not be
        loaded.
        """
        if self.is_missing:
            raise missing_model()
        return self.embedder

    @property
    def encoder(self) -> Encoder | None:
        """The encoder at work, or the last one that was; None before `load`."""
        return None if self._embedder is None else self._embedder.encoder

    @property
    def is_missing(self) -> bool:
        """Whether the catalogue's model could not be loaded."""
        return self._missing is not None

    async def load(self, stamp: ModelStamp | None) -> None:
        """Load a catalogue's model.

        Raises as `load_model`.
        """
        encoder = await asyncio.to_thread(load_model, stamp, self._settings)
        embedder = Embedder(encoder, self._settings, self._metrics)
        await embedder.start()
        before, self._embedder = self._embedder, embedder
        log_event("model", name=encoder.name, fingerprint=encoder.fingerprint)
        if before is not None:
            await before.retire()

    async def follow(self, stamp: ModelStamp | None) -> None:
        """Load a catalogue's model if it is not the one at work."""
        async with self._changing:
            if stamp is None or stamp == stamp_of(self.embedder.encoder):
                self._missing = None
                return
            if self._missing is not None:
                missing, tried = self._missing
                if missing == stamp and time.monotonic() - tried < _AGAIN_SECONDS:
                    return
            try:
                await self.load(stamp)
                self._missing = None
            except ShoplensError as error:
                log_event("no model", logging.ERROR, reason=str(error))
                self._missing = stamp, time.monotonic()

    async def close(self) -> None:
        """Close it when the last photo is done."""
        embedder, self._embedder = self._embedder, None
        if embedder is not None:
            await embedder.retire()


def load_model(stamp: ModelStamp | None, settings: ServerSettings) -> Encoder:
    """Load the model that made a catalogue's vectors; for an empty one the first named.

    Raises:
        ModelError: the server does not have it.
        MissingError: a model that is named is not there.
    """
    names = list(settings.models)
    if stamp is None:
        return load_encoder(names[0] if names else DEFAULT_MODEL, device=settings.device)
    if stamp.found_by_name:
        names.append(stamp.name)
    for name in names:
        encoder = load_encoder(name, device=settings.device)
        if stamp.dimension in encoder.nested:
            encoder = load_encoder(name, dimension=stamp.dimension, device=settings.device)
        if encoder.fingerprint == stamp.fingerprint:
            return encoder
    raise ModelError(
        f"the catalogue holds vectors of {stamp.name} ({stamp.fingerprint}), and the server has "
        f"{' and '.join(names) or 'no such model'}: name the model with --model"
    )


def stamp_of(encoder: Encoder) -> ModelStamp:
    """Return an encoder as a catalogue states its model."""
    return ModelStamp(encoder.name, encoder.fingerprint, encoder.dimension)


def missing_model() -> Problem:
    """Return the problem of a catalogue whose model could not be loaded."""
    return Problem(
        "model_mismatch",
        "The vectors of the catalogue were replaced by those of a model that this server does not "
        "have.",
    )
