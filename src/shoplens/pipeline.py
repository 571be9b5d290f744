"""A whole dataset, from photos to a ranking: what `rank`, `evaluate` and `demo` have in common."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shoplens.datasets.dataset import Dataset
from shoplens.embedding.query_views import require_views
from shoplens.embedding.sets import embed
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.errors import RankingError, ShoplensWarning
from shoplens.models import Encoder
from shoplens.progress import Progress, silent
from shoplens.ranking import Ranking, rank
from shoplens.records import PhotoSet
from shoplens.regions.embedding import first_regions, with_regions
from shoplens.vectors.embeddings import Embeddings, check_same_model
from shoplens.vectors.writing import require_vector_file


@dataclass(frozen=True, slots=True)
class VectorFiles:
    """Where vectors come from and go to; None embeds, and keeps them in the cache alone."""

    gallery: Path | None = None
    """Vectors to take instead of embedding the gallery."""
    queries: Path | None = None
    save: Path | None = None
    """A folder that gets `gallery.parquet` and `queries.parquet`."""


@dataclass(frozen=True, slots=True)
class RankedDataset:
    """A ranking and what it was made from."""

    ranking: Ranking
    """Its `seconds` are those of all steps."""
    gallery: Embeddings
    queries: Embeddings

    def to_json(self) -> dict[str, Any]:
        """Return the counts that `rank` and `evaluate` add to their JSON."""
        return {
            "n_clipped": self.gallery.n_clipped + self.queries.n_clipped,
            "n_cached": self.gallery.n_cached + self.queries.n_cached,
            **failures_json({"gallery": self.gallery, "queries": self.queries}),
        }


def rank_dataset(
    dataset: Dataset,
    settings: EmbeddingSettings,
    files: VectorFiles | None = None,
    *,
    regions: int = 0,
    query_views: int = 1,
    progress: Progress = silent,
) -> RankedDataset:
    """Embed both sides of a dataset, or load their vectors, and rank the gallery for every query.

    Args:
        dataset: the test set.
        settings: how photos are embedded.
        files: vectors to take instead of embedding, and where to write those that are made.
        regions: how many regions of each gallery photo are compared as well (see
            `shoplens.regions.with_regions`). They are embedded also where the gallery's vectors
            are from a file, unless it holds as many.
        query_views: of how many views of each query a vector is the mean (see `shoplens.embed`).
        progress: told how far each stage is.

    Returns:
        The ranking with the vectors it was made from.

    Raises:
        MissingError: a file or an extra is not there.
        RankingError: vectors do not fit the dataset, or are of different models, or views are asked
            for of queries whose vectors are from a file.
        ShoplensError: there cannot be so many regions, or views.
        FailureLimitError: more photos failed than the settings allow.
    """
    files = files or VectorFiles()
    require_views(query_views)
    if files.queries is not None and query_views != 1:
        raise RankingError(
            f"{files.queries} has the queries' vectors, so there is nothing to embed from "
            f"{query_views} views: leave one of the two out"
        )
    # Files come first: a faulty one is told before photos are embedded, not after.
    gallery = load_vectors(dataset.gallery, files.gallery)
    queries = load_vectors(dataset.queries, files.queries)
    if files.save is not None:
        require_vector_file(files.save / "gallery.parquet")
        files.save.mkdir(parents=True, exist_ok=True)
    if gallery is not None:
        gallery = first_regions(gallery, regions)
    made = gallery is None or gallery.n_regions < regions
    if gallery is None or queries is None or made:
        encoder = settings.load_encoder()
        for loaded, file in ((gallery, files.gallery), (queries, files.queries)):
            if loaded is not None:
                require_same_model(loaded, encoder, file)
        if gallery is None:
            gallery = _embed(dataset.gallery, "gallery", encoder, settings, progress)
        if queries is None:
            queries = _embed(dataset.queries, "queries", encoder, settings, progress, query_views)
        gallery = with_regions(
            gallery,
            regions,
            encoder,
            cache=settings.use_cache,
            workers=settings.workers,
            progress=progress,
        )
    if files.save is not None:
        if made:
            gallery.save(files.save / "gallery.parquet", dataset.gallery)
        if files.queries is None:
            queries.save(files.save / "queries.parquet", dataset.queries)
    ranking = rank(queries, gallery, progress=progress)
    seconds: Counter[str] = Counter(ranking.seconds)
    seconds.update(gallery.seconds)
    seconds.update(queries.seconds)
    return RankedDataset(replace(ranking, seconds=dict(seconds)), gallery, queries)


def load_vectors(photos: PhotoSet, file: Path | None) -> Embeddings | None:
    """Read the vectors of photos from a file; None where there is no file to read."""
    return None if file is None else Embeddings.load(file, photos)


def require_same_model(loaded: Embeddings, encoder: Encoder, file: Path | None) -> None:
    """Check that vectors from a file can be compared with a model's, before work begins.

    Warns with `ShoplensWarning` where the file does not say which model made them; raises
    `RankingError` where it was another one.
    """
    # Vectors of no photos say which model it is.
    check_same_model(embed(PhotoSet([]), encoder, cache=False), loaded)
    if loaded.fingerprint is None:
        warnings.warn(
            f"{file} does not say which model made its vectors; they are compared with this "
            "model's unchecked",
            ShoplensWarning,
            stacklevel=2,
        )


def failures_json(sides: Mapping[str, Embeddings]) -> dict[str, Any]:
    """Return failures for a command's JSON: counts by side and reason, and every photo."""
    return {
        "failures": {side: embedded.failures_by_reason() for side, embedded in sides.items()},
        "failed_photos": [
            {"side": side, "id": f.id, "path": f.name, "reason": f.reason, "detail": f.detail}
            for side, embedded in sides.items()
            for f in embedded.failures
        ],
    }


def _embed(
    photos: PhotoSet,
    side: str,
    encoder: Encoder,
    settings: EmbeddingSettings,
    progress: Progress,
    views: int = 1,
) -> Embeddings:
    def told(_stage: str, done: int, total: int) -> None:
        progress(f"embed {side}", done, total)

    return settings.embed(photos, encoder, told, views=views)
