"""Reserving processor cores for a run: those that no other run on this machine has."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reserved_cores(count: int | None) -> Iterator[list[int]]:
    """Give the numbers of `count` cores (None: all that this process may use), for a while.

    Cores that other runs of this user have are only shared when no others are left. A killed run
    frees its cores, because they are held by locks on files.
    """
    if sys.platform != "linux":
        yield list(range(os.cpu_count() or 1))[:count]
        return
    usable = sorted(os.sched_getaffinity(0))
    wanted = len(usable) if count is None else min(count, len(usable))
    held: dict[int, int] = {}
    try:
        for core in usable:
            if len(held) < wanted and (lock := _lock(core)) is not None:
                held[core] = lock
        shared = [core for core in usable if core not in held]
        yield sorted([*held, *shared[: wanted - len(held)]])
    finally:
        for lock in held.values():
            os.close(lock)


def _lock(core: int) -> int | None:
    """Return an open file that says a core is taken; None where another run has it."""
    import fcntl  # noqa: PLC0415 - Windows has none.

    file = Path(tempfile.gettempdir(), f"shoplens-core-{os.getuid()}-{core}")
    try:
        # No link of somebody else's is followed, and no file of theirs taken for ours.
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        if os.fstat(lock).st_uid == os.getuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
    except OSError:
        pass
    os.close(lock)
    return None
