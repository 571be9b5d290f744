"""A real server process, and clients that do what they should not."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from made_shops import png
from server_process import ServerProcess
from toy_service import toy_service

JSON = b"Content-Type: application/json\r\n"
BODY = b'{"photo_id": 1, "k": 2}'


class Connection:
    """A connection to a server, byte by byte."""

    def __init__(self, server: ServerProcess) -> None:
        address = urlsplit(server.url)
        assert address.hostname is not None
        self._socket = socket.create_connection((address.hostname, address.port or 0), timeout=180)
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def post(self, path: str, headers: bytes, body: bytes = b"") -> None:
        self.send(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + headers + b"\r\n" + body
        )

    def get(self, path: str) -> None:
        self.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def answer(self) -> tuple[int, dict[str, str], Any]:
        """Return the status, the headers and the JSON of the next answer."""
        line = self._file.readline()
        assert line, "the connection was closed without an answer"
        headers = {}
        while (header := self._file.readline().strip()) != b"":
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self._file.read(int(headers["content-length"]))
        return int(line.split()[1]), headers, json.loads(body)

    def is_at_end(self) -> bool:
        """Wait until the server closes, or sends more."""
        return self._file.read(1) == b""

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    environment = {
        "SHOPLENS_SERVE_MAX_UPLOAD_BYTES": "100000",
        "SHOPLENS_SERVE_MAX_WAITING": "1",
        "SHOPLENS_SERVE_LOG_FORMAT": "json",
    }
    with toy_service(tmp_path_factory.mktemp("toy"), environment=environment) as server:
        yield server


@pytest.fixture
def impatient_server(tmp_path: Path) -> Iterator[ServerProcess]:
    with toy_service(tmp_path, environment={"SHOPLENS_SERVE_TIMEOUT": "3"}) as server:
        yield server


class Connecting:
    """Opens connections, and closes them in the end."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._opened: list[Connection] = []

    def __call__(self) -> Connection:
        self._opened.append(Connection(self._server))
        return self._opened[-1]

    def __enter__(self) -> Connecting:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._opened:
            connection.close()


@pytest.fixture
def connect(server: ServerProcess) -> Iterator[Connecting]:
    """Open connections to the server; they are closed in the end."""
    with Connecting(server) as connecting:
        yield connecting


def events(server: ServerProcess, name: str = "request") -> list[dict[str, Any]]:
    parsed = [json.loads(line) for line in server.lines if line.startswith("{")]
    return [line for line in parsed if line["event"] == name]


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(connect: Connecting) -> None:
    connection = connect()
    connection.post("/v1/search", JSON + b"Content-Length: 100001\r\n", b"x" * 10)
    status, headers, problem = connection.answer()
    assert (status, problem["code"], problem["limit"]) == (413, "body_too_large", 100_000)
    assert headers["connection"] == "close"


def test_a_client_that_sends_everything_first_is_answered_too(connect: Connecting) -> None:
    connection = connect()
    connection.post("/v1/search", JSON + b"Content-Length: 9000000\r\n", b"x" * 9_000_000)
    assert connection.answer()[2]["code"] == "body_too_large"
    assert connection.is_at_end()


def test_a_body_in_chunks_is_cut_at_the_limit(connect: Connecting) -> None:
    connection = connect()
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    connection.post("/v1/search", JSON + b"Transfer-Encoding: chunked\r\n", chunk * 4)
    status, headers, problem = connection.answer()
    assert (status, problem["code"]) == (413, "body_too_large")
    assert headers["connection"] == "close"


def test_a_client_that_asks_first_is_told_before_it_sends(connect: Connecting) -> None:
    connection = connect()
    expecting = b"Expect: 100-continue\r\nContent-Length: 9000000\r\n"
    connection.post("/v1/search", JSON + expecting)
    assert connection.answer()[0] == 413
    assert connection.is_at_end()


def test_an_answer_before_the_body_ends_the_connection(connect: Connecting) -> None:
    connection = connect()
    connection.post("/v1/nothing", b"Content-Length: 5000\r\n", b"x" * 10)
    status, headers, _ = connection.answer()
    assert (status, headers["connection"]) == (404, "close")


def test_a_full_server_turns_searches_away_and_still_tells_how_it_is(connect: Connecting) -> None:
    first, second, third = connect(), connect(), connect()
    first.post("/v1/search", JSON + f"Content-Length: {len(BODY)}\r\n".encode(), BODY[:5])
    third.get("/healthz")  # By its answer, the server has seen the first request.
    assert third.answer()[0] == 200
    second.post("/v1/search", JSON + f"Content-Length: {len(BODY)}\r\n".encode(), BODY)
    status, headers, problem = second.answer()
    assert (status, problem["code"], headers["retry-after"]) == (429, "overloaded", "1")
    third.get("/readyz")
    assert third.answer()[0] == 200
    first.send(BODY[5:])
    status, _, answer = first.answer()
    assert (status, len(answer["hits"])) == (200, 2)


