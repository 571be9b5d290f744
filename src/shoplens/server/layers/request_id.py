"""Each request gets an id, a line in the log, a place in the metrics and, whatever happens, an
answer."""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoplens.server.logs import REQUEST_ID, log_event
from shoplens.server.metrics import Metrics
from shoplens.server.problems import problem_of

HEADER = b"x-request-id"
CLIENT_LEFT = 499
"""What stands for a status in the log and the metrics if nobody waited for the answer."""
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_GIVEN = re.compile(rb"[A-Za-z0-9._-]{8,64}")
"""An id that a proxy gave is kept if it looks like one."""


class RequestIds:
    """Gives `scope["state"]` the `request_id`, and the moment of `time.monotonic` at which the
    request `started`."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        request_id = given.decode() if _GIVEN.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {}).update(request_id=request_id, started=started)
        token = REQUEST_ID.set(request_id)
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception as error:
            if status:
                raise
            problem = problem_of(error)
            scope["state"]["problem"] = problem.code
            await problem.response(request_id)(scope, receive, sending)
        finally:
            self._tell(scope, status, time.monotonic() - started)
            REQUEST_ID.reset(token)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "")
        problem = scope["state"].get("problem")
        if problem is not None:
            self._metrics.problem(problem)
        # Each label is kept as long as the server runs, and a client may send any method.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.request(route, method, status, seconds)
        facts = {"method": scope["method"], "path": scope["path"], "status": status}
        if "key" in scope["state"]:
            facts["key"] = scope["state"]["key"]
        if problem is not None:
            facts["problem"] = problem
        level = logging.ERROR if status >= 500 else logging.INFO
        log_event("request", level, **facts, seconds=round(seconds, 4))
