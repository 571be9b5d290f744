"""The work that `rank`, `evaluate` and `demo` share: a dataset in, a ranking out, with a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shoplens.cache import VectorCache
from shoplens.cli.console import message, progress_display
from shoplens.cli.options import EmbeddingOptions
from shoplens.datasets.dataset import Dataset
from shoplens.embedding import STAGES, embed
from shoplens.models import Encoder
from shoplens.progress import Progress
from shoplens.ranking import Ranking, rank
from shoplens.records import REASONS, Failure, PhotoSet
from shoplens.vectors.embeddings import Embeddings, check_same_model
from shoplens.vectors.writing import require_vector_file

SHOWN_FAILURES = 5


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How a dataset is to be ranked."""

    embedding: EmbeddingOptions
    gallery_vectors: Path | None = None
    query_vectors: Path | None = None
    save_vectors: Path | None = None


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """A ranking and what it was made from."""

    ranking: Ranking
    gallery: Embeddings
    queries: Embeddings

    def to_json(self) -> dict[str, Any]:
        """Return the counts that `rank` and `evaluate` add to their JSON."""
        return {
            "n_clipped": self.gallery.n_clipped + self.queries.n_clipped,
            "n_cached": self.gallery.n_cached + self.queries.n_cached,
            **failures_json({"gallery": self.gallery, "queries": self.queries}),
        }


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


def warn_of_unknown_origin(embedded: Embeddings, file: Path) -> None:
    """Say that vectors without a fingerprint are about to be compared with a model's."""
    if embedded.fingerprint is None:
        message(
            f"warning: {file} does not say which model made its vectors; they are compared with "
            "this model's unchecked"
        )


def run_pipeline(dataset: Dataset, options: PipelineOptions) -> PipelineResult:
    """Embed (or load vectors), rank, and tell on standard error what was done."""
    # Files come first: a faulty one is told before photos are embedded, not after.
    gallery = _loaded(dataset.gallery, options.gallery_vectors)
    queries = _loaded(dataset.queries, options.query_vectors)
    if options.save_vectors is not None:
        require_vector_file(options.save_vectors / "gallery.parquet")
        options.save_vectors.mkdir(parents=True, exist_ok=True)
    with progress_display() as progress:
        if gallery is None or queries is None:
            encoder = options.embedding.load_encoder()
            loaded = queries if gallery is None else gallery
            if loaded is not None:
                # Vectors of no photos say which model it is: told now, not after the work.
                check_same_model(embed(PhotoSet([]), encoder), loaded)
                file = options.query_vectors if gallery is None else options.gallery_vectors
                if file is not None:
                    warn_of_unknown_origin(loaded, file)
            if gallery is None:
                gallery = _embedded(dataset.gallery, encoder, options, progress, "gallery")
            if queries is None:
                queries = _embedded(dataset.queries, encoder, options, progress, "queries")
        ranking = rank(queries, gallery, progress=progress)
    seconds: Counter[str] = Counter(ranking.seconds)
    seconds.update(gallery.seconds)
    seconds.update(queries.seconds)
    result = PipelineResult(replace(ranking, seconds=dict(seconds)), gallery, queries)
    report(result)
    return result


def report(result: PipelineResult) -> None:
    """Say what was done: counts, failures by reason, time by stage."""
    for side, embeddings in (("gallery", result.gallery), ("queries", result.queries)):
        report_photos(side, embeddings)
    report_seconds(result.ranking.seconds, len(result.gallery) + len(result.queries))


def report_photos(side: str, embeddings: Embeddings) -> None:
    """Say how many photos were embedded, and which were not and why."""
    failed = embeddings.failures
    clipped = f", {embeddings.n_clipped} boxes clipped" if embeddings.n_clipped else ""
    cached = f", {embeddings.n_cached} from the cache" if embeddings.n_cached else ""
    message(
        f"{side}: {len(embeddings) - len(failed):,} of {len(embeddings):,} photos{clipped}{cached}"
    )
    report_failures(failed)


def report_failures(failures: Sequence[Failure]) -> None:
    """Say how many photos failed by reason, and name a few of each."""
    for reason, count in Counter(failure.reason for failure in failures).most_common():
        message(f"  {count:,} failed, {reason}: {REASONS.get(reason, reason)}")
        shown = [failure for failure in failures if failure.reason == reason][:SHOWN_FAILURES]
        for failure in shown:
            message(f"    {failure.id} {failure.name}: {failure.detail}")
        if count > len(shown):
            message(f"    ... and {count - len(shown):,} more (all are in --json)")


def report_seconds(seconds: Mapping[str, float], n_photos: int) -> None:
    """Say where the time went: wall-clock by step, core time by stage of embedding."""
    steps = [f"{name} {seconds[name]:.1f} s" for name in ("embed", "rank") if name in seconds]
    message("time: " + ", ".join(steps))
    if "embed" in seconds and n_photos:
        stages = ", ".join(f"{s} {1000 * seconds[s] / n_photos:.1f}" for s in STAGES)
        rate = n_photos / seconds["embed"]
        message(f"embedding: {rate:.1f} photos/s; core ms a photo: {stages}")


def embed_photos(
    photos: PhotoSet, encoder: Encoder, options: EmbeddingOptions, progress: Progress
) -> Embeddings:
    """Embed photos as a command's options say."""
    with open_cache(encoder, options) as cache:
        return embed(
            photos,
            encoder,
            cache=cache,
            retry_failed=options.retry_failed,
            max_failures=options.failure_limit(len(photos)),
            workers=options.workers,
            progress=progress,
        )


@contextmanager
def open_cache(encoder: Encoder, options: EmbeddingOptions) -> Iterator[VectorCache | None]:
    """Open the model's cache where the options want one; say at the end if it could not be kept."""
    if not options.use_cache:
        yield None
        return
    with VectorCache(encoder.fingerprint) as cache:
        yield cache
    if cache.trouble is not None:
        message(f"warning: vectors were not kept for the next run: {cache.trouble}")


def _loaded(photos: PhotoSet, file: Path | None) -> Embeddings | None:
    return None if file is None else Embeddings.load(file, photos)


def _embedded(
    photos: PhotoSet, encoder: Encoder, options: PipelineOptions, progress: Progress, side: str
) -> Embeddings:
    def told(_stage: str, done: int, total: int) -> None:
        progress(f"embed {side}", done, total)

    embeddings = embed_photos(photos, encoder, options.embedding, told)
    if options.save_vectors is not None:
        embeddings.save(options.save_vectors / f"{side}.parquet", photos)
    return embeddings
