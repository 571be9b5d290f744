"""Running one function over many items on the cores at hand, in order, with bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")

_WAITING_PER_WORKER = 4


def parallel_map(
    function: Callable[[_T], _R], items: Iterable[_T], workers: int | None = None
) -> Iterator[_R]:
    """Yield function(item) in the order of `items`, computed on several threads.

    Threads suffice where the work is done by code that releases the interpreter lock (Pillow,
    ONNX Runtime, NumPy). No more than four items a worker are under way or waiting, however many
    there are. An exception (Ctrl-C too) drops the work that has not begun.

    Args:
        function: called once for each item, from any of the threads.
        items: taken as they are needed.
        workers: number of threads; None takes one for each usable core.
    """
    workers = workers or usable_cores()
    with ThreadPoolExecutor(workers, thread_name_prefix="shoplens") as pool:
        waiting: deque[Future[_R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= _WAITING_PER_WORKER * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def usable_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
