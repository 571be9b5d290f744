#!/usr/bin/env python3
"""A Milvus server for tests and for trying it, from the PyPI package `milvus` (Linux on x86-64).

    python scripts/milvus_server.py [--data FOLDER] COMMAND...

runs a command beside a server that is reachable as 127.0.0.1:19530 for this command only. The
server has no password and listens on all interfaces, so both are in a network namespace of their
own, which has nothing but a loopback interface.

The command finds the address in the variable SHOPLENS_MILVUS. `python3 make.py milvus` runs the
tests in this way.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PORT = 19530
ADDRESS = f"127.0.0.1:{PORT}"
_HEALTH = "http://127.0.0.1:9091/healthz"
_START_SECONDS = 180
_STARTS = 3
_BETWEEN_STARTS_SECONDS = 10
_PREPARE = f"""
import sys
import milvus
config = milvus.MilvusServerConfig(data_dir=sys.argv[1], proxy_port={PORT})
config.resolve()
milvus._initialize_data_files(config.base_data_dir)
"""
_LOOPBACK = """
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up
"""


class NoNamespaceError(Exception):
    """This machine lets us make no network namespace; the message says why and what helps."""


def namespace_command() -> list[str]:
    """Return the words that run a command in a network namespace of its own, loopback up.

    Raises `NoNamespaceError` if that is not possible here.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        raise NoNamespaceError("there is no `unshare` on this machine (Linux, package util-linux)")
    # Root needs no user namespace, and some machines forbid these.
    forms = (["--net"], ["--net", "--map-root-user"])
    problem = ""
    for form in forms:
        command = [unshare, *form, sys.executable, "-c", _LOOPBACK]
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            start = f"{_LOOPBACK}\nimport os, sys\nos.execvp(sys.argv[1], sys.argv[1:])"
            return [unshare, *form, sys.executable, "-c", start]
        problem = tried.stderr.strip().rpartition("\n")[2]
    raise NoNamespaceError(
        f"cannot make a network namespace ({problem}). Run this as root, or allow unprivileged "
        "user namespaces (sysctl kernel.unprivileged_userns_clone, "
        "kernel.apparmor_restrict_unprivileged_userns; in a container: --privileged)"
    )


class ServerEndedError(Exception):
    """The server ended at its start."""


class MilvusServer:
    """A server over a folder. After `kill` and another `start`, its data is there.

    Any process may end or start it; the folder knows its number.
    """

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        """Name a server.

        Args:
            folder: for data, logs and the unpacked program.
            python: an interpreter that has the package `milvus`.
        """
        self.folder = folder.resolve()
        self.python = python

    def start(self) -> None:
        """Start the server and wait until it is healthy.

        After a crash it may end at its start, as long as the session of the killed one is held: a
        supervisor would start it again.
        """
        for attempt in range(_STARTS):
            try:
                self._start()
                return
            except ServerEndedError:
                if attempt == _STARTS - 1:
                    raise
                time.sleep(_BETWEEN_STARTS_SECONDS)

    def _start(self) -> None:
        if not (self.folder / "configs").is_dir():
            subprocess.run([self.python, "-c", _PREPARE, self.folder], check=True)
        programs = self.folder / "bin"
        environment = {
            **os.environ,
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": "9091",
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": str(programs),
        }
        log = self.folder / "logs" / "output.log"
        # A shell starts it and ends, so that it belongs to none of the processes that use it.
        start = '"$1" run standalone >>"$2" 2>&1 </dev/null & echo $! >"$3"'
        words = ["sh", "-c", start, "sh", programs / "milvus", log, self._number_file]
        subprocess.run(words, cwd=self.folder, env=environment, check=True)
        number = int(self._number_file.read_text())
        limit = time.monotonic() + _START_SECONDS
        while not _is_healthy():
            if not _is_running(number):
                raise ServerEndedError(f"the server ended at its start: see {log}")
            if time.monotonic() > limit:
                self.kill()
                raise TimeoutError(f"the server is not healthy after {_START_SECONDS} s: see {log}")
            time.sleep(0.2)

    def kill(self) -> None:
        """End the server at once, as a crash would (SIGKILL)."""
        number = int(self._number_file.read_text())
        if _is_running(number):
            os.kill(number, signal.SIGKILL)
        while _is_running(number):
            time.sleep(0.05)

    @property
    def _number_file(self) -> Path:
        return self.folder / "server.pid"


def _is_healthy() -> bool:
    try:
        with urllib.request.urlopen(_HEALTH, timeout=10) as answer:
            return b"OK" in answer.read()
    except OSError:
        return False


def _is_running(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False
    # The name of the program, in parentheses, may hold anything.
    return state.rpartition(")")[2].split()[0] != "Z"


def main() -> int:
    """Run a command beside a server."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="keep the server's data here for the next time"
    )
    parser.add_argument(
        "--python",
        default=sys.executable,
        metavar="PROGRAM",
        help="an interpreter that has the package milvus (default: this one)",
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("name a command to run beside the server")
    if not options.inside:
        try:
            words = namespace_command()
        except NoNamespaceError as error:
            print(f"milvus_server.py: {error}", file=sys.stderr)
            return 3
        inside = [sys.executable, __file__, "--inside", *sys.argv[1:]]
        return subprocess.run([*words, *inside], check=False).returncode
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        server = MilvusServer(options.data or Path(scratch), options.python)
        server.start()
        told = {
            "SHOPLENS_MILVUS": ADDRESS,
            "SHOPLENS_MILVUS_FOLDER": str(server.folder),
            "SHOPLENS_MILVUS_PYTHON": server.python,
        }
        try:
            return subprocess.run(
                options.command, env={**os.environ, **told}, check=False
            ).returncode
        finally:
            # Acknowledged rows are on disk; ending in order takes long.
            server.kill()


if __name__ == "__main__":
    raise SystemExit(main())
