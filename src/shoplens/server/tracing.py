"""Traces for OpenTelemetry (extra `shoplens[otel]`), and the one place where it is imported.

A trace says which route a request took, its status, its id, and how long each stage took. It holds
no photos, filters, ids of photos or keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoplens._version import __version__
from shoplens.errors import MissingError

try:
    from opentelemetry import propagate
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
    from opentelemetry.trace import SpanKind, StatusCode
except ImportError as error:
    raise MissingError(f"traces need {error.name}: pip install 'shoplens[otel]'") from error

_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
"""What is asked every few seconds."""


class Tracer:
    """Records requests and their stages, and sends them in the background.

    Args:
        exporter: where traces go; by default the collector that the environment names
            (`OTEL_EXPORTER_OTLP_ENDPOINT`; http://localhost:4318 without it).
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        ours = Resource({"service.name": "shoplens", "service.version": __version__})
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say counts before ours.
        self._provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("shoplens.server", __version__)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record a stage of the request that is worked on."""
        # The message of an exception may name a file or quote a filter.
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ):
            yield

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    async def record(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and record it, as a part of the trace that its caller named."""
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        with self._tracer.start_as_current_span(
            scope["method"],
            context=propagate.extract(headers),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"]},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                await app(scope, receive, sending)
            finally:
                route = getattr(scope.get("route"), "path", None)
                if route is not None:
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)
                state = scope.get("state", {})
                span.set_attribute("shoplens.request_id", state.get("request_id", ""))
                if "problem" in state:
                    span.set_attribute("error.type", state["problem"])
                if status:
                    span.set_attribute("http.response.status_code", status)
                if status >= 500 or not status:
                    span.set_status(StatusCode.ERROR)


class Traces:
    """A layer that records requests, except those of probes and of Prometheus."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self._app(scope, receive, send)
        else:
            await self._tracer.record(self._app, scope, receive, send)
