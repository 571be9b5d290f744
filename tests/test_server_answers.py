"""How long a route waits for the work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect

from shoplens.server.problems import Problem
from shoplens.server.routes.answers import while_connected

LONGEST = 30.0
"""Seconds after which a test is given up that would wait for ever."""


def run(check: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(check, LONGEST))


def request(*, leaves: asyncio.Event, timeout: float = 60.0) -> Request:
    """Return a request whose body was read, of a client that leaves."""

    async def receive() -> dict[str, str]:
        await leaves.wait()
        return {"type": "http.disconnect"}

    app = SimpleNamespace(state=SimpleNamespace(settings=SimpleNamespace(timeout=timeout)))
    scope = {"type": "http", "app": app, "state": {"started": time.monotonic()}}
    return Request(scope, receive)


class Work:
    """Work that waits until it is let go on."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.begun = asyncio.Event()
        self.dropped = False

    async def __call__(self) -> str:
        self.begun.set()
        try:
            await self.goes_on.wait()
        except asyncio.CancelledError:
            self.dropped = True
            raise
        return "done"


def test_the_result_is_returned() -> None:
    async def check() -> None:
        work = Work()
        work.goes_on.set()
        assert await while_connected(request(leaves=asyncio.Event()), work()) == "done"

    run(check())


def test_errors_of_the_work_come_out() -> None:
    async def failing() -> None:
        raise KeyError("it")

    async def check() -> None:
        with pytest.raises(KeyError, match="it"):
            await while_connected(request(leaves=asyncio.Event()), failing())

    run(check())


def test_work_is_dropped_when_the_client_leaves() -> None:
    async def check() -> None:
        work, leaves = Work(), asyncio.Event()
        waiting = asyncio.ensure_future(while_connected(request(leaves=leaves), work()))
        await work.begun.wait()
        leaves.set()
        with pytest.raises(ClientDisconnect):
            await waiting
        assert work.dropped

    run(check())


def test_work_is_dropped_when_its_time_is_over() -> None:
    async def check() -> None:
        work = Work()
        with pytest.raises(Problem) as raised:
            await while_connected(request(leaves=asyncio.Event(), timeout=0.02), work())
        assert raised.value.code == "timeout"
        assert work.dropped or not work.begun.is_set()

    run(check())
