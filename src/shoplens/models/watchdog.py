"""Ending calls that take too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK_EVERY = 1.0
"""Seconds between two looks at the calls that run."""


class Watchdog:
    """Ends calls that pass their time. One thread watches all of them, while there are any."""

    def __init__(self) -> None:
        self._calls: dict[object, tuple[float, Callable[[], None]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, seconds: float, end: Callable[[], None]) -> Iterator[None]:
        """Call `end`, in another thread, when the block takes longer than `seconds`.

        It may be called again a second later, and up to a second late.
        """
        call = object()
        with self._lock:
            self._calls[call] = (time.monotonic() + seconds, end)
            # In a forked process the thread is gone, and not alive.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._calls[call]

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY)
            with self._lock:
                if not self._calls:
                    self._thread = None
                    return
                calls = list(self._calls.values())
            for until, end in calls:
                if time.monotonic() > until:
                    end()
