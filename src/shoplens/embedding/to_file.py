"""Embed any number of photos into a file of vectors."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.embedding.caching import opened
from shoplens.embedding.outcome import Tally
from shoplens.embedding.query_views import ViewEncoder
from shoplens.embedding.sets import embed_each
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.progress import Progress, silent
from shoplens.records import Failure, PhotoSet
from shoplens.vectors.writing import VectorFileInfo, VectorRow, writing_vectors


@dataclass(frozen=True, slots=True)
class VectorFile:
    """A file or folder of vectors that was written, with the results of its photos."""

    info: VectorFileInfo
    n_kept: int
    """Number of photos whose vectors existed before."""
    n_clipped: int
    failures: list[Failure]
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the counts as `shoplens embed --json` writes them."""
        return {
            "n_photos": self.info.n_photos,
            "n_cached": self.n_kept,
            "n_clipped": self.n_clipped,
            "n_failed": len(self.failures),
            "failures": dict(Counter(f.reason for f in self.failures).most_common()),
            "failed_photos": [
                {"id": f.id, "path": f.name, "reason": f.reason, "detail": f.detail}
                for f in self.failures
            ],
            "dimension": self.info.dimension,
            "model": {"name": self.info.model_name, "fingerprint": self.info.fingerprint},
            "seconds": self.seconds,
        }


def embed_to_file(
    photos: PhotoSet,
    path: str | Path,
    settings: EmbeddingSettings,
    *,
    views: int = 1,
    progress: Progress = silent,
) -> VectorFile:
    """Embed photos into a `.parquet`, `.lance` or `.npy` file, row by row.

    If it is stopped, the same call resumes: the vectors computed so far are in the cache.

    Args:
        photos: the photos to embed.
        path: the file.
        settings: how photos are embedded.
        views: as in `shoplens.embed`.
        progress: called with the number of photos done.

    Raises:
        FailureLimitError: more photos failed than the settings allow.
        RankingError: the suffix of the file is unknown.
        MissingError: an extra or the file's folder is missing.
    """
    encoder = settings.load_encoder()
    info = VectorFileInfo(len(photos), encoder.dimension, encoder.name, encoder.fingerprint, views)
    shown = encoder if views == 1 else ViewEncoder(encoder, views)
    tally = Tally(settings.failure_limit(len(photos)))
    with (
        opened(settings.use_cache, shown.fingerprint) as cache,
        writing_vectors(path, info) as writer,
        closing(
            embed_each(
                photos,
                shown,
                cache=cache,
                retry_failed=settings.retry_failed,
                workers=settings.workers,
            )
        ) as results,
    ):
        for row, (photo, result) in enumerate(zip(photos, results, strict=True)):
            computed = result.computed
            writer.add(VectorRow(photo, computed.vector, result.sha256, computed.reason))
            tally.add(row, photo, result)
            progress("embed", row + 1, len(photos))
    return VectorFile(info, tally.n_cached, tally.n_clipped, tally.failures, tally.seconds())
