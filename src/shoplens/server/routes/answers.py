"""How routes answer, and how long they wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec
from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from shoplens.server.problems import Problem
from shoplens.server.service import Service

_T = TypeVar("_T")


class JsonAnswer(Response):
    """JSON, written once; numbers are those of `shoplens search --json`."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return msgspec.json.encode(content)


def service_of(request: Request) -> Service:
    """Return the service of the application that got a request."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


def request_id_of(request: Request) -> str:
    """Return the id of a request."""
    return str(request.scope["state"]["request_id"])


def deadline_of(request: Request) -> float:
    """Return the moment of `time.monotonic` at which a request is given up."""
    return float(request.scope["state"]["started"] + request.app.state.settings.timeout)


async def while_connected(request: Request, work: Awaitable[_T]) -> _T:
    """Return the result of work, unless the client leaves or its time is over before.

    Call it when the body was read. What waits is dropped then; a call that runs on a thread ends by
    itself.

    Raises:
        Problem: `timeout`.
        ClientDisconnect: the client left.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        left = max(0.0, deadline_of(request) - time.monotonic())
        await asyncio.wait({task, leaving}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if leaving.done():
            raise ClientDisconnect
        raise Problem("timeout", "The request was given up. Try again, or ask for less.")
    finally:
        for one in (task, leaving):
            one.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
