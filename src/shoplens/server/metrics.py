"""What Prometheus reads at /metrics: one process, one registry for each application."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STAGES = ("read", "fetch", "decode", "boxes", "embed", "search")
"""The stages of a request: its body arrives, its photo is fetched (where a URL is given) and
decoded, boxes are proposed (where they are asked for), it is embedded, and searched for. Waiting
counts."""


class Metrics:
    """Counters, gauges and histograms; `text` is what /metrics answers.

    Args:
        trace: what records each stage besides, by its name (see `tracing`).
    """

    media_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, trace: Callable[[str], AbstractContextManager[None]] | None = None) -> None:
        self._trace = trace or (lambda _stage: nullcontext())
        self._registry = registry = CollectorRegistry()
        self._stages = Histogram(
            "shoplens_stage_seconds",
            "Seconds that a stage of a search took, waiting included",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        for stage in STAGES:
            self._stages.labels(stage)
        self._requests = Histogram(
            "shoplens_request_seconds",
            "Seconds from the first byte of a request to the last of its answer",
            ["route", "method", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._errors = Counter(
            "shoplens_errors",
            "Requests that were answered with a problem, by its code",
            ["code"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "shoplens_requests_in_flight", "Requests that are worked on or wait", registry=registry
        )
        self.pictures_in_flight = Gauge(
            "shoplens_pictures_in_flight",
            "Requests for photos and thumbnails that are answered or wait",
            registry=registry,
        )
        self.photos = Gauge("shoplens_catalog_photos", "Photos in the catalogue", registry=registry)
        self._embedding = Gauge(
            "shoplens_embedding_queue_depth",
            "Photos that wait to be embedded",
            registry=registry,
        )
        self._decoding = Gauge(
            "shoplens_decoding_queue_depth",
            "Photos that wait to be decoded",
            registry=registry,
        )
        self.decoders_lost = Counter(
            "shoplens_decoders_lost",
            "Processes that crashed on a photo, or took too long and were killed",
            registry=registry,
        )
        self._ready = Gauge(
            "shoplens_ready", "1 if the server answers searches, else 0", registry=registry
        )

    def watch(
        self,
        *,
        decoding: Callable[[], float],
        embedding: Callable[[], float],
        is_ready: Callable[[], float],
    ) -> None:
        """Say where the gauges read their values."""
        self._decoding.set_function(decoding)
        self._embedding.set_function(embedding)
        self._ready.set_function(is_ready)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage of a search; one that fails counts too."""
        started = time.perf_counter()
        try:
            with self._trace(name):
                yield
        finally:
            self._stages.labels(name).observe(time.perf_counter() - started)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request. `route` is the pattern of its path, so that there are few."""
        self._requests.labels(route, method, str(status)).observe(seconds)

    def problem(self, code: str) -> None:
        """Count a problem."""
        self._errors.labels(code).inc()

    def text(self) -> bytes:
        """Return all values in Prometheus' text format."""
        return generate_latest(self._registry)
