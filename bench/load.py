"""A load generator for the service: requests over plain sockets, bounded in count and time.

It shares the machine with the server that it measures, so a request has to cost it little: the
bytes are made before, and only the head of an answer is understood.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_BOUNDARY = "shoplens-load"
_NO_ANSWER = 0
"""The status of a request that got none."""


@dataclass
class Load:
    """What became of requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Requests by the status of the answer; 0 where there was none."""
    seconds: list[float] = field(default_factory=list)
    """From the first byte sent to the last received, of those answered with 200."""
    wall_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second that were answered with 200."""
        return self.statuses[200] / self.wall_seconds

    def milliseconds(self, quantile: float) -> float:
        """Return a quantile of the times."""
        return float(1e3 * np.quantile(self.seconds, quantile))

    def to_json(self) -> dict[str, Any]:
        """Return the counts and quantiles."""
        return {
            "statuses": {str(status): n for status, n in sorted(self.statuses.items())},
            "per_second": self.rate,
            "wall_seconds": self.wall_seconds,
            "ms": {f"p{q}": self.milliseconds(q / 100) for q in (50, 90, 99)},
        }


def search_request(host: str, jpeg: bytes, box: str) -> bytes:
    """Return a whole request that searches for a photo with a box."""
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="box"\r\n\r\n{box}\r\n'.encode(),
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n".encode(),
        jpeg,
        f"\r\n--{_BOUNDARY}--\r\n".encode(),
    ]
    body = b"".join(parts)
    head = (
        f"POST /v1/search HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """One client: it is connected anew when the server has closed its connection."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> int:
        """Send a request and return the status of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        try:
            # A server that refuses a request may answer before it has read all of it.
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            await reader.readexactly(int(headers.get("content-length", 0)))
        except (OSError, EOFError):
            self.close()
            return _NO_ANSWER
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split(" ", 2)[1])

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _timed(connection: Connection, request: bytes, load: Load) -> None:
    started = time.perf_counter()
    try:
        status = await connection.send(request)
    except OSError:
        status = _NO_ANSWER
    load.statuses[status] += 1
    if status == 200:
        load.seconds.append(time.perf_counter() - started)


def closed_loop(
    host: str,
    port: int,
    requests: Sequence[bytes],
    *,
    n: int,
    clients: int = 1,
    seconds: float = 3600.0,
    tick: Callable[[int], None] = lambda done: None,
) -> Load:
    """Send n requests; each client sends its next when it has the answer.

    Args:
        host: where the server listens.
        port: where the server listens.
        requests: taken in turn, from the start again after the last.
        n: how many to send.
        clients: how many clients there are.
        seconds: after these no more are sent.
        tick: told after each answer how many there are.
    """
    load = Load()

    async def client(numbers: Iterator[int], until: float) -> None:
        connection = Connection(host, port)
        for number in numbers:
            if time.perf_counter() > until:
                break
            await _timed(connection, requests[number % len(requests)], load)
            tick(load.statuses.total())
        connection.close()

    async def run() -> None:
        numbers = iter(range(n))
        until = time.perf_counter() + seconds
        await asyncio.gather(*(client(numbers, until) for _ in range(clients)))

    started = time.perf_counter()
    asyncio.run(run())
    load.wall_seconds = time.perf_counter() - started
    return load


def open_loop(
    host: str, port: int, requests: Sequence[bytes], *, rate: float, seconds: float
) -> Load:
    """Send requests at a fixed rate, each from a client of its own, whether answered or not."""
    load = Load()

    async def one(number: int) -> None:
        connection = Connection(host, port)
        await _timed(connection, requests[number % len(requests)], load)
        connection.close()

    async def run() -> None:
        started = time.perf_counter()
        tasks = []
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)

    started = time.perf_counter()
    asyncio.run(run())
    load.wall_seconds = time.perf_counter() - started
    return load
