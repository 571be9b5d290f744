"""Starting a program inside its limits, reading what comes out of it, ending it when they pass."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from shoplens.challenge.sandbox.enforcement import LOOK_EVERY, state_enforcement
from shoplens.challenge.sandbox.groups import Groups, make_groups
from shoplens.challenge.sandbox.launcher import Launch
from shoplens.challenge.sandbox.limits import Limits
from shoplens.challenge.sandbox.processes import (
    descendants,
    end_descendants,
    memory_of,
    threads_of,
)
from shoplens.challenge.sandbox.reservation import reserved_cores
from shoplens.challenge.sandbox.view import View
from shoplens.errors import ShoplensError

Isolation = Literal["auto", "required", "none"]
"""Namespaces where the machine grants them; or not without; or not at all."""

Exceeded = Literal["time_limit", "memory_limit", "process_limit", "output_limit"]

_PACKAGES = str(Path(__file__).resolve().parents[3])
"""The folder that holds the package shoplens."""
_SETUP_SECONDS = 30.0
_LINGER_SECONDS = 0.5
"""How long pipes are read after the launcher has ended: what held them has been killed."""
_PIECE = 1 << 16
_STATUS_BYTES = 1 << 16
"""How much the entry program may tell; more than that is no longer its own."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: a command, and where it finds itself."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str


@dataclass(slots=True)
class Outcome:
    """How a run ended, and what came out of it. Everything it says of itself is only its word."""

    exceeded: Exceeded | None = None
    detail: str = ""
    """What was exceeded, in words."""
    failure: str | None = None
    """Why nothing was started."""
    code: int | None = None
    """The exit code, negative for a signal; None when it was killed for a limit."""
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    """Bytes."""
    scratch_full: bool = False
    log: bytes = b""
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """What the program told through its pipe, with the seconds since its start."""
    answer_bytes: int = 0
    enforced: list[str] = field(default_factory=list)
    not_enforced: list[str] = field(default_factory=list)


def supervise(
    plain: Callable[[], Program],
    inside: Program,
    view: View,
    answer: Path,
    limits: Limits,
    isolation: Isolation = "auto",
    tick: Callable[[float], None] = lambda seconds: None,
) -> Outcome:
    """Run a program within limits, to its end or theirs; nothing of it is left afterwards.

    Args:
        plain: makes the program for where there are no namespaces; called when it is needed.
        inside: the program as the view shows it.
        view: what it sees.
        answer: the file to write what it sends as its answer.
        limits: what it may use.
        isolation: whether namespaces are needed.
        tick: called now and then with the seconds passed.

    Returns:
        An `Outcome`.

    Raises:
        ShoplensError: namespaces are required and cannot be had.
    """
    with reserved_cores(limits.cpus) as cpus:
        return _supervise(plain, inside, view, answer, limits, isolation, tick, cpus)


def _supervise(
    plain: Callable[[], Program],
    inside: Program,
    view: View,
    answer: Path,
    limits: Limits,
    isolation: Isolation,
    tick: Callable[[float], None],
    cpus: Sequence[int],
) -> Outcome:
    refusal = "asked for" if isolation == "none" else ""
    if not sys.platform.startswith("linux"):
        refusal = f"{sys.platform} has none"
    if not refusal:
        with make_groups(limits, cpus) as groups:
            supervisor = Supervisor(inside, view, answer, limits, groups, cpus, tick)
            outcome = supervisor.to_end()
            refusal = supervisor.refusal
        if not refusal:
            state_enforcement(outcome.enforced, outcome.not_enforced, limits, groups, cpus, refusal)
            return outcome
    if isolation == "required":
        raise ShoplensError(
            f"this machine cannot isolate a submission (namespaces: {refusal}); "
            "docs/sandbox.md says what is needed"
        )
    with make_groups(limits, cpus) as groups:
        outcome = Supervisor(plain(), None, answer, limits, groups, cpus, tick).to_end()
    state_enforcement(outcome.enforced, outcome.not_enforced, limits, groups, cpus, refusal)
    return outcome


