"""What commands say of photos on standard error: counts, failures by reason, time by stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from shoplens.catalog.entry import FailedPhoto
from shoplens.cli.console import message
from shoplens.embedding import STAGES
from shoplens.pipeline import RankedDataset
from shoplens.records import REASONS, Failure
from shoplens.vectors.embeddings import Embeddings

SHOWN_FAILURES = 5


def tell_ranked(result: RankedDataset) -> None:
    """Say what was done: counts, failures by reason, time by stage."""
    for side, embeddings in (("gallery", result.gallery), ("queries", result.queries)):
        tell_photos(side, embeddings)
    sides = result.gallery, result.queries
    n_computed = sum(len(side) - side.n_cached for side in sides if side.seconds)
    tell_seconds(result.ranking.seconds, n_computed)


def tell_photos(side: str, embeddings: Embeddings) -> None:
    """Say how many photos were embedded, and which were not and why."""
    failed = embeddings.failures
    clipped = f", {embeddings.n_clipped} boxes clipped" if embeddings.n_clipped else ""
    cached = f", {embeddings.n_cached} from the cache" if embeddings.n_cached else ""
    message(
        f"{side}: {len(embeddings) - len(failed):,} of {len(embeddings):,} photos{clipped}{cached}"
    )
    tell_failures(failed)


def tell_others(n_others: int) -> None:
    """Say how many files of a folder are no photos."""
    if n_others:
        told = "1 file is not a photo" if n_others == 1 else f"{n_others:,} files are not photos"
        message(f"{told} and left out")


def tell_failures(failures: Sequence[Failure] | Sequence[FailedPhoto]) -> None:
    """Say how many photos failed by reason, and name a few of each."""
    for reason, count in Counter(failure.reason for failure in failures).most_common():
        message(f"  {count:,} failed, {reason}: {REASONS.get(reason, reason)}")
        shown = [failure for failure in failures if failure.reason == reason][:SHOWN_FAILURES]
        for failure in shown:
            message(f"    {_named(failure)}: {failure.detail}")
        if count > len(shown):
            message(f"    ... and {count - len(shown):,} more (all are in --json)")


def _named(failure: Failure | FailedPhoto) -> str:
    if isinstance(failure, Failure):
        return f"{failure.id} {failure.name}"
    same = failure.photo_id == failure.path
    return failure.path if same else f"{failure.photo_id} {failure.path}"


def tell_seconds(seconds: Mapping[str, float], n_computed: int) -> None:
    """Say where the time went: wall-clock by step, core time by stage of embedding.

    `n_computed` counts the photos that were embedded now: those from the cache took no time that a
    rate could tell of.
    """
    steps = [
        f"{name} {seconds[name]:.1f} s" for name in ("embed", "rank", "rerank") if name in seconds
    ]
    message("time: " + ", ".join(steps))
    if seconds.get("embed") and n_computed:
        stages = ", ".join(f"{s} {1000 * seconds[s] / n_computed:.1f}" for s in STAGES)
        rate = n_computed / seconds["embed"]
        message(f"embedding: {rate:.1f} photos/s; core ms a photo: {stages}")
