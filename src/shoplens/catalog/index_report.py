"""What `index` did to a catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoplens.catalog.entry import FailedPhoto
from shoplens.catalog.model_stamp import ModelStamp


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What `index` did or, in a dry run, would do.

    `n_added`, `n_changed`, `n_unchanged` and `n_failed` add up to the photos of the source.
    """

    catalog: str
    """Its URI."""
    source: str
    """As the catalogue names it (see `Entry.source`)."""
    dry_run: bool
    model: ModelStamp | None
    """None in a dry run of a catalogue that has no model yet."""
    failures: tuple[FailedPhoto, ...] = ()
    """The photos that failed."""
    n_added: int = 0
    n_changed: int = 0
    n_unchanged: int = 0
    n_removed: int = 0
    """Photos that were in the source no more (with `sync`)."""
    n_kept: int = 0
    """Of those that failed, photos that stay in the catalogue with their earlier vectors."""
    n_taken_over: int = 0
    """Of those that changed, photos that came from another source before."""
    n_embedded: int = 0
    """Photos that needed a new vector."""
    n_cached: int = 0
    """Of those embedded, photos whose vector came from the cache."""
    n_clipped: int = 0
    """Of those embedded, photos whose box was clipped."""
    n_others: int = 0
    """Files of the source that are not photos."""
    regions: int = 0
    """Regions of each photo that have vectors of their own."""
    chain: tuple[str, ...] = ()
    """The steps by which searches are re-ranked that name no chain."""
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    """Wall-clock seconds (`index`), and core seconds of each stage of embedding."""

    @property
    def n_photos(self) -> int:
        """How many photos the source has."""
        return self.n_added + self.n_changed + self.n_unchanged + self.n_failed

    @property
    def n_failed(self) -> int:
        """How many photos failed."""
        return len(self.failures)

    def to_json(self) -> dict[str, Any]:
        """Return the report as `shoplens index --json` writes it."""
        model = self.model
        return {
            "catalog": self.catalog,
            "source": self.source,
            "dry_run": self.dry_run,
            "n_photos": self.n_photos,
            "n_added": self.n_added,
            "n_changed": self.n_changed,
            "n_unchanged": self.n_unchanged,
            "n_removed": self.n_removed,
            "n_failed": self.n_failed,
            "n_kept": self.n_kept,
            "n_taken_over": self.n_taken_over,
            "n_embedded": self.n_embedded,
            "n_cached": self.n_cached,
            "n_clipped": self.n_clipped,
            "regions": self.regions,
            "chain": list(self.chain),
            "failures": dict(Counter(photo.reason for photo in self.failures).most_common()),
            "failed_photos": [
                {"id": f.photo_id, "path": f.path, "reason": f.reason, "detail": f.detail}
                for f in self.failures
            ],
            "model": None
            if model is None
            else {"name": model.name, "fingerprint": model.fingerprint},
            "seconds": dict(self.seconds),
        }
