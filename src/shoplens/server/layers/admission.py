"""How many requests may be inside at a time; further ones are turned away at the door."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from prometheus_client import Gauge
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoplens.server.layers.refusing import refuse
from shoplens.server.metrics import Metrics
from shoplens.server.problems import Problem

_CATALOG = "/v1/catalog"
_PICTURES = ("/v1/photos/", "/v1/thumbnails/")
"""What the paths of photos and thumbnails begin with."""
_PICTURES_FOR_ONE = 8
"""So many of them for each other request: a page asks for dozens at a time, and each is quick."""
_REMEMBERED = 64
"""Requests whose end tells how fast they are done."""
_LONGEST_WAIT = 60
"""Seconds that a client is told to wait at most."""


class Door:
    """Counts the requests of a kind that are inside, and how fast they are done.

    Args:
        most: that may be inside.
        gauge: shows how many are.
        clock: tells the time in seconds.
    """

    def __init__(
        self, most: int, gauge: Gauge, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._gauge = gauge
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=_REMEMBERED)
        self.n_inside = 0

    def enter(self) -> bool:
        """Let a request in; return False if there is no room."""
        if self.n_inside >= self._most:
            return False
        if not self.n_inside:
            self._ends.clear()  # Nothing was done meanwhile, because there was nothing to do.
        self.n_inside += 1
        self._gauge.set(self.n_inside)
        return True

    def leave(self) -> None:
        """Take note that a request is done."""
        self._ends.append(self._clock())
        self.n_inside -= 1
        self._gauge.set(self.n_inside)

    def wait(self) -> int:
        """Return the seconds, 1 to 60, after which all that are inside now should be done."""
        if not self._ends:
            return 1
        spent = self._clock() - self._ends[0]
        return min(max(math.ceil(self.n_inside * spent / len(self._ends)), 1), _LONGEST_WAIT)


class Admission:
    """Admits a bounded number of requests that bring work (those with a body), before it is read,
    and of those for photos and thumbnails.

    So memory stays bounded and whoever is inside is answered soon, however many come. What else
    only reads is always let through: it takes little, and operators need it most under load. Who is
    told that the server is busy is also told when to try again.
    """

    def __init__(self, app: ASGIApp, most: int, metrics: Metrics) -> None:
        self._app = app
        self._work = Door(most, metrics.in_flight)
        self._pictures = Door(_PICTURES_FOR_ONE * most, metrics.pictures_in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        door = self._door(scope)
        if door is None:
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            # Deeper inside, another queue may be full.
            is_answer = message["type"] == "http.response.start"
            if is_answer and scope.get("state", {}).get("problem") == "overloaded":
                wait = str(door.wait()).encode()
                message["headers"] = [*message.get("headers", ()), (b"retry-after", wait)]
            await send(message)

        if not door.enter():
            detail = f"{door.n_inside} requests are worked on or wait: try again."
            await refuse(Problem("overloaded", detail), scope, receive, sending)
            return
        try:
            await self._app(scope, receive, sending)
        finally:
            door.leave()

    def _door(self, scope: Scope) -> Door | None:
        if scope["type"] != "http":
            return None
        # Reading the catalogue is work as well: filters and counts go through all of its photos.
        if scope["method"] in ("POST", "PUT", "DELETE") or scope["path"].startswith(_CATALOG):
            return self._work
        return self._pictures if scope["path"].startswith(_PICTURES) else None
