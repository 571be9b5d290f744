"""An HTTP server that answers what a test tells it, for what no sound service does on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CUT = -1
"""As a status: the connection is closed without an answer."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def problem(status: int, code: str, retry_after: str | None = None, **members: Any) -> Answer:
    """Return a problem document as the service writes it."""
    document = {"type": "about:blank", "title": "No", "status": status, "code": code, **members}
    headers = {"Content-Type": "application/problem+json"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return Answer(status, json.dumps(document).encode(), headers)


@dataclass
class ScriptedServer:
    url: str
    answers: list[Answer]
    """Given one after another; the last one again and again."""
    received: list[Received] = field(default_factory=list)


@contextmanager
def scripted(*answers: Answer) -> Iterator[ScriptedServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            place = min(len(server.received), len(server.answers) - 1)
            server.received.append(Received(self.command, self.path, dict(self.headers), body))
            answer = server.answers[place]
            if answer.status == CUT:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        server = ScriptedServer(f"http://127.0.0.1:{listener.server_port}", list(answers))
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()
