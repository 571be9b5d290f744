from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.errors import RankingError
from shoplens.evaluation.bootstrap import estimate
from shoplens.evaluation.comparison import compare_all, holm, paired_difference

Values = list[tuple[float, float, int]]

queries = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=25
)


def columns(values: Values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b, groups = zip(*values, strict=True)
    return np.array(a), np.array(b), np.array(groups, dtype=np.int64)


def by_hand(a: np.ndarray, b: np.ndarray, groups: np.ndarray) -> float:
    """The randomisation test, one swap pattern after the other."""
    differences = a - b
    observed = abs(differences.sum())
    products = np.unique(groups)
    reached = 0
    for signs in itertools.product((-1, 1), repeat=len(products)):
        sign = dict(zip(products.tolist(), signs, strict=True))
        total = sum(sign[g] * d for g, d in zip(groups.tolist(), differences, strict=True))
        reached += int(abs(total) >= observed - 1e-9)
    return reached / float(2 ** len(products))


def test_a_known_difference() -> None:
    a = np.array([1.0, 0.5, 0.5, 0.25])
    b = np.array([0.5, 0.5, 0.75, 0.0])
    found = paired_difference(a, b, np.array([0, 1, 2, 3]))
    assert found.value == pytest.approx(0.125)
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    # Of the 8 sign patterns of (0.5, -0.25, 0.25), those with a sum of at least 0.5: all but +-0.
    assert found.p_value == 6 / 8


def test_products_are_swapped_whole() -> None:
    # Ten queries that all gain, of one product: a coin falls on the same side one time in one.
    assert paired_difference(np.ones(10), np.zeros(10), np.zeros(10, int)).p_value == 1.0
    # Of ten products: two patterns of 1,024.
    assert paired_difference(np.ones(10), np.zeros(10), np.arange(10)).p_value == 2 / 1024


@given(queries)
def test_few_products_are_gone_through_one_by_one(values: Values) -> None:
    a, b, groups = columns(values)
    assert paired_difference(a, b, groups).p_value == pytest.approx(by_hand(a, b, groups))


def test_drawn_patterns_come_close_to_all_of_them() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.random(11) * 0.6 + 0.2, generator.random(11)
    exact = paired_difference(a, b, np.arange(11))
    drawn = paired_difference(a, b, np.arange(11), draws=2000)
    assert drawn.p_value != exact.p_value
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.03)
    assert 0 < exact.p_value < 1


@given(queries)
def test_the_order_of_the_two_turns_the_sign_alone(values: Values) -> None:
    a, b, groups = columns(values)
    one, other = paired_difference(a, b, groups), paired_difference(b, a, groups)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.value == pytest.approx(-other.value)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)


@given(queries)
def test_no_difference_is_no_evidence(values: Values) -> None:
    a, _, groups = columns(values)
    found = paired_difference(a, a.copy(), groups)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1.0)
    assert (found.wins, found.ties, found.losses) == (0, len(a), 0)


def test_numbers_of_products_mean_nothing() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.random(60), generator.random(60)
    groups = generator.integers(9, size=60)
    assert paired_difference(a, b, groups) == paired_difference(a, b, groups * 1000 + 7)


def test_the_interval_is_that_of_a_score() -> None:
    generator = np.random.default_rng(2)
    a, groups = generator.random(80), np.arange(80) % 20
    alone = estimate(a, groups)
    against_nothing = paired_difference(a, np.zeros(80), groups)
    assert against_nothing.value == pytest.approx(alone.value)
    assert against_nothing.low == pytest.approx(alone.low, abs=0.01)
    assert against_nothing.high == pytest.approx(alone.high, abs=0.01)


def test_where_nothing_differs_one_test_in_twenty_says_so() -> None:
    generator = np.random.default_rng(5)
    groups = np.repeat(np.arange(40), 3)
    found = []
    for _ in range(400):
        # A product's queries share their luck: a test by query would cry out far too often.
        shared = generator.normal(0, 0.2, size=(2, 40)).repeat(3, axis=1)
        a, b = shared + generator.normal(0, 0.02, size=(2, 120))
        found.append(paired_difference(a, b, groups, draws=400))
    rejected = np.mean([difference.p_value <= 0.05 for difference in found])
    covered = np.mean([difference.low <= 0 <= difference.high for difference in found])
    assert 0.02 <= rejected <= 0.08
    assert 0.91 <= covered <= 0.98


def test_a_real_difference_is_seen() -> None:
    generator = np.random.default_rng(6)
    b = generator.random(300)
    a = b + generator.normal(0.05, 0.1, 300)
    found = paired_difference(a, b, np.arange(300))
    assert found.p_value == 1 / 10_001
    assert 0.02 < found.low < 0.05 < found.high < 0.08


def test_queries_without_a_positive_do_not_count() -> None:
    nan = float("nan")
    groups = np.arange(4)
    with_nan = paired_difference(
        np.array([1.0, nan, 0.5, 0.2]), np.array([0.0, nan, 0.1, 0.3]), groups
    )
    without = paired_difference(
        np.array([1.0, 0.5, 0.2]), np.array([0.0, 0.1, 0.3]), groups[[0, 2, 3]]
    )
    assert with_nan == without


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([0.5, 0.5], [0.5], "same queries"),
        ([0.5, float("nan")], [0.5, 0.5], "not scored on the same queries"),
        ([float("nan")], [float("nan")], "nothing to compare"),
    ],
)
def test_what_cannot_be_compared_is_refused(a: list[float], b: list[float], said: str) -> None:
    with pytest.raises(RankingError, match=said):
        paired_difference(np.array(a), np.array(b), np.arange(len(a)))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([0.02]) == (0.02,)
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, p * len(p_values)) + 1e-12


def test_several_are_compared_each_with_each_and_corrected_together() -> None:
    generator = np.random.default_rng(7)
    base = generator.random(100)
    runs = [base, base + 0.01 * generator.random(100), base - 0.3 * generator.random(100)]
    pairs = compare_all({"map@1000": runs, "mrr": runs[::-1]}, np.arange(100))
    assert [(pair.metric, pair.first, pair.second) for pair in pairs] == [
        *[("map@1000", 0, 1), ("map@1000", 0, 2), ("map@1000", 1, 2)],
        *[("mrr", 0, 1), ("mrr", 0, 2), ("mrr", 1, 2)],
    ]
    assert [pair.difference.value > 0 for pair in pairs] == [
        *[False, True, True],
        *[False, False, True],
    ]
    assert [pair.adjusted for pair in pairs] == list(holm([p.difference.p_value for p in pairs]))
