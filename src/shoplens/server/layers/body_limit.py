"""How large the body of a request may be, how long it may take to arrive, and what becomes of one
that nobody reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoplens.server.layers.refusing import refuse
from shoplens.server.problems import Problem

_DRAIN_SECONDS = 5.0
_DRAIN_BYTES = 1 << 26


class BodyLimit:
    """Refuses bodies that are too large, by their Content-Length or, in chunks, as they arrive.

    Nothing is kept here. Reading a body that goes on too long raises `Problem`. It stands outside
    of all layers that may answer before the body was read.

    Args:
        app: what answers.
        most_bytes: that a body may have.
        seconds: that it may take to arrive.
        larger: paths where a body may have more bytes, and may take longer in proportion.
    """

    def __init__(
        self, app: ASGIApp, most_bytes: int, seconds: float, larger: Mapping[str, int]
    ) -> None:
        self._app = app
        self._most = most_bytes
        self._seconds = seconds
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = max(self._most, self._larger.get(scope["path"], 0))
        seconds = self._seconds * most / self._most
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        last_word = _LastWord(scope, receive, send)
        if length.isdigit() and int(length) > most:
            await refuse(_too_large(most), scope, receive, last_word.send)
            await last_word.end()
            return
        until = time.monotonic() + seconds
        n_bytes = 0
        is_coming = length != b"0" or b"transfer-encoding" in headers
        answering = send

        async def receiving() -> Message:
            nonlocal n_bytes, is_coming
            if not is_coming:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, until - time.monotonic()))
            except asyncio.TimeoutError:
                raise Problem(
                    "slow_request", f"The body did not arrive within {seconds:g} s."
                ) from None
            n_bytes += len(message.get("body", b""))
            is_coming = message.get("more_body", False)
            if n_bytes > most:
                raise _too_large(most)
            return message

        async def sending(message: Message) -> None:
            nonlocal answering
            if message["type"] == "http.response.start" and is_coming:
                answering = last_word.send
            await answering(message)

        await self._app(scope, receiving, sending)
        await last_word.end()


def _too_large(most: int) -> Problem:
    return Problem("body_too_large", f"At most {most:,} bytes are read.", limit=most)


class _LastWord:
    """Lets a client see the answer to a request whose body was not read, and closes.

    A connection that is closed while the client still sends is reset, and the answer may be lost.
    So the end of the answer is held back until what still arrives was thrown away for a while.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._waits = any(name == b"expect" for name, _ in scope["headers"])
        self._receive = receive
        self._send = send
        self._is_held = False

    async def send(self, message: Message) -> None:
        """Pass a message of the answer on, all but its end."""
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        elif not message.get("more_body", False):
            self._is_held = True
            message = {**message, "more_body": True}
        await self._send(message)

    async def end(self) -> None:
        """Throw away what still comes, and end the answer."""
        if not self._is_held:
            return
        if not self._waits:  # Else the client sends nothing before we say so.
            await self._drain()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        until = time.monotonic() + _DRAIN_SECONDS
        n_bytes = 0
        while n_bytes < _DRAIN_BYTES and (left := until - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except asyncio.TimeoutError:
                return
            if message["type"] != "http.request" or not message.get("more_body", False):
                return
            n_bytes += len(message.get("body", b""))
