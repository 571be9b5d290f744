"""How photos are to be embedded, as one value that commands and pipelines pass on."""

from __future__ import annotations

from dataclasses import dataclass

from shoplens.embedding.sets import embed
from shoplens.models import DEFAULT_MODEL, Encoder, load_encoder
from shoplens.models.devices import CPU
from shoplens.progress import Progress, silent
from shoplens.records import PhotoSet
from shoplens.vectors.embeddings import Embeddings


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """A model, where it runs, and what may go wrong."""

    model: str = DEFAULT_MODEL
    """As `load_encoder` takes it; so are the next two."""
    dimension: int | None = None
    device: str = CPU
    workers: int | None = None
    """Threads that embed side by side; None takes one for each usable core."""
    use_cache: bool = True
    retry_failed: bool = False
    """Whether photos that the cache knows as failed are decoded again."""
    max_failures: tuple[float, bool] | None = None
    """A number, and whether it is a share of the photos in percent; None allows any number."""

    def load_encoder(self) -> Encoder:
        """Load the model (see `load_encoder`)."""
        return load_encoder(self.model, dimension=self.dimension, device=self.device)

    def failure_limit(self, n_photos: int) -> int | None:
        """Return how many of `n_photos` may fail; None where any number may."""
        if self.max_failures is None:
            return None
        number, is_percent = self.max_failures
        return int(n_photos * number / 100) if is_percent else int(number)

    def embed(self, photos: PhotoSet, encoder: Encoder, progress: Progress = silent) -> Embeddings:
        """Embed photos as these settings say (see `shoplens.embed`)."""
        return embed(
            photos,
            encoder,
            cache=self.use_cache,
            retry_failed=self.retry_failed,
            max_failures=self.failure_limit(len(photos)),
            workers=self.workers,
            progress=progress,
        )
