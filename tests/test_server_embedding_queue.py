"""Photos of many requests wait for the encoder: in order, not for ever, and none is forgotten."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest
from conftest import TOY_RECIPE

from shoplens.errors import ModelError, PhotoError
from shoplens.models import Recipe, RecipeEncoder
from shoplens.models.views import Prepared, Views
from shoplens.records import Domain, Vectors
from shoplens.server.embedding_queue import EmbeddingQueue
from shoplens.server.overload import DeadlineError, OverloadedError


class Held(RecipeEncoder):
    """Gives the first pixel of each photo as its vector, when it is let go."""

    def __init__(self, batch_size: int = 1) -> None:
        values: dict[str, Any] = {**TOY_RECIPE, "dimension": 1, "mean": (0, 0, 0), "std": (1, 1, 1)}
        self.recipe = Recipe(**{**values, "sources": ()})
        self.fingerprint = "held"
        self.batch_size = batch_size
        self.go = threading.Event()
        self.batches: list[list[int]] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def encode(self, pixels: Views, domains: Sequence[Domain]) -> Vectors:
        with self._lock:
            self.batches.append([int(number) for number in pixels[:, 0, 0, 0]])
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.go.wait()
        with self._lock:
            self.at_once -= 1
        if 13 in self.batches[-1]:
            raise PhotoError("no_direction", "13 has none")
        if 99 in self.batches[-1]:
            raise ModelError("99 is beyond it")
        return pixels[:, 0, 0, :1].astype(np.float32)


def photo(number: int) -> Prepared:
    return (np.full((1, 16, 16, 3), number, np.uint8),)


LONGEST = 60.0
"""Seconds after which a test is given up that would wait for ever."""


def run(
    encoder: Held, work: Callable[[EmbeddingQueue], Awaitable[None]], **limits: Any
) -> list[list[int]]:
    async def all_of_it() -> None:
        queue = EmbeddingQueue(encoder, **{"n_workers": 1, **limits})
        try:
            await asyncio.wait_for(work(queue), LONGEST)
        finally:
            encoder.go.set()
            await queue.close()

    asyncio.run(all_of_it())
    return encoder.batches


async def begin(queue: EmbeddingQueue, *numbers: int, **more: Any) -> list[asyncio.Task[Any]]:
    """Hand photos in and let the calls begin."""
    tasks = [asyncio.create_task(queue.embed(photo(number), **more)) for number in numbers]
    await asyncio.sleep(0.05)
    return tasks


def test_vectors_go_to_those_who_asked() -> None:
    encoder = Held()

    async def work(queue: EmbeddingQueue) -> None:
        tasks = await begin(queue, *range(1, 8))
        assert queue.depth == 6
        encoder.go.set()
        assert [(await task).tolist() for task in tasks] == [[n] for n in range(1, 8)]
        assert queue.depth == 0

    assert run(encoder, work) == [[n] for n in range(1, 8)]


def test_calls_run_side_by_side_where_one_takes_one_core() -> None:
    encoder = Held()

    async def work(queue: EmbeddingQueue) -> None:
        tasks = await begin(queue, *range(1, 8))
        while encoder.at_once < 3:
            await asyncio.sleep(0.01)
        encoder.go.set()
        await asyncio.gather(*tasks)

    run(encoder, work, n_workers=3)
    assert encoder.most_at_once == 3


def test_a_batch_takes_what_waits() -> None:
    encoder = Held(batch_size=4)

    async def work(queue: EmbeddingQueue) -> None:
        tasks = await begin(queue, 1)
        tasks += await begin(queue, *range(2, 8))
        encoder.go.set()
        assert [(await task).tolist() for task in tasks] == [[n] for n in range(1, 8)]

    assert run(encoder, work, n_workers=5) == [[1], [2, 3, 4, 5], [6, 7]]


def test_a_photo_without_direction_fails_alone() -> None:
    encoder = Held(batch_size=4)

    async def work(queue: EmbeddingQueue) -> None:
        tasks = await begin(queue, 1)
        tasks += await begin(queue, 2, 13, 4)
        encoder.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(2), PhotoError)
        assert [vector.tolist() for vector in results] == [[1], [2], [4]]

    assert run(encoder, work) == [[1], [2, 13, 4], [2], [13], [4]]


def test_a_model_that_fails_is_told_to_all_and_the_next_is_embedded() -> None:
    encoder = Held(batch_size=4)

    async def work(queue: EmbeddingQueue) -> None:
        tasks = await begin(queue, 1)
        tasks += await begin(queue, 2, 99)
        encoder.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results[1:]] == [ModelError, ModelError]
        assert (await queue.embed(photo(5))).tolist() == [5]

    run(encoder, work)


def test_no_more_wait_than_allowed() -> None:
    encoder = Held()

    async def work(queue: EmbeddingQueue) -> None:
        tasks = await begin(queue, 1, 2, 3)
        with pytest.raises(OverloadedError, match="2 photos wait"):
            await queue.embed(photo(4))
        tasks[1].cancel()
        await asyncio.sleep(0)
        tasks += await begin(queue, 5)
        encoder.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(1), asyncio.CancelledError)
        assert [vector.tolist() for vector in results] == [[1], [3], [5]]

    assert run(encoder, work, most_waiting=2) == [[1], [3], [5]]


def test_a_deadline_is_told_when_it_has_come() -> None:
    encoder = Held()

    async def work(queue: EmbeddingQueue) -> None:
        (first,) = await begin(queue, 1, deadline=time.monotonic() + 0.06)
        late = queue.embed(photo(2), deadline=time.monotonic() + 0.05)
        with pytest.raises(DeadlineError):
            await late
        with pytest.raises(DeadlineError):
            await queue.embed(photo(3), deadline=time.monotonic() - 1)
        assert queue.depth == 0
        encoder.go.set()
        assert (await first).tolist() == [1]  # What has begun is finished.

    assert run(encoder, work) == [[1]]


def test_who_leaves_while_the_call_runs_disturbs_nobody() -> None:
    encoder = Held(batch_size=2)

    async def work(queue: EmbeddingQueue) -> None:
        tasks = await begin(queue, 1)
        tasks += await begin(queue, 2, 3)
        tasks[0].cancel()
        tasks[1].cancel()
        encoder.go.set()
        assert (await tasks[2]).tolist() == [3]

    assert run(encoder, work) == [[1], [3]]


def test_closing_finishes_what_waits() -> None:
    encoder = Held()

    async def work(queue: EmbeddingQueue) -> None:
        tasks = await begin(queue, 1, 2)
        encoder.go.set()
        await queue.close()
        assert [task.result().tolist() for task in tasks] == [[1], [2]]
        with pytest.raises(RuntimeError, match="closed"):
            await queue.embed(photo(3))

    run(encoder, work)
