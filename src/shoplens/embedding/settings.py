"""The settings of embedding, as one value that commands and pipelines pass on."""

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
    """The model, the device it runs on, and how many photos may fail."""

    model: str = DEFAULT_MODEL
    """As in `load_encoder`; so are the next two."""
    dimension: int | None = None
    device: str = CPU
    workers: int | None = None
    """Number of threads; None for one per usable core."""
    use_cache: bool = True
    retry_failed: bool = False
    """Whether to try photos again that failed according to the cache."""
    max_failures: tuple[float, bool] | None = None
    """A number, and whether it is a percentage of the photos; None for no limit."""

    def load_encoder(self) -> Encoder:
        """Load the model (see `load_encoder`)."""
        return load_encoder(self.model, dimension=self.dimension, device=self.device)

    def failure_limit(self, n_photos: int) -> int | None:
        """Return how many of `n_photos` may fail; None for no limit."""
        if self.max_failures is None:
            return None
        number, is_percent = self.max_failures
        return int(n_photos * number / 100) if is_percent else int(number)

    def embed(
        self,
        photos: PhotoSet,
        encoder: Encoder,
        progress: Progress = silent,
        *,
        views: int = 1,
    ) -> Embeddings:
        """Embed photos with these settings (see `shoplens.embed`)."""
        return embed(
            photos,
            encoder,
            views=views,
            cache=self.use_cache,
            retry_failed=self.retry_failed,
            max_failures=self.failure_limit(len(photos)),
            workers=self.workers,
            progress=progress,
        )
