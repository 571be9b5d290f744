"""The score of a product, from those of its photos."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.errors import RankingError
from shoplens.products.scores import DEFAULT_TEMPERATURE, PRODUCT_SCORES, ProductScore

SCORES = st.lists(st.floats(-1, 1), min_size=1, max_size=8).map(lambda s: sorted(s, reverse=True))


@pytest.mark.parametrize(
    ("name", "expected"), [("best", 0.9), ("mean2", 0.75), ("mean3", 0.6), ("logsum:0.001", 0.9)]
)
def test_of_three_photos(name: str, expected: float) -> None:
    assert ProductScore.parse(name).of([0.9, 0.6, 0.3]) == pytest.approx(expected)


@pytest.mark.parametrize("name", PRODUCT_SCORES)
def test_of_one_photo_it_is_the_photos(name: str) -> None:
    assert ProductScore.parse(name).of([0.4]) == pytest.approx(0.4)


def test_logsum_of_equal_photos() -> None:
    found = ProductScore.parse("logsum:0.1").of([0.5, 0.5])
    assert found == pytest.approx(0.5 + 0.1 * math.log(2))


@given(SCORES)
def test_the_order_of_the_scores(scores: list[float]) -> None:
    best, mean2, mean3, logsum = (ProductScore.parse(name).of(scores) for name in PRODUCT_SCORES)
    assert mean3 <= mean2 + 1e-12
    assert mean2 <= best + 1e-12
    assert best - 1e-12 <= logsum <= best + DEFAULT_TEMPERATURE * math.log(len(scores)) + 1e-12


def test_temperatures() -> None:
    assert ProductScore.parse("logsum") == ProductScore("logsum", DEFAULT_TEMPERATURE)
    assert ProductScore.parse("logsum", 0.3).temperature == 0.3
    assert ProductScore.parse("logsum:0.5", 0.3).temperature == 0.5
    assert str(ProductScore.parse("logsum:0.5")) == "logsum:0.5"
    assert str(ProductScore.parse("mean2")) == "mean2"


@pytest.mark.parametrize(
    "text", ["", "worst", "mean4", "best:1", "logsum:", "logsum:0", "logsum:x"]
)
def test_what_is_no_score_is_refused(text: str) -> None:
    with pytest.raises(RankingError):
        ProductScore.parse(text)
