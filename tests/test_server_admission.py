"""How many requests are let in, and when those that are not should come again."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from made_shops import make_shop, png, serving
from prometheus_client import CollectorRegistry, Gauge
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from shoplens.server.layers.admission import Admission, Door
from shoplens.server.metrics import Metrics
from shoplens.server.overload import OverloadedError
from shoplens.server.problems import Problem, problem_of
from shoplens.server.routes import photos
from shoplens.server.routes.photos import _Sending


class Clock:
    """A clock that tests set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def door(most: int) -> tuple[Door, Clock]:
    clock = Clock()
    return Door(most, Gauge("inside", "x", registry=CollectorRegistry()), clock), clock


def test_a_door_lets_in_as_many_as_it_may() -> None:
    door_, _ = door(2)
    assert [door_.enter() for _ in range(3)] == [True, True, False]
    door_.leave()
    assert door_.enter()
    assert door_.n_inside == 2


@pytest.mark.parametrize(
    ("inside", "seconds_each", "wait"),
    [(9, 0.1, 1), (25, 0.1, 3), (29, 0.5, 15), (32, 10.0, 60), (1, 0.001, 1)],
)
def test_the_wait_follows_from_how_many_are_inside_and_how_fast_they_are_done(
    inside: int, seconds_each: float, wait: int
) -> None:
    door_, clock = door(inside)
    for _ in range(inside):
        door_.enter()
    assert door_.wait() == 1  # Nothing is known yet.
    for _ in range(100):
        door_.leave()
        door_.enter()
        clock.now += seconds_each
    assert door_.wait() == wait


def test_time_in_which_nothing_was_asked_does_not_count() -> None:
    door_, clock = door(1)
    door_.enter()
    door_.leave()
    clock.now = 3600.0
    door_.enter()
    assert door_.wait() == 1


def answer_of(app: Admission, path: str, method: str = "GET") -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "method": method, "path": path}, receive, send))
    return sent


@pytest.mark.parametrize(
    ("path", "method", "most"),
    [
        ("/v1/search", "POST", 3),
        ("/v1/catalog/photos/1", "PUT", 3),
        ("/v1/photos/1", "GET", 24),
        ("/v1/thumbnails/1", "GET", 24),
        ("/v1/catalog/photos", "GET", 3),
        ("/v1/catalog/photos/1", "DELETE", 3),
        ("/readyz", "GET", None),
    ],
)
def test_each_kind_of_requests_has_its_bound(path: str, method: str, most: int | None) -> None:
    refused: list[list[Message]] = []
    depth = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Let another one in as long as one is inside."""
        nonlocal depth
        depth += 1
        if depth > 50:
            return

        async def sending(message: Message) -> None:
            refused.append([message])

        await admission({**scope, "state": {}}, receive, sending)

    metrics = Metrics()
    admission = Admission(app, 3, metrics)
    answer_of(admission, path, method)
    assert depth == (51 if most is None else most)
    if most is not None:
        [start] = refused[0]
        assert start["status"] == 429
        assert dict(start["headers"])[b"retry-after"] == b"1"
    # Whatever happened, all have left.
    text = metrics.text().decode()
    assert "shoplens_requests_in_flight 0.0" in text
    assert "shoplens_pictures_in_flight 0.0" in text


def test_searches_do_not_wait_for_pictures_nor_pictures_for_searches(tmp_path: Path) -> None:
    with serving(make_shop(tmp_path), max_waiting=1) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        entered, may_end = threading.Event(), threading.Event()
        find = service.photos.find

        def held(entry: Any) -> Any:
            entered.set()
            assert may_end.wait(60)
            return find(entry)

        service.photos.find = held
        answers: list[Any] = []
        showing = threading.Thread(target=lambda: answers.append(client.get("/v1/photos/1")))
        showing.start()
        assert entered.wait(60)
        assert client.post("/v1/search", files={"photo": png(1)}).status_code == 200
        may_end.set()
        showing.join()
        assert answers[0].status_code == 200


def test_who_is_refused_deeper_inside_is_told_when_to_come_back(tmp_path: Path) -> None:
    with serving(make_shop(tmp_path)) as client:

        async def full(*_: object) -> bytes:
            raise OverloadedError("full")

        service = client.app.state.service  # type: ignore[attr-defined]
        service.thumbnail = full
        for refused in (
            client.get("/v1/thumbnails/1"),
            client.post("/v1/preview", files={"photo": png(1)}),
        ):
            assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
            assert refused.headers["retry-after"] == "1"
    assert isinstance(problem_of(OverloadedError("x")), Problem)


def test_few_files_are_in_memory_however_many_are_asked_for(tmp_path: Path) -> None:
    with serving(make_shop(tmp_path), max_waiting=2) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        guard, inside, most = threading.Lock(), 0, 0
        find = service.photos.find

        def counted(entry: Any) -> Any:
            nonlocal inside, most
            with guard:
                inside += 1
                most = max(most, inside)
            try:
                return find(entry)
            finally:
                with guard:
                    inside -= 1

        service.photos.find = counted
        statuses: list[int] = []

        def show(number: int) -> None:
            kind = "photos" if number % 2 else "thumbnails"
            statuses.append(client.get(f"/v1/{kind}/{number % 7}").status_code)

        threads = [threading.Thread(target=show, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 12
        assert most <= 2
        # All of them were given back.
        assert service.shown_from_memory._value == 2


def test_a_client_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    async def work() -> None:
        given_back: list[int] = []
        held = AsyncExitStack()
        held.callback(given_back.append, 1)
        file = tmp_path / "photo"
        file.write_bytes(bytes(10))

        async def stuck(_message: Message) -> None:
            await asyncio.sleep(3600)

        async def receive() -> Message:
            await asyncio.sleep(3600)
            raise AssertionError

        with file.open("rb") as stream:
            sending = _Sending(stream, 10, held, 0.05, "image/png", {})
            with pytest.raises(ClientDisconnect):
                await sending({"type": "http", "asgi": {}}, receive, stuck)
        assert given_back == [1]

    asyncio.run(asyncio.wait_for(work(), 30))


def test_a_client_that_takes_little_at_a_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "_PIECE", 10)
    file = tmp_path / "photo"
    file.write_bytes(bytes(10_000))
    taken: list[Message] = []

    async def work() -> None:
        async def slow(message: Message) -> None:
            await asyncio.sleep(0.02)
            taken.append(message)

        async def receive() -> Message:
            await asyncio.sleep(3600)
            raise AssertionError

        with file.open("rb") as stream:
            sending = _Sending(stream, 10_000, AsyncExitStack(), 0.5, "image/png", {})
            with pytest.raises(ClientDisconnect):
                await sending({"type": "http", "asgi": {}}, receive, slow)

    asyncio.run(asyncio.wait_for(work(), 30))
    assert len(taken) < 1000