def test_a_client_that_leaves_gives_its_place_back(
    server: ServerProcess, connect: Connecting
) -> None:
    def n_left() -> int:
        return sum(event["status"] == 499 for event in events(server))

    first, second = connect(), connect()
    before = n_left()
    first.post("/v1/search", JSON + b"Content-Length: 99\r\n", b"{")
    second.get("/healthz")
    second.answer()
    first.close()
    while n_left() == before:
        second.get("/healthz")
        second.answer()
    second.post("/v1/search", JSON + f"Content-Length: {len(BODY)}\r\n".encode(), BODY)
    assert second.answer()[0] == 200


def test_who_sends_too_little_is_given_up(impatient_server: ServerProcess) -> None:
    with Connecting(impatient_server) as connect:
        begun, silent, slow, used = connect(), connect(), connect(), connect()
        begun.post("/v1/search", JSON + b"Content-Length: 99\r\n", b"{")
        slow.send(b"GET /healthz HTTP/1.1\r\nHost: local")
        used.get("/healthz")
        assert used.answer()[0] == 200
        used.send(b"GET /healthz HTTP/1.1\r\n")
        status, _, problem = begun.answer()
        assert (status, problem["code"]) == (408, "slow_request")
        for connection in (silent, slow, used):
            assert connection.is_at_end()


def test_log_lines_have_the_request_and_nothing_of_the_photo(
    server: ServerProcess, connect: Connecting
) -> None:
    connection = connect()
    form = (
        b'--x\r\nContent-Disposition: form-data; name="photo"; filename="secret-name.png"\r\n\r\n'
        + png(1)
        + b'\r\n--x\r\nContent-Disposition: form-data; name="where"\r\n\r\ncolour = "secret-red"'
        + b"\r\n--x--\r\n"
    )
    headers = b"Content-Type: multipart/form-data; boundary=x\r\nX-Request-ID: from-a-proxy\r\n"
    connection.post("/v1/search", headers + f"Content-Length: {len(form)}\r\n".encode(), form)
    status, headers_back, answer = connection.answer()
    assert (status, answer["request_id"]) == (200, "from-a-proxy")
    assert headers_back["x-request-id"] == "from-a-proxy"
    while not (told := [e for e in events(server) if e.get("request_id") == "from-a-proxy"]):
        connection.get("/healthz")  # The line comes after the answer.
        connection.answer()
    [event] = told
    assert (event["method"], event["path"], event["status"]) == ("POST", "/v1/search", 200)
    assert "secret" not in "\n".join(server.lines)


def test_nonsense_ends_only_its_connection(connect: Connecting) -> None:
    connection = connect()
    connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    with contextlib.suppress(OSError):
        assert connection._file.readline().startswith(b"HTTP/1.1 400")
    other = connect()
    other.get("/healthz")
    assert other.answer()[2] == {"status": "alive"}


def test_a_server_that_stops_finishes_what_it_began(tmp_path: Path) -> None:
    environment = {"SHOPLENS_SERVE_DRAIN_SECONDS": "3"}
    with toy_service(tmp_path, environment=environment) as server:
        searching, asking = Connection(server), Connection(server)
        length = f"Content-Length: {len(BODY)}\r\n".encode()
        searching.post("/v1/search", JSON + length, BODY[:5])
        asking.get("/readyz")
        assert asking.answer()[0] == 200
        server.process.send_signal(signal.SIGTERM)
        while True:
            asking.get("/readyz")
            status, _, problem = asking.answer()
            if status == 503:
                break
        assert problem["code"] == "stopping"
        while not asking.is_at_end():  # It does not listen any more.
            pass
        searching.send(BODY[5:])
        assert searching.answer()[0] == 200
        assert server.process.wait(180) == 0
        searching.close()
        asking.close()


def test_ctrl_c_stops_it_too(tmp_path: Path) -> None:
    with toy_service(tmp_path) as server:
        assert server.stop(signal.SIGINT) == 0
        assert "Traceback" not in "\n".join(server.lines)


def test_what_keeps_it_from_serving_is_told(tmp_path: Path, server: ServerProcess) -> None:
    def told(*words: object) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "shoplens", "serve", *map(str, words)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    assert "catalog is not set" in told()[1]
    code, text = told("--catalog", tmp_path / "none")
    assert code == 3
    assert "there is no catalogue at" in text
    code, text = told("--catalog", tmp_path / "none", "--host", "0.0.0.0")
    assert code == 1
    assert "shoplens keys create" in text
    port = urlsplit(server.url).port
    code, text = told("--demo", "--port", port)
    assert code == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in text
