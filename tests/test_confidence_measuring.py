"""Reliability, ECE and thresholds, on numbers whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.confidence.measuring import (
    by_category,
    calibration_error,
    log_loss,
    reliability,
    threshold,
)

SAID = np.array([0.95, 0.95, 0.95, 0.95, 0.25, 0.25])
RIGHT = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 1.0])


def test_the_error_is_the_mean_gap() -> None:
    # Four said 0.95 of which 0.75 are right, two said 0.25 of which 0.5 are right.
    assert calibration_error(SAID, RIGHT, np.ones(6)) == pytest.approx((4 * 0.2 + 2 * 0.25) / 6)


def test_bins_tell_what_was_said_and_what_was_right() -> None:
    low, high = reliability(SAID, RIGHT, np.ones(6))
    assert (low.low, low.high, low.n) == (0.2, 0.3, 2)
    assert (low.confidence, low.right) == (0.25, 0.5)
    assert (high.n, high.right) == (4, 0.75)
    assert high.confidence == pytest.approx(0.95)


def test_weightless_searches_do_not_count() -> None:
    weights = np.array([1.0, 1, 1, 1, 0, 0])
    [only] = reliability(SAID, RIGHT, weights)
    assert only.n == 4
    assert calibration_error(SAID, RIGHT, weights) == pytest.approx(0.2)


def test_a_confidence_of_one_is_in_the_last_bin() -> None:
    [only] = reliability(np.array([1.0]), np.array([1.0]), np.ones(1))
    assert (only.low, only.high) == (0.9, 1.0)
    assert calibration_error(np.array([1.0]), np.array([1.0]), np.ones(1)) == 0


def test_log_loss() -> None:
    found = log_loss(np.array([0.8, 0.4]), np.array([1.0, 0.0]), np.array([1.0, 3.0]))
    assert found == pytest.approx((-np.log(0.8) - 3 * np.log(0.6)) / 4)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0, 1))
def test_a_threshold_lets_no_more_through_than_allowed(values: list[float], rate: float) -> None:
    unmatched = np.array(values)
    bound = threshold(unmatched, rate)
    assert (unmatched >= bound).mean() <= rate + 1e-9
    # The next lower confidence would let too many through.
    below = unmatched[unmatched < bound]
    if len(below):
        assert (unmatched >= below.max()).mean() > rate


def test_all_may_pass() -> None:
    assert threshold(np.array([0.3, 0.5]), 1.0) == 0


def test_categories_with_enough_searches_are_told() -> None:
    names = ["shoes", "bags", "shoes", None, "hats", "shoes", "bags"]
    said = np.array([0.8, 0.5, 0.6, 0.9, 0.3, 0.9, 0.5])
    right = np.array([1.0, 0, 1, 1, 1, 0, 1])
    weights = np.array([1.0, 1, 1, 1, 1, 0, 3])  # The last shoes do not count.
    bags, shoes = by_category(names, said, right, weights, 2)
    assert (bags.name, bags.n, shoes.name, shoes.n) == ("bags", 2, "shoes", 2)
    assert (bags.confidence, bags.right) == pytest.approx((0.5, 0.75))
    assert (shoes.confidence, shoes.right) == pytest.approx((0.7, 1.0))
    assert by_category(names, said, right, weights, 3) == ()
    assert by_category([None] * 7, said, right, weights, 1) == ()
