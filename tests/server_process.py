"""A real server process: `shoplens serve` on a free port of this machine."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

READY = "ready: "
SECONDS = 180
"""To start, and to stop."""


@dataclass
class ServerProcess:
    """A server that runs until its test ends."""

    process: subprocess.Popen[str]
    url: str = ""
    """Its address, without a slash at the end."""
    lines: list[str] = field(default_factory=list)
    """What it has written to standard error until now."""

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Stop it and wait for its end; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(SECONDS)


@contextmanager
def serving(
    *flags: object, environment: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """Run `shoplens serve` with flags such as `"--catalog", folder` until the block ends.

    Args:
        flags: of the command; `--port 0` is added.
        environment: variables beside those of this process.

    Raises `AssertionError` with what the server wrote if it does not become ready.
    """
    words = [str(flag) for flag in flags]
    process = subprocess.Popen(
        [sys.executable, "-m", "shoplens", "serve", "--port", "0", *words],
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        text=True,
    )
    server = ServerProcess(process)
    addresses: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            server.lines.append(line.rstrip("\n"))
            if line.startswith(READY):
                addresses.put(line.removeprefix(READY).strip().rstrip("/"))
        addresses.put(None)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        url = addresses.get(timeout=SECONDS)
        assert url is not None, "\n".join(server.lines)
        server.url = url
        yield server
        server.stop()
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()
