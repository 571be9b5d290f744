"""One model at work: a photo in, its vector out."""

from __future__ import annotations

from dataclasses import dataclass

from shoplens.models import Encoder
from shoplens.models.recipe import Recipe
from shoplens.records import Box, Domain, Vector
from shoplens.server.decoding import DecoderPool, PreparedPhoto
from shoplens.server.embedding_queue import EmbeddingQueue
from shoplens.server.metrics import Metrics
from shoplens.server.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class EmbeddedPhoto:
    """The vector of a photo, and how the photo was understood."""

    vector: Vector
    width: int
    """In pixels of the upright photo."""
    height: int
    box: Box | None
    """Cut to the photo; None for the whole photo."""
    clipped: bool

    def to_json(self) -> dict[str, object]:
        """Return what the answer to a search says of its photo."""
        return {
            "width": self.width,
            "height": self.height,
            "box": None if self.box is None else str(self.box),
            "clipped": self.clipped,
        }


class Embedder:
    """Decodes and embeds photos with one model, many at a time."""

    def __init__(self, encoder: Encoder, settings: ServerSettings, metrics: Metrics) -> None:
        self.encoder = encoder
        self._metrics = metrics
        # What waits here was admitted, and its photos are in memory already.
        most_waiting = settings.max_waiting * settings.embedders
        self._decoders = DecoderPool(
            encoder,
            n_processes=settings.decoders,
            seconds=settings.decoder_seconds,
            memory_mb=settings.decoder_memory_mb,
            max_pixels=settings.max_pixels,
            most_waiting=most_waiting,
            on_lost=metrics.decoders_lost.inc,
        )
        self._queue = EmbeddingQueue(
            encoder, n_workers=settings.embedders, most_waiting=most_waiting
        )
        self._n_working = 0
        self._retired = False

    async def start(self) -> None:
        """Get ready for the first photo."""
        await self._decoders.start()

    @property
    def decoding(self) -> int:
        """How many photos wait to be decoded."""
        return self._decoders.depth

    @property
    def embedding(self) -> int:
        """How many photos wait to be embedded."""
        return self._queue.depth

    async def embed(
        self, data: bytes, box: str | None, domain: Domain, deadline: float | None = None
    ) -> EmbeddedPhoto:
        """Embed a photo.

        Args:
            data: the bytes of its file.
            box: `x,y,w,h` or `rel:x,y,w,h`; None for the whole photo.
            domain: who took it.
            deadline: a moment of `time.monotonic` after which it is not begun any more.

        Raises:
            PhotoError: the photo or its box cannot be used.
            OverloadedError: too many photos wait.
            DeadlineError: its turn did not come in time.
        """
        self._n_working += 1
        try:
            with self._metrics.stage("decode"):
                photo = await self._decoders.prepare(data, box, domain)
            with self._metrics.stage("embed"):
                vector = await self._queue.embed(photo.prepared, domain, deadline)
        finally:
            self._n_working -= 1
            if self._retired and not self._n_working:
                await self._close()
        return EmbeddedPhoto(vector, photo.width, photo.height, photo.box, photo.clipped)

    async def prepare(
        self, data: bytes, recipe: Recipe, box: str | None = None, domain: Domain = "user"
    ) -> PreparedPhoto:
        """Decode a photo for another model (see `DecoderPool.prepare`)."""
        with self._metrics.stage("decode"):
            return await self._decoders.prepare(data, box, domain, recipes=(recipe,))

    async def thumbnail(self, data: bytes, side: int) -> bytes:
        """Return a small picture of a photo, an upright JPEG (see `DecoderPool.thumbnail`)."""
        return await self._decoders.thumbnail(data, side)

    async def retire(self) -> None:
        """Close it as soon as the last photo is done."""
        self._retired = True
        if not self._n_working:
            await self._close()

    async def _close(self) -> None:
        await self._decoders.close()
        await self._queue.close()
