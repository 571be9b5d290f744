"""Prepared photos of many requests wait here for the encoder, in order and not for ever.

Where the encoder gains from batches, a call takes what waits; the longer the calls before it
took, the more that is, so nobody waits for a batch to fill. Elsewhere each call takes one photo and
one core.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

from shoplens.cores import usable_cores
from shoplens.errors import PhotoError
from shoplens.models.encoder import Encoder
from shoplens.models.views import Prepared
from shoplens.records import Domain, Vector
from shoplens.server.overload import DeadlineError, OverloadedError


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A photo whose turn has not come."""

    prepared: Prepared
    domain: Domain
    vector: asyncio.Future[Vector]


class EmbeddingQueue:
    """Embeds photos for many requests at once, on threads."""

    def __init__(
        self, encoder: Encoder, *, n_workers: int | None = None, most_waiting: int = 64
    ) -> None:
        """Make a queue.

        Args:
            encoder: the model.
            n_workers: calls of the encoder at the same time, where one call takes one core; None
                takes one for each usable core. An encoder that wants batches says itself how many.
            most_waiting: photos that may wait for their turn.
        """
        self._encoder = encoder
        self._most_waiting = most_waiting
        in_batches = encoder.batch_size > 1
        n_calls = encoder.concurrency if in_batches else n_workers or usable_cores()
        self._threads = ThreadPoolExecutor(n_calls, thread_name_prefix="shoplens-embedding")
        self._n_free = n_calls
        self._waiting: deque[_Waiting] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def depth(self) -> int:
        """How many photos wait for their turn."""
        return len(self._waiting)

    async def embed(
        self, prepared: Prepared, domain: Domain = "user", deadline: float | None = None
    ) -> Vector:
        """Embed a photo when its turn comes.

        Args:
            prepared: what the encoder's recipes make of it.
            domain: who took it.
            deadline: the time (`time.monotonic()`) after which its turn must not come any more.
                What has begun is finished.

        Returns:
            (dimension,) float32, of unit length.

        Raises:
            OverloadedError: too many photos wait.
            DeadlineError: its turn did not come before the deadline.
            PhotoError: reason `no_direction`: the vector is zero or not finite.
            ModelError: the encoder cannot be run on it.
            RuntimeError: the queue is closed.
        """
        if self._is_closed:
            raise RuntimeError("the queue of photos to embed is closed")
        if not self._n_free and len(self._waiting) >= self._most_waiting:
            raise OverloadedError(f"{len(self._waiting):,} photos wait to be embedded already")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(prepared, domain, loop.create_future())
        self._waiting.append(waiting)
        timer = None if deadline is None else loop.call_at(deadline, self._expire, waiting)
        self._begin_calls()
        try:
            return await waiting.vector
        finally:
            if timer is not None:
                timer.cancel()
            if waiting in self._waiting:  # The request was cancelled.
                self._waiting.remove(waiting)

    async def close(self) -> None:
        """Embed what waits, and end the threads."""
        self._is_closed = True
        while self._calls:
            await asyncio.wait(self._calls)
        self._threads.shutdown()

    def _expire(self, waiting: _Waiting) -> None:
        if waiting in self._waiting and not waiting.vector.done():
            self._waiting.remove(waiting)
            waiting.vector.set_exception(DeadlineError("its turn did not come within its time"))

    def _begin_calls(self) -> None:
        """Hand out what waits to calls that are free."""
        while self._n_free and self._waiting:
            batch: list[_Waiting] = []
            while self._waiting and len(batch) < self._encoder.batch_size:
                waiting = self._waiting.popleft()
                if not waiting.vector.cancelled():
                    batch.append(waiting)
            if batch:
                self._n_free -= 1
                call = asyncio.create_task(self._call(batch))
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)

    async def _call(self, batch: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        results: Sequence[Vector | Exception]
        try:
            results = await loop.run_in_executor(self._threads, self._embedded, batch)
        except Exception as error:
            results = [error] * len(batch)
        self._n_free += 1
        self._begin_calls()
        for waiting, result in zip(batch, results, strict=True):
            if waiting.vector.cancelled():
                continue
            if isinstance(result, Exception):
                waiting.vector.set_exception(result)
            else:
                waiting.vector.set_result(result)

    def _embedded(self, batch: Sequence[_Waiting]) -> list[Vector | Exception]:
        try:
            vectors = self._encoder.embed(
                [waiting.prepared for waiting in batch], [waiting.domain for waiting in batch]
            )
        except PhotoError as error:
            if len(batch) == 1:
                return [error]
            # The vector of one photo has no direction; the others must not fail with it.
            return [result for waiting in batch for result in self._embedded([waiting])]
        return [cast(Vector, vector) for vector in vectors]
