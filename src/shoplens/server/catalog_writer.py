"""The right to change the catalogue, which is given back when it is not needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from shoplens.catalog.base import Catalog
from shoplens.catalog.opening import open_catalog

_IDLE_SECONDS = 3.0
"""Without a change for so long, other processes may write."""


class CatalogWriter:
    """A catalogue that is opened for writing while there are changes.

    One process at a time can change a catalogue. So that `shoplens index` and `shoplens catalog
    migrate` can work behind a running server, it is closed again when it is idle.
    """

    def __init__(self, uri: str, threads: Executor) -> None:
        self._uri = uri
        self._threads = threads
        self._catalog: Catalog | None = None
        self._changing = asyncio.Lock()
        self._n_tending = 0
        self._last_change = 0.0

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[Catalog]:
        """Change the catalogue, one request at a time. Its calls block: make them on threads."""
        async with self._changing:
            try:
                yield await self._opened()
            finally:
                self._last_change = time.monotonic()

    @asynccontextmanager
    async def tending(self) -> AsyncIterator[Catalog]:
        """Compact the catalogue, while others go on changing it."""
        async with self._changing:
            catalog = await self._opened()
            self._n_tending += 1
        try:
            yield catalog
        finally:
            self._n_tending -= 1
            self._last_change = time.monotonic()

    async def release_if_idle(self) -> None:
        """Close the catalogue if there was no change for a while."""
        in_use = self._changing.locked() or self._n_tending
        if not in_use and time.monotonic() - self._last_change >= _IDLE_SECONDS:
            await self.release()

    async def release(self) -> None:
        """Close the catalogue."""
        async with self._changing:
            if self._catalog is not None:
                catalog, self._catalog = self._catalog, None
                await asyncio.get_running_loop().run_in_executor(self._threads, catalog.close)

    async def _opened(self) -> Catalog:
        if self._catalog is None:
            loop = asyncio.get_running_loop()
            self._catalog = await loop.run_in_executor(self._threads, open_catalog, self._uri)
        return self._catalog
