"""The descendants of a process, as /proc shows them: their memory, and ending them all."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PATIENCE = 5.0
"""Seconds to keep ending processes that keep coming."""


def descendants(process: int) -> list[int]:
    """Return the processes that descend from one, itself left out; none where /proc is not."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            # The name, in brackets, may hold anything.
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    waiting = [process]
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += more
    return found


def end_descendants(process: int) -> None:
    """Kill the descendants of a process until there are none."""
    deadline = time.monotonic() + _PATIENCE
    while (found := descendants(process)) and time.monotonic() < deadline:
        for number in found:
            with suppress(OSError):
                os.kill(number, signal.SIGKILL)
        _bury()
        time.sleep(0.005)
    _bury()


def memory_of(processes: Iterable[int], *, shared_once: bool = False) -> int:
    """Return the bytes that processes hold, without what they share with files.

    Memory that several share (a forked process with its parent) counts once for each, unless
    `shared_once`, which takes the kernel longer to say.
    """
    file, names = "status", ("RssAnon:", "RssShmem:")
    if shared_once:
        file, names = "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")
    total = 0
    for process in processes:
        with suppress(OSError, ValueError):
            for line in Path(f"/proc/{process}/{file}").read_text().splitlines():
                if line.startswith(names):
                    total += int(line.split()[1]) * 1024
    return total


def threads_of(processes: Iterable[int]) -> int:
    """Return how many threads processes have."""
    total = 0
    for process in processes:
        with suppress(OSError):
            total += sum(1 for _ in Path(f"/proc/{process}/task").iterdir())
    return total


def _bury() -> None:
    """Collect the children that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
