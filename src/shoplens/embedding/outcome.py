"""The results of photos, one by one and counted."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from shoplens.cache import Computed
from shoplens.errors import FailureLimitError
from shoplens.records import Failure, Photo

STAGES = ("read", "decode", "crop", "infer")
"""The stages whose core time is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """The result of one photo."""

    computed: Computed
    sha256: str | None = None
    """SHA-256 of its bytes, in hex; None if they could not be read."""
    cached: bool = False
    """Whether it came from the cache, so that nothing was decoded or computed."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Core seconds by stage."""

    def failure(self, row: int, photo: Photo) -> Failure | None:
        """Return the failure record of a photo, or None if it did not fail."""
        if self.computed.vector is not None:
            return None
        return Failure(row, photo.id, photo.name, self.computed.reason, self.computed.detail)


class Tally:
    """Counts the results of photos, and stops a run in which too many fail."""

    def __init__(self, max_failures: int | None = None) -> None:
        self.failures: list[Failure] = []
        self.n_photos = 0
        self.n_clipped = 0
        self.n_cached = 0
        self._max_failures = max_failures
        self._core_seconds = dict.fromkeys(STAGES, 0.0)
        self._started = time.perf_counter()

    def add(self, row: int, photo: Photo, result: Embedded) -> None:
        """Count a photo.

        Raises `FailureLimitError` if there are too many failures.
        """
        self.n_photos += 1
        self.n_clipped += result.computed.clipped
        self.n_cached += result.cached
        for stage, spent in result.seconds.items():
            self._core_seconds[stage] += spent
        if failure := result.failure(row, photo):
            self.failures.append(failure)
            if self._max_failures is not None and len(self.failures) > self._max_failures:
                raise FailureLimitError(self.failures, self.n_photos)

    def by_reason(self) -> dict[str, int]:
        """Return the number of photos that failed for each reason, most frequent first."""
        return dict(Counter(failure.reason for failure in self.failures).most_common())

    def seconds(self) -> dict[str, float]:
        """Return wall-clock seconds since the start (`embed`) and core seconds of each stage."""
        return {**self._core_seconds, "embed": time.perf_counter() - self._started}


class StageClock:
    """Measures the CPU time of this thread, so waiting for a core does not count."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.thread_time()

    def lap(self, stage: str) -> None:
        """Assign the time since the last lap to a stage."""
        now = time.thread_time()
        self.seconds[stage] = now - self._last
        self._last = now
