"""How many requests may be inside at a time; further ones are turned away at the door."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from shoplens.server.layers.refusing import refuse
from shoplens.server.metrics import Metrics
from shoplens.server.problems import overloaded


class Admission:
    """Admits a bounded number of requests that bring work (those with a body), before it is read.

    So memory stays bounded and whoever is inside is answered soon, however many come. What only
    reads is always let through: it takes little, and operators need it most under load.
    """

    def __init__(self, app: ASGIApp, most: int, metrics: Metrics) -> None:
        self._app = app
        self._most = most
        self._metrics = metrics
        self._n_inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT"):
            await self._app(scope, receive, send)
            return
        if self._n_inside >= self._most:
            problem = overloaded(f"{self._n_inside} requests are worked on or wait: try again.")
            await refuse(problem, scope, receive, send)
            return
        self._n_inside += 1
        self._metrics.in_flight.set(self._n_inside)
        try:
            await self._app(scope, receive, send)
        finally:
            self._n_inside -= 1
            self._metrics.in_flight.set(self._n_inside)
