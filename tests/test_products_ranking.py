"""Rankings that are ordered by product, and the temperature of log-sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens import Photo, PhotoSet, Ranking
from shoplens.errors import RankingError
from shoplens.products.ranking import product_codes, rank_products
from shoplens.products.scores import PRODUCT_SCORES, ProductScore
from shoplens.products.temperature import TEMPERATURES, fit_temperature


def gallery(*products: str | None) -> PhotoSet:
    return PhotoSet(
        Photo(10 + row, f"{row}.jpg", Path(f"{row}.jpg"), "seller", product_id=product)
        for row, product in enumerate(products)
    )


def ranking(ids: list[list[int]], scores: list[list[float]] | None) -> Ranking:
    return Ranking(
        np.arange(len(ids), dtype=np.int32),
        np.array(ids, dtype=np.int32),
        None if scores is None else np.array(scores, dtype=np.float32),
        chain=("exact",),
    )


PHOTOS = gallery("a", "b", "b", "a", None)
FOUND = ranking([[10, 11, 12, 14, 13]], [[0.9, 0.8, 0.7, 0.6, 0.1]])


@pytest.mark.parametrize(
    ("score", "ids", "scores"),
    [
        ("best", [10, 13, 11, 12, 14], [0.9, 0.9, 0.8, 0.8, 0.6]),
        ("mean2", [11, 12, 14, 10, 13], [0.75, 0.75, 0.6, 0.5, 0.5]),
    ],
)
def test_products_in_order(score: str, ids: list[int], scores: list[float]) -> None:
    found = rank_products(FOUND, PHOTOS, ProductScore.parse(score))
    assert found.ids[0].tolist() == ids
    assert found.scores is not None
    np.testing.assert_allclose(found.scores[0], scores, rtol=1e-6)
    assert found.chain == ("exact", f"products:{score}")


def test_photos_that_could_not_be_compared_stay_last() -> None:
    broken = ranking([[11, 10, 12], [10, 11, 12]], [[0.5, 0.4, -np.inf], [-np.inf] * 3])
    found = rank_products(broken, PHOTOS, ProductScore.parse("best"))
    assert found.ids.tolist() == [[11, 10, 12], [10, 11, 12]]
    assert found.scores is not None
    assert found.scores.tolist()[1] == [-np.inf] * 3


def test_what_cannot_be_ordered_is_refused() -> None:
    best = ProductScore.parse("best")
    with pytest.raises(RankingError, match=r"\.npz"):
        rank_products(ranking([[10]], None), PHOTOS, best)
    with pytest.raises(RankingError, match="no gallery photo"):
        rank_products(ranking([[99]], [[0.5]]), PHOTOS, best)


@given(
    st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=12),
    st.integers(0, 10_000),
    st.sampled_from(PRODUCT_SCORES),
)
def test_rows_keep_their_photos_and_products_stand_together(
    products: list[str | None], seed: int, name: str
) -> None:
    photos, generator = gallery(*products), np.random.default_rng(seed)
    # Few different scores, so that many are equal.
    scores = -np.sort(-generator.integers(0, 4, size=len(products)) / 4)
    before = ranking([(10 + generator.permutation(len(products))).tolist()], [scores.tolist()])
    after = rank_products(before, photos, ProductScore.parse(name))
    assert after.scores is not None
    assert sorted(after.ids[0]) == sorted(before.ids[0])
    assert (np.diff(after.scores[0]) <= 0).all()
    codes = product_codes(photos)[after.ids[0] - 10]
    assert np.count_nonzero(np.diff(codes)) == len(np.unique(codes)) - 1


def test_a_query_alone_gives_the_same_as_among_others() -> None:
    scores = [[0.9, 0.8, 0.7, 0.6, 0.1], [0.5, 0.4, 0.4, 0.3, 0.2]]
    both = ranking([[10, 11, 12, 14, 13], [12, 14, 10, 11, 13]], scores)
    score = ProductScore.parse("logsum")
    found = rank_products(both, PHOTOS, score)
    for row in (0, 1):
        alone = ranking([both.ids[row].tolist()], [scores[row]])
        assert rank_products(alone, PHOTOS, score).ids.tolist() == found.ids[row : row + 1].tolist()


def test_the_temperature_that_puts_the_right_product_first() -> None:
    # Product 1 has two good photos, product 0 one a little better: only a log-sum that is warm
    # enough prefers product 1.
    found = ranking([[0, 1, 2]], [[0.60, 0.58, 0.58]])
    products = np.array([[0, 1, 1]])
    warm = fit_temperature(found, products, np.array([1]))
    assert warm > min(TEMPERATURES)
    score = ProductScore("logsum", warm)
    assert score.of([0.58, 0.58]) > score.of([0.60])
    assert fit_temperature(found, products, np.array([0])) == min(TEMPERATURES)
    # A query whose product was not found says nothing.
    assert fit_temperature(found, products, np.array([7])) == min(TEMPERATURES)
