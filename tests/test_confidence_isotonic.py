"""The nearest rising steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.confidence.isotonic import fit_isotonic

ROWS = st.lists(
    st.tuples(st.integers(-20, 20), st.floats(0, 1), st.floats(0.1, 3)), min_size=1, max_size=40
)


def test_neighbours_that_fall_are_pooled() -> None:
    at, means = fit_isotonic(
        np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4)
    )
    assert at.tolist() == [1.0, 2.5, 4.0]
    assert means.tolist() == [0.0, 0.5, 1.0]


def test_what_falls_throughout_is_one_step() -> None:
    at, means = fit_isotonic(np.array([1.0, 2.0]), np.array([1.0, 0.0]), np.array([3.0, 1.0]))
    assert (at.tolist(), means.tolist()) == ([1.25], [0.75])


def test_equal_values_are_one_point_and_weightless_rows_none() -> None:
    values, truth = np.array([2.0, 1.0, 1.0, 9.0]), np.array([1.0, 0.0, 1.0, 0.0])
    at, means = fit_isotonic(values, truth, np.array([1.0, 1.0, 3.0, 0.0]))
    assert (at.tolist(), means.tolist()) == ([1.0, 2.0], [0.75, 1.0])


@given(ROWS)
def test_steps_rise_and_keep_the_mean(rows: list[tuple[int, float, float]]) -> None:
    values, truth, weights = np.array(rows, dtype=np.float64).T
    at, means = fit_isotonic(values, truth, weights)
    assert (np.diff(at) > 0).all()
    assert (np.diff(means) > -1e-12).all()
    assert means.min() >= truth.min() - 1e-12
    assert means.max() <= truth.max() + 1e-12


@given(ROWS)
def test_no_other_rising_function_is_nearer(rows: list[tuple[int, float, float]]) -> None:
    values, truth, weights = np.array(rows, dtype=np.float64).T
    at, means = fit_isotonic(values, truth, weights)
    points, inverse = np.unique(values, return_inverse=True)
    fitted = _at_points(points, at, means, inverse, truth, weights)
    best = (weights * (fitted[inverse] - truth) ** 2).sum()
    generator = np.random.default_rng(0)
    for _ in range(20):
        other = np.sort(np.clip(fitted + generator.normal(0, 0.1, len(fitted)), 0, 1))
        assert (weights * (other[inverse] - truth) ** 2).sum() >= best - 1e-9


def _at_points(
    points: np.ndarray, at: np.ndarray, means: np.ndarray, inverse: np.ndarray,
    truth: np.ndarray, weights: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return the step that each point is on, found by the masses of the blocks."""
    mass = np.bincount(inverse, weights)
    fitted, start = np.empty(len(points)), 0
    for place, mean in zip(at, means, strict=True):
        end = start + 1
        while not np.isclose(mass[start:end] @ points[start:end] / mass[start:end].sum(), place):
            end += 1
        fitted[start:end] = mean
        start = end
    if start != len(points):
        pytest.fail("the blocks do not hold all points")
    return fitted
