"""Running one function over many items on the cores at hand, in order, with bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from shoplens.cores import usable_cores

_T = TypeVar("_T")
_R = TypeVar("_R")

_WAITING_PER_WORKER = 4
_THREAD = threading.local()


def is_worker() -> bool:
    """Return whether this thread is one of `parallel_map`'s, which together keep all cores busy."""
    return getattr(_THREAD, "is_worker", False)


def _begin_worker() -> None:
    _THREAD.is_worker = True


def parallel_map(
    function: Callable[[_T], _R],
    items: Iterable[_T],
    workers: int | None = None,
    *,
    ahead: int | None = None,
) -> Generator[_R, None, None]:
    """Yield function(item) in the order of `items`, computed on several threads.

    Threads suffice where the work is done by code that releases the interpreter lock (Pillow,
    ONNX Runtime, NumPy). No more than `ahead` items are under way or waiting, however many there
    are. An exception (Ctrl-C too) drops the work that has not begun, as closing the generator does.

    Args:
        function: called once for each item, from any of the threads.
        items: taken as they are needed.
        workers: number of threads; None takes one for each usable core.
        ahead: None takes four a worker.
    """
    workers = workers or usable_cores()
    ahead = ahead or _WAITING_PER_WORKER * workers
    with ThreadPoolExecutor(workers, "shoplens", initializer=_begin_worker) as pool:
        waiting: deque[Future[_R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
