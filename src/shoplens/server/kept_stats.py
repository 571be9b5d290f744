"""What the catalogue holds, counted once for each of its versions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeVar

from shoplens.catalog.base import Catalog
from shoplens.catalog.stats import CatalogStats
from shoplens.errors import ShoplensError
from shoplens.server.logs import log_event

_SHARE = 0.1
"""Of the time, the most that counting for `recent` takes."""
_PATIENCE = 0.2
"""Seconds that `recent` waits for new figures: small catalogues have theirs by then."""
_T = TypeVar("_T")


class KeptStats:
    """Keeps the figures of `Catalog.stats`, which takes a second for a million photos."""

    def __init__(self, catalog: Callable[[], Catalog], threads: Executor) -> None:
        self._catalog = catalog
        self._threads = threads
        self._counting = asyncio.Lock()
        self._kept: CatalogStats | None = None
        self._revision: object | None = None
        self._next = 0.0
        """When `recent` may count again."""
        self._tasks: set[asyncio.Task[CatalogStats]] = set()

    async def now(self) -> CatalogStats:
        """Return the figures of this moment.

        Raises `CatalogError` if the catalogue cannot be read.
        """
        # Who asked may leave: what is counted then serves the next one.
        return await asyncio.shield(self._task())

    async def recent(self) -> CatalogStats:
        """Return figures that may be some seconds old, and older ones of catalogues that take long
        to count. Only the first caller waits for long.

        Raises `CatalogError` if the catalogue could never be read.
        """
        if self._kept is None:
            return await self.now()
        if time.monotonic() >= self._next and not self._counting.locked():
            await asyncio.wait({self._task()}, timeout=_PATIENCE)
        return self._kept

    async def close(self) -> None:
        """Finish what is being counted."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _task(self) -> asyncio.Task[CatalogStats]:
        task = asyncio.create_task(self._counted())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[CatalogStats]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ShoplensError):
            log_event("the catalogue cannot be counted", logging.WARNING, reason=str(error))

    async def _counted(self) -> CatalogStats:
        async with self._counting:
            # Before the figures: a change in between makes them older than they are, not newer.
            revision = await self._in_thread(lambda: self._catalog().revision())
            if self._kept is None or revision is None or revision != self._revision:
                started = time.monotonic()
                self._kept = await self._in_thread(lambda: self._catalog().stats())
                self._revision = revision
                ended = time.monotonic()
                self._next = ended + (ended - started) / _SHARE
            return self._kept

    def _in_thread(self, work: Callable[[], _T]) -> Awaitable[_T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)
