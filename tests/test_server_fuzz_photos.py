"""Damaged photos and damaged requests: each is answered, none with 500, and the service goes on.

A few hundred cases here; `SHOPLENS_FUZZ_CASES=100000 python -m pytest -s
tests/test_server_fuzz_photos.py` sends more and prints what became of them.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from made_shops import png
from mutations import damaged, damaged_photo, whole_photos
from server_process import ServerProcess
from toy_service import toy_service

N_CASES = int(os.environ.get("SHOPLENS_FUZZ_CASES", "300"))
HANG_SECONDS = 60
BOXES = (None, None, "10,10,50,40", "rel:0.1,0.1,0.5,0.5", "-5,-5,1e9,1e9", "1,2", "rel:nan,0,1,1")
BOUNDARY = "a-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
N_CLIENTS = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with toy_service(tmp_path) as server:
        yield server


def form(photo: bytes, box: str | None) -> bytes:
    fields = b""
    if box is not None:
        fields = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="box"\r\n\r\n{box}\r\n'
        ).encode()
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return fields + head.encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()


def case(number: int) -> bytes:
    """Return the body of a case: most have a damaged photo, some are damaged themselves."""
    box = BOXES[number % len(BOXES)]
    if number % 10:
        return form(damaged_photo(number), box)
    return damaged(form(whole_photos()[0], box), number)


class Clients:
    """A few connections to a server."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self._free: queue.SimpleQueue[http.client.HTTPConnection] = queue.SimpleQueue()
        for _ in range(N_CLIENTS):
            self._free.put(
                http.client.HTTPConnection(address.hostname, address.port, timeout=HANG_SECONDS)
            )
        self.slowest = 0.0

    def post(self, body: bytes) -> tuple[int, str]:
        """Search, and return the status with the code or the reason of the problem."""
        connection = self._free.get()
        try:
            started = time.perf_counter()
            connection.request("POST", "/v1/search", body, {"Content-Type": FORM})
            answer = connection.getresponse()
            document = json.loads(answer.read())
            self.slowest = max(self.slowest, time.perf_counter() - started)
        finally:
            self._free.put(connection)
        return answer.status, document.get("reason") or document.get("code") or "found"

    def close(self) -> None:
        for _ in range(N_CLIENTS):
            self._free.get().close()


def decoders(server: ServerProcess) -> int:
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return len(children.read_text().split()) if children.exists() else 0


def test_damaged_photos_and_forms(server: ServerProcess) -> None:
    outcomes = Counter[tuple[int, str]]()
    n_decoders = decoders(server)

    def sent(number: int) -> tuple[int, str]:
        try:
            return clients.post(case(number))
        except Exception as error:
            raise AssertionError(f"case {number} was not answered") from error

    with closing(Clients(server.url)) as clients, ThreadPoolExecutor(N_CLIENTS) as pool:
        for number, outcome in enumerate(pool.map(sent, range(N_CASES))):
            assert outcome[0] in (200, 400, 413, 422), f"case {number}: {outcome}"
            outcomes[outcome] += 1
        assert clients.post(form(png(1), None)) == (200, "found")
    print(f"\n{N_CASES:,} cases, the slowest took {clients.slowest:.2f} s")
    for (status, reason), n in outcomes.most_common():
        print(f"  {status} {reason}: {n:,}")
    assert decoders(server) == n_decoders
    assert not [line for line in server.lines if "Traceback" in line]
