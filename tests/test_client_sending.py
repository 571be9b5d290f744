"""What the client sends and what it makes of answers, beside a server that answers anything."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from scripted_server import CUT, Answer, problem, scripted

pytest.importorskip("httpx2", reason="needs the extra client")

from shoplens.client import AsyncClient, Client
from shoplens.client import requests as described
from shoplens.errors import PhotoError, ServiceError
from shoplens.records import Box

FOUND = Answer(
    200,
    b'{"hits": [{"rank": 1, "photo_id": 7, "product_id": null, "score": 0.25, "path": "a.jpg",'
    b' "photo_url": "/v1/photos/7"}], "exact": true, "n_gallery": 3, "n_failed": 1,'
    b' "model": {"name": "m", "fingerprint": "f"}, "seconds": {"search": 0.5},'
    b' "facets": {"price": [{"value": 5, "count": 2}, {"value": null, "count": 1}]},'
    b' "request_id": "r1", "unknown": 1}',
)
STATS = Answer(
    200, b'{"model": null, "n_photos": 0, "n_products": 0, "n_failed": 0, "attributes": {}}'
)
KEY = "sl_abc_0123456789"

Call = Callable[..., Any]


async def _awaited(url: str, name: str, *args: Any, options: dict[str, Any], **kwargs: Any) -> Any:
    async with AsyncClient(url, **options) as client:
        return await getattr(client, name)(*args, **kwargs)


@pytest.fixture(params=["Client", "AsyncClient"])
def call(request: pytest.FixtureRequest) -> Call:
    """Call a method of either client: `call(url, name, ..., options={...})`."""

    def run(url: str, name: str, *args: Any, options: Any = None, **kwargs: Any) -> Any:
        if request.param == "AsyncClient":
            return asyncio.run(_awaited(url, name, *args, options=options or {}, **kwargs))
        with Client(url, **(options or {})) as client:
            return getattr(client, name)(*args, **kwargs)

    return run


def test_a_search_is_sent_and_read(call: Call) -> None:
    with scripted(FOUND) as server:
        found = call(server.url, "search", vector=[1, 0.5], k=3, where="a = 1", facets=["price"])
    [sent] = server.received
    assert (sent.method, sent.path) == ("POST", "/v1/search")
    assert sent.body == (b'{"vector":[1.0,0.5],"k":3,"where":"a = 1","facets":["price"]}')
    [hit] = found
    assert (hit.rank, hit.photo_id, hit.product_id, hit.score) == (1, 7, None, 0.25)
    assert (found.n_gallery, found.n_failed, found.exact) == (3, 1, True)
    assert (found.model_name, found.fingerprint, found.request_id) == ("m", "f", "r1")
    assert found.facets == {"price": {5: 2, None: 1}}
    assert found[:1] == (hit,)
    assert len(found) == 1


def test_a_photo_is_sent_without_its_name_and_with_an_exact_box(call: Call, tmp_path: Path) -> None:
    photo = tmp_path / "private name.jpg"
    photo.write_bytes(b"bytes")
    with scripted(FOUND) as server:
        call(server.url, "search", photo, box=Box(1234.5678, 0, 2000, 10), exact=True)
    body = server.received[0].body
    assert b"private" not in body
    assert b"1234.5678,0,765.4322,10" in body
    assert b'name="exact"\r\n\r\ntrue\r\n' in body


def test_the_address_may_have_a_path_and_ids_anything(call: Call) -> None:
    stored = Answer(200, b'{"photo_id": "x", "product_id": null, "path": "", "attributes": {}}')
    with scripted(stored) as server:
        for photo_id in ("a/b c?.jpg", "..", 7):
            call(f"{server.url}/shop/", "get_photo", photo_id)
    paths = [sent.path.removeprefix("/shop/v1/catalog/photos/") for sent in server.received]
    assert paths == ["a%2Fb%20c%3F.jpg", "%2E%2E", "7"]


def test_the_key_is_sent_and_never_shown(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPLENS_API_KEY", KEY)
    with scripted(problem(401, "no_key", detail="the key is not known")) as server:
        for options in ({}, {"key": KEY}):
            with pytest.raises(ServiceError) as caught:
                call(server.url, "stats", options=options)
            assert KEY not in f"{caught.value!r} {caught.value}"
    assert [sent.headers["authorization"] for sent in server.received] == [f"Bearer {KEY}"] * 2
    with Client(server.url) as client:
        assert KEY not in repr(client)
    with pytest.raises(ServiceError, match="bad_key") as caught:
        Client(key=f"{KEY}\r\nx: y")
    assert KEY not in repr(caught.value)


def test_an_explanation_is_sent_and_read(call: Call) -> None:
    side = b'{"width": 8, "height": 6, "box": "0,0,8,6", "heat": [[0, 0.5], [1.0, 0]]}'
    answer = Answer(200, b'{"query": %b, "result": %b, "request_id": "r"}' % (side, side))
    with scripted(answer) as server:
        found = call(server.url, "explain", photo_id=5, result_id="a")
        call(server.url, "explain", b"photo", result_id=7, box="rel:0,0,1,1")
    assert server.received[0].body == b'{"photo_id":5,"result_id":"a"}'
    assert b'name="result_id"\r\n\r\n7\r\n' in server.received[1].body
    assert found.query == found.result
    assert (found.query.box, found.query.heat) == ("0,0,8,6", ((0, 0.5), (1.0, 0)))


def test_a_region_that_is_no_box_is_no_answer(call: Call) -> None:
    body = FOUND.body.replace(b'"path": "a.jpg"', b'"path": "a.jpg", "region": "here"')
    with scripted(Answer(200, body)) as server, pytest.raises(ServiceError, match="not_a_service"):
        call(server.url, "search", photo_id=1)


def test_a_problem_document_becomes_an_error(call: Call) -> None:
    answer = problem(422, "bad_filter", detail="what is ==?", request_id="r2", position=6)
    with scripted(answer) as server, pytest.raises(ServiceError) as caught:
        call(server.url, "search", photo_id=1, where="price == 3")
    error = caught.value
    assert (error.status, error.code, error.detail) == (422, "bad_filter", "what is ==?")
    assert (error.request_id, error.retry_after) == ("r2", None)
    assert error.members == {"position": 6}
    assert str(error) == "what is ==? (bad_filter, status 422, request r2)"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == (str(error), vars(error))
    assert len(server.received) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_search_is_sent_again_when_the_service_says_when(call: Call, status: int) -> None:
    busy = problem(status, "overloaded", "0", detail="busy")
    with scripted(busy, busy, FOUND) as server:
        assert len(call(server.url, "search", photo_id=1)) == 1
    assert len(server.received) == 3


def test_attempts_are_bounded(call: Call) -> None:
    with scripted(problem(429, "overloaded", "0")) as server, pytest.raises(ServiceError):
        call(server.url, "search", photo_id=1, options={"retries": 1})
    assert len(server.received) == 2


@pytest.mark.parametrize(
    "answer",
    [
        problem(429, "too_many_requests", "31"),
        problem(429, "too_many_requests"),
        problem(503, "timeout"),
        problem(500, "internal", "0"),
        problem(400, "bad_request", "0"),
    ],
)
def test_no_second_attempt_without_hope(call: Call, answer: Answer) -> None:
    with scripted(answer, FOUND) as server, pytest.raises(ServiceError) as caught:
        call(server.url, "search", photo_id=1, options={"longest_wait": 30})
    assert len(server.received) == 1
    wanted = answer.headers.get("Retry-After")
    assert caught.value.retry_after == (None if wanted is None else float(wanted))


def test_a_date_to_come_back_is_understood(call: Call) -> None:
    date = datetime.now(timezone.utc) + timedelta(seconds=90)
    busy = problem(503, "overloaded", format_datetime(date, usegmt=True))
    with scripted(busy) as server, pytest.raises(ServiceError) as caught:
        call(server.url, "stats")
    assert caught.value.retry_after is not None
    assert 60 < caught.value.retry_after <= 90


def test_a_change_is_sent_again_only_if_nothing_was_done(call: Call) -> None:
    removed = Answer(200, b'{"n_removed": 1}')
    with scripted(problem(429, "too_many_requests", "0"), removed) as server:
        assert call(server.url, "delete_photos", [1]) == 1
    for first in (problem(503, "timeout", "0"), Answer(CUT)):
        with scripted(first, removed) as server, pytest.raises(ServiceError):
            call(server.url, "delete_photos", [1])
        assert len(server.received) == 1


def test_a_cut_connection_is_tried_again(call: Call) -> None:
    with scripted(Answer(CUT), STATS) as server:
        assert call(server.url, "stats").n_photos == 0
    with scripted(Answer(CUT)) as server, pytest.raises(ServiceError, match="interrupted"):
        call(server.url, "stats", options={"retries": 0})


def test_a_service_that_is_away(call: Call) -> None:
    with scripted(STATS) as server:
        pass
    with pytest.raises(ServiceError, match="cannot be reached") as caught:
        call(server.url, "stats", options={"retries": 1})
    assert (caught.value.status, caught.value.code) == (None, "unreachable")


def test_a_service_that_does_not_answer(call: Call) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServiceError) as caught:
            call(url, "stats", options={"timeout": 1.0})
    assert caught.value.code == "no_answer_in_time"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>hello"),
        Answer(200, b'{"hits": 3}'),
        Answer(502, b"<h1>Bad gateway</h1>"),
        Answer(400, b"{", {"Content-Type": "application/problem+json"}),
        Answer(400, b"[]", {"Content-Type": "application/problem+json"}),
        Answer(302, b"", {"Location": "https://elsewhere.example/"}),
    ],
)
def test_an_answer_that_is_not_the_services(call: Call, answer: Answer) -> None:
    with scripted(answer) as server, pytest.raises(ServiceError) as caught:
        call(server.url, "search", photo_id=1)
    assert (caught.value.status, caught.value.code) == (answer.status, "not_a_service")
    assert len(server.received) == 1


def test_health_says_so_instead_of_failing(call: Call) -> None:
    not_ready = problem(503, "starting", "0", detail="the model is being loaded")
    with scripted(not_ready, Answer(200)) as server:
        health = call(server.url, "health")
        assert (health.ready, health.detail) == (False, "the model is being loaded")
        assert call(server.url, "health").ready
    assert len(server.received) == 2


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://localhost", "", "http://", "http://me:secret@localhost"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ServiceError, match="bad_address") as caught:
        Client(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there(call: Call, tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.jpg", "missing"), (tmp_path, "unreadable")):
        with pytest.raises(PhotoError) as caught:
            call("http://127.0.0.1:1", "search", path)
        assert caught.value.reason == reason


def test_both_clients_have_the_same_methods() -> None:
    names = {name for name in vars(Client) if not name.startswith("_")}
    assert names == {name for name in vars(AsyncClient) if not name.startswith("_")}
    for name in names - {"photos", "close"}:
        method, request = getattr(Client, name), getattr(described, name)
        assert inspect.signature(method) == inspect.signature(getattr(AsyncClient, name))
        assert inspect.getdoc(method) == inspect.getdoc(request)
        first, *rest = inspect.signature(method).parameters
        assert (first, rest) == ("self", list(inspect.signature(request).parameters))


def test_importing_the_client_is_light() -> None:
    code = "import shoplens.client, sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"numpy", "PIL", "onnxruntime", "httpx2", "rich"}


def test_the_reference_has_all_methods() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    listed = page.partition("::: shoplens.client.requests\n")[2].partition("###")[0]
    names = {name for name in vars(Client) if not name.startswith("_")} - {"photos", "close"}
    assert set(re.findall(r"- (\w+)$", listed, re.MULTILINE)) == names
