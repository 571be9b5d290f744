from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoplens.reranking.neighbours
from shoplens.reranking.neighbours import nearest


def units(n: int, d: int, seed: int) -> npt.NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize(("n", "m", "k"), [(7, 5, 3), (3, 900, 4), (300, 1000, 21), (2, 130, 2)])
def test_neighbours_are_those_of_a_full_sort(n: int, m: int, k: int) -> None:
    vectors, among = units(n, 8, 0), units(m, 8, 1)
    found = nearest(vectors, among, k)
    similarity = vectors @ among.T
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.positions, expected)
    np.testing.assert_allclose(
        found.similarity, np.take_along_axis(similarity, expected, axis=1), atol=1e-6
    )


def test_there_are_no_more_neighbours_than_vectors() -> None:
    assert nearest(units(2, 4, 0), units(3, 4, 1), 10).positions.shape == (2, 3)


def test_each_is_its_own_first_neighbour_among_equals() -> None:
    vectors = np.repeat(units(100, 8, 0), 3, axis=0)
    found = nearest(vectors, vectors, 4, own=True)
    np.testing.assert_array_equal(found.positions[:, 0], np.arange(300))
    assert (found.similarity[:, 0] == 1).all()
    np.testing.assert_array_equal(
        np.sort(found.positions[:, :3] // 3), [[r // 3] * 3 for r in range(300)]
    )


@given(st.integers(1, 400), st.integers(1, 12), st.integers(1, 5))
def test_ties_are_in_order_of_position(m: int, k: int, seed: int) -> None:
    among = np.eye(4, dtype=np.float32)[np.random.default_rng(seed).integers(0, 4, m)]
    found = nearest(np.eye(4, dtype=np.float32)[:2], among, k)
    expected = np.argsort(-among[:, :2].T, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.positions, expected)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = units(50, 8, 0)
    whole = nearest(vectors, vectors, 5, own=True)
    monkeypatch.setattr(shoplens.reranking.neighbours, "_BLOCK_BYTES", 4 * 50 * 7)
    told: list[int] = []
    parts = nearest(vectors, vectors, 5, own=True, progress=lambda _, done, __: told.append(done))
    np.testing.assert_array_equal(parts.positions, whole.positions)
    assert told == [7, 14, 21, 28, 35, 42, 49, 50]
