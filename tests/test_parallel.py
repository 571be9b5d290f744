from __future__ import annotations

import itertools
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.cores import usable_cores
from shoplens.parallel import is_worker, parallel_map


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 5))
def test_results_come_in_the_order_of_the_items(delays: list[int], workers: int) -> None:
    def slow(item: tuple[int, int]) -> int:
        time.sleep(item[1] / 2000)
        return item[0]

    assert list(parallel_map(slow, enumerate(delays), workers)) == list(range(len(delays)))


def test_work_runs_side_by_side_on_several_threads() -> None:
    together = threading.Barrier(3, timeout=20)

    def meet(_: int) -> str:
        together.wait()
        return threading.current_thread().name

    names = set(parallel_map(meet, range(3), workers=3))
    assert len(names) == 3
    assert threading.current_thread().name not in names


def test_one_worker_runs_one_item_at_a_time() -> None:
    running = 0

    def alone(item: int) -> int:
        nonlocal running
        running += 1
        time.sleep(0.001)
        seen, running = running, running - 1
        return seen

    assert set(parallel_map(alone, range(20), workers=1)) == {1}


def test_items_are_taken_as_they_are_needed() -> None:
    taken = 0

    def endless() -> itertools.count[int]:
        nonlocal taken
        for item in itertools.count():
            taken += 1
            yield item

    results = parallel_map(lambda item: item * item, endless(), workers=2)
    for expected in range(50):
        assert next(results) == expected * expected
        assert taken <= expected + 1 + 4 * 2
    results.close()


def test_nothing_begins_before_the_first_result_is_asked_for() -> None:
    begun: list[int] = []
    results = parallel_map(begun.append, range(3), workers=2)
    assert begun == []
    assert list(results) == [None, None, None]
    assert sorted(begun) == [0, 1, 2]


def test_an_exception_comes_out_in_its_place_and_drops_the_rest() -> None:
    done: list[int] = []

    def fails_at_three(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        done.append(item)
        return item

    results = parallel_map(fails_at_three, range(1000), workers=1)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert len(done) < 10
    assert not alive()


def test_closing_early_drops_the_work_that_has_not_begun() -> None:
    go = threading.Event()
    done: list[int] = []

    def wait(item: int) -> int:
        if item > 0:
            go.wait(20)
        done.append(item)
        return item

    results = parallel_map(wait, range(1000), workers=1)
    assert next(results) == 0
    threading.Timer(0.5, go.set).start()
    results.close()
    assert len(done) <= 2
    assert not alive()


def test_an_exception_of_the_items_themselves_comes_out() -> None:
    def items() -> itertools.chain[int]:
        yield from (1, 2)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        list(parallel_map(lambda item: item, items(), workers=2))
    assert not alive()


def test_the_number_of_workers_does_not_change_the_result() -> None:
    results = [list(parallel_map(str, range(100), workers)) for workers in (1, 2, 7, None)]
    assert results == [[str(item) for item in range(100)]] * 4


def test_there_is_a_usable_core() -> None:
    assert usable_cores() >= 1


def alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("shoplens")]


def test_a_thread_knows_whether_it_is_a_worker() -> None:
    assert list(parallel_map(lambda _: is_worker(), range(3), 2)) == [True] * 3
    assert not is_worker()
