from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.curation.hamming import distances, near_pairs

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=12)


def array(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


@settings(max_examples=40)
@given(HASHES, HASHES, st.integers(0, 11), st.randoms(use_true_random=False))
def test_all_near_pairs_and_no_others_are_found(
    first: list[int], second: list[int], radius: int, random: object
) -> None:
    # Some of the second are near to some of the first: chance alone would make none.
    for value in first[:6]:
        bits = random.sample(range(64), random.randint(0, 14))  # type: ignore[attr-defined]
        second.append(value ^ sum(1 << bit for bit in bits))
    expected = {
        (i, j)
        for i, a in enumerate(first)
        for j, b in enumerate(second)
        if bin(a ^ b).count("1") <= radius
    }
    rows, columns = near_pairs(array(first), array(second), radius)
    found = list(zip(rows.tolist(), columns.tolist(), strict=True))
    assert set(found) == expected
    assert found == sorted(expected)


@pytest.mark.parametrize("radius", range(12))
def test_pairs_whose_bits_differ_in_every_band_are_found(radius: int) -> None:
    for seed in range(5):
        bits = np.random.default_rng(seed).permutation(64)[:radius]
        other = sum(1 << int(bit) for bit in bits)
        rows, _ = near_pairs(array([0]), array([other]), radius)
        assert len(rows) == 1


def test_equal_hashes_in_great_number_fit_into_memory() -> None:
    rows, columns = near_pairs(array([7] * 700), array([7] * 700), 2)
    assert len(rows) == len(columns) == 490_000


def test_distances_count_bits() -> None:
    found = distances(array([0, 2**64 - 1, 5]), array([0, 0, 6]))
    assert found.tolist() == [0, 64, 2]
