"""Traces, taken from memory instead of a collector."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import picture
from scripted_server import Answer, Received, scripted
from server_process import serving

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")
pytest.importorskip("fastapi", reason="needs the extra serve")

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.middleware import Middleware

from shoplens import index
from shoplens.client import Client
from shoplens.server.metrics import Metrics
from shoplens.server.tracing import Tracer, Traces

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def traced(*paths: str, headers: dict[str, str] | None = None) -> list[ReadableSpan]:
    """Send requests to a small application; return what was recorded."""
    exporter = InMemorySpanExporter()
    tracer = Tracer(exporter)
    metrics = Metrics(tracer.stage)
    app = FastAPI(middleware=[Middleware(Traces, tracer=tracer)])

    @app.get("/photos/{photo_id:path}")
    async def photo(photo_id: str, request: Request) -> JSONResponse:
        request.scope.setdefault("state", {})["request_id"] = "r1"
        with metrics.stage("search"):
            await asyncio.sleep(0)
        if photo_id == "gone":
            request.scope["state"]["problem"] = "not_found"
            return JSONResponse({}, 404)
        if photo_id == "fault":
            with metrics.stage("embed"):
                raise ValueError("secret.jpg")
        return JSONResponse({})

    @app.get("/readyz")
    async def ready() -> JSONResponse:
        return JSONResponse({})

    import httpx2

    async def ask() -> None:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            for path in paths:
                await client.get(path, headers=headers)

    asyncio.run(ask())
    tracer.close()
    return list(exporter.get_finished_spans())


def shown(span: ReadableSpan) -> dict[str, Any]:
    return {**(span.attributes or {}), "name": span.name}


def test_a_request_is_a_span_with_its_stages() -> None:
    stage, request = traced("/photos/a")
    assert (stage.name, request.name) == ("search", "GET /photos/{photo_id:path}")
    assert stage.parent == request.get_span_context()
    assert request.kind is SpanKind.SERVER
    assert request.parent is None
    assert shown(request) == {
        "name": "GET /photos/{photo_id:path}",
        "http.request.method": "GET",
        "http.route": "/photos/{photo_id:path}",
        "http.response.status_code": 200,
        "shoplens.request_id": "r1",
    }
    resource = request.resource.attributes
    assert resource["service.name"] == "shoplens"


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "search-eu")
    [_, request] = traced("/photos/a")
    assert request.resource.attributes["service.name"] == "search-eu"


def test_a_request_becomes_a_part_of_its_callers_trace() -> None:
    _, request = traced("/photos/a", headers={"traceparent": PARENT})
    assert request.parent is not None
    assert f"{request.context.trace_id:032x}-{request.parent.span_id:016x}" in PARENT


def test_errors_are_marked_without_what_they_say() -> None:
    _, gone, _, embed, fault = traced("/photos/gone", "/photos/fault")
    assert shown(gone)["error.type"] == "not_found"
    assert gone.status.status_code is StatusCode.UNSET
    assert fault.status.status_code is StatusCode.ERROR
    for span in (embed, fault):
        assert "secret" not in span.to_json()


def test_nothing_that_was_asked_is_recorded() -> None:
    spans = traced("/photos/private.jpg?where=secret", headers={"authorization": "Bearer secret"})
    for span in spans:
        assert "secret" not in span.to_json()
        assert "private" not in span.to_json()


def test_probes_are_not_traced() -> None:
    assert traced("/readyz") == []


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.sdk.trace'] = None\n"
        "from shoplens.errors import MissingError\n"
        "try:\n    import shoplens.server.tracing\n"
        "except MissingError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'shoplens[otel]'" in done.stdout


def test_a_server_sends_traces_to_its_collector(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    picture(1).save(photos / "a.png")
    index(photos, tmp_path / "shop")
    with scripted(Answer(200)) as collector:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        flags = ("--catalog", tmp_path / "shop", "--config", tmp_path / "settings.toml")
        (tmp_path / "settings.toml").write_text("tracing = true\n", encoding="utf-8")
        with serving(*flags, environment=environment) as server, Client(server.url) as client:
            client.search(photos / "a.png")
            assert server.stop() == 0
    sent = [received for received in collector.received if received.path == "/v1/traces"]
    body = b"".join(decompressed(received) for received in sent)
    for name in (b"POST /v1/search", b"decode", b"embed", b"search", b"shoplens.request_id"):
        assert name in body
    assert b"a.png" not in body


def decompressed(received: Received) -> bytes:
    headers = {name.lower(): value for name, value in received.headers.items()}
    return gzip.decompress(received.body) if "content-encoding" in headers else received.body