class Supervisor:
    """Watches one launcher, with the program that it starts."""

    def __init__(
        self,
        program: Program,
        view: View | None,
        answer: Path,
        limits: Limits,
        groups: Groups,
        cpus: Sequence[int],
        tick: Callable[[float], None],
    ) -> None:
        self.outcome = Outcome()
        self.refusal = ""
        self._program = program
        self._view = view
        self._answer = answer
        self._limits = limits
        self._groups = groups
        self._cpus = cpus
        self._tick = tick
        self._started: float | None = None
        self._ended: float | None = None
        self._log = bytearray()
        self._status = bytearray()
        self._told = 0
        self._control = bytearray()
        self._largest = 0
        self._polled_cpu = 0.0

    def to_end(self) -> Outcome:
        """Start, watch, end; whatever happens, nothing is left running."""
        with ExitStack() as stack:
            ends: dict[str, tuple[int, int]] = {}
            for name in ("log", "status", "answer", "control"):
                ends[name] = os.pipe()
                stack.callback(_close, ends[name][0])
            inherited = {name: end[1] for name, end in ends.items()}
            try:
                launcher = self._start(inherited)
            finally:
                for number in inherited.values():
                    os.close(number)
            try:
                with self._answer.open("wb") as sink:
                    self._watch(launcher, {name: end[0] for name, end in ends.items()}, sink)
            finally:
                self._end(launcher)
        self._conclude()
        return self.outcome

    def _start(self, inherited: Mapping[str, int]) -> subprocess.Popen[bytes]:
        launch = Launch(
            view=self._view,
            command=self._program.command,
            environment=self._program.environment,
            folder=self._program.folder,
            doors=[str(door) for door in self._groups.doors],
            cpus=self._cpus,
            processes=self._process_bound(),
            data_bytes=self._data_bytes(),
            parent=os.getpid(),
            **{name: inherited[name] for name in ("status", "answer", "control")},
        )
        process = subprocess.Popen(
            [sys.executable, "-s", "-m", "shoplens.challenge.sandbox.launcher"],
            stdin=subprocess.PIPE,
            stdout=inherited["log"],
            stderr=inherited["log"],
            pass_fds=[inherited[name] for name in ("status", "answer", "control")],
            env={"PYTHONPATH": _PACKAGES},
            cwd="/",
            start_new_session=True,  # Ctrl-C is ours to handle.
        )
        assert process.stdin is not None
        with process.stdin as stream:
            stream.write(launch.to_json().encode())
        return process

    def _process_bound(self) -> int | None:
        # One more, so that passing the limit is seen.
        return None if "processes" in self._groups.bounded else self._limits.processes + 1

    def _data_bytes(self) -> int | None:
        if self._limits.memory_mb is None or "memory" in self._groups.bounded:
            return None
        return self._limits.memory_mb * 10**6

    def _watch(
        self, launcher: subprocess.Popen[bytes], pipes: Mapping[str, int], sink: BinaryIO
    ) -> None:
        setup_until = time.monotonic() + _SETUP_SECONDS
        looked = 0.0
        gone_at: float | None = None
        with selectors.DefaultSelector() as selector:
            for name, number in pipes.items():
                os.set_blocking(number, False)
                selector.register(number, selectors.EVENT_READ, name)
            while selector.get_map():
                for key, _ in selector.select(LOOK_EVERY):
                    if not self._read(key.data, key.fd, sink):
                        selector.unregister(key.fd)
                now = time.monotonic()
                if self.outcome.exceeded:
                    return
                if self._started is None and now > setup_until:
                    self.outcome.failure = f"it was not set up within {_SETUP_SECONDS:.0f} s"
                    return
                if self._started is not None and now - looked >= LOOK_EVERY:
                    looked = now
                    self._look(launcher.pid, now - self._started)
                if gone_at is None and launcher.poll() is not None:
                    gone_at = now
                if gone_at is not None and now > gone_at + _LINGER_SECONDS:
                    return

    def _read(self, name: str, number: int, sink: BinaryIO) -> bool:
        """Take what one pipe holds; False when it has come to its end."""
        try:
            data = os.read(number, _PIECE)
        except BlockingIOError:
            return True
        if name == "log":
            room = self._limits.log_mb * 10**6 - len(self._log)
            self._log += data[:room]
            if len(data) > room:
                self._exceed("output_limit", f"it printed more than {self._limits.log_mb} MB")
        elif name == "answer":
            self.outcome.answer_bytes += len(data)
            if self.outcome.answer_bytes > self._limits.output_mb * 10**6:
                self._exceed("output_limit", f"its answer is over {self._limits.output_mb} MB")
            else:
                sink.write(data)
        elif name == "control":
            self._control += data
            for line in _lines(self._control):
                self._obey(json.loads(line))
        elif self._told + len(data) <= _STATUS_BYTES:
            self._told += len(data)
            self._status += data
            passed = time.monotonic() - (self._started or time.monotonic())
            for line in _lines(self._status):
                with suppress(ValueError, RecursionError):
                    if isinstance(value := json.loads(line), dict):
                        self.outcome.messages.append((passed, value))
        return bool(data)

    def _obey(self, message: dict[str, Any]) -> None:
        """Take a message of the launcher."""
        if "started" in message:
            self._started = time.monotonic()
        elif "refused" in message:
            self.refusal = message["refused"]
        elif "unfiltered" in message:
            self.outcome.not_enforced.append(f"system calls: {message['unfiltered']}")
        elif "failed" in message:
            self.outcome.failure = message["failed"]
        elif "scratch" in message:
            self.outcome.scratch_full = message["scratch"]["full"]
        elif "ended" in message:
            self._ended = time.monotonic()
            self.outcome.code = message["ended"]["code"]
            self.outcome.cpu_seconds = message["ended"]["cpu_seconds"]
            self._largest = message["ended"]["largest_bytes"]

    def _look(self, launcher: int, passed: float) -> None:
        """Hold the run to its limits."""
        self._tick(passed)
        self._groups.look()
        if self._ended is not None:
            return
        limits = self._limits
        if passed > limits.seconds:
            self._exceed("time_limit", f"it did not end within {limits.seconds:g} s")
        if (exceeded := self._groups.exceeded()) is not None:
            self._exceed(exceeded, _bound_of(exceeded, limits))
        if {"memory", "processes"} <= self._groups.bounded:
            return
        running = descendants(launcher)
        if "memory" not in self._groups.bounded and limits.memory_mb is not None:
            used = memory_of(running)
            if used > limits.memory_mb * 10**6:
                used = memory_of(running, shared_once=True)
            self._largest = max(self._largest, used)
            if used > limits.memory_mb * 10**6:
                self._exceed("memory_limit", _bound_of("memory_limit", limits))
        if "processes" not in self._groups.bounded and threads_of(running) > limits.processes:
            self._exceed("process_limit", _bound_of("process_limit", limits))

    def _exceed(self, what: Exceeded, detail: str) -> None:
        if self.outcome.exceeded is None:
            self.outcome.exceeded, self.outcome.detail = what, detail
            self._ended = self._ended or time.monotonic()

    def _end(self, launcher: subprocess.Popen[bytes]) -> None:
        """Kill what runs, and wait until it is gone."""
        if launcher.poll() is None:
            if self._view is None:
                end_descendants(launcher.pid)
                launcher.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    launcher.wait(2)
            launcher.kill()
        self._groups.kill()
        launcher.wait()

    def _conclude(self) -> None:
        outcome, groups = self.outcome, self._groups
        outcome.log = bytes(self._log)
        if self._started is not None:
            outcome.wall_seconds = (self._ended or time.monotonic()) - self._started
        if outcome.exceeded is None and (exceeded := groups.exceeded()) is not None:
            outcome.exceeded, outcome.detail = exceeded, _bound_of(exceeded, self._limits)
        outcome.peak_memory = groups.peak_memory(self._largest) or self._largest
        outcome.cpu_seconds = groups.cpu_seconds() or outcome.cpu_seconds


def _bound_of(exceeded: Exceeded, limits: Limits) -> str:
    if exceeded == "memory_limit":
        return f"it used more than {limits.memory_mb:,} MB of memory"
    return f"it had more than {limits.processes} processes and threads"


def _lines(buffer: bytearray) -> list[bytes]:
    """Take the complete lines out of a buffer."""
    *lines, rest = bytes(buffer).split(b"\n")
    buffer[:] = rest
    return lines


def _close(number: int) -> None:
    with suppress(OSError):
        os.close(number)
