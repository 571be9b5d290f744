from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from made_rankings import Ranked, at, embeddings, mean_precision, ranked, shop

from shoplens.errors import RankingError
from shoplens.reranking.pooling import ProductPooling

EXAMPLE = [math.degrees(math.acos(score)) for score in (0.9, 0.8, 0.5)]


@pytest.fixture
def example() -> Ranked:
    """The example of docs/reranking.md: a lamp has scores of 0.9 and 0.5, a chair 0.8."""
    gallery = embeddings(at(*EXAMPLE), ["lamp", "chair", "lamp"])
    return ranked(embeddings(at(0), domain="user"), gallery)


def test_the_worked_example(example: Ranked) -> None:
    after = ProductPooling().rerank(example)
    assert after.ranking.ids.tolist() == [[0, 2, 1]]
    np.testing.assert_allclose(after.scores, [[0.8688, 0.8288, 0.8]], atol=1e-4)


def test_a_low_temperature_takes_the_highest_and_a_high_one_the_mean(example: Ranked) -> None:
    for temperature, expected in ((0.001, 0.9), (100, 0.7)):
        after = ProductPooling(weight=1, temperature=temperature).rerank(example)
        np.testing.assert_allclose(after.scores[0, after.ranking.ids[0] != 1], expected, atol=2e-3)


def test_weight_0_changes_nothing(example: Ranked) -> None:
    after = ProductPooling(weight=0).rerank(example)
    np.testing.assert_array_equal(after.ranking.ids, example.ranking.ids)
    np.testing.assert_allclose(after.scores, example.scores, atol=1e-7)


def test_photos_without_a_product_stand_for_themselves() -> None:
    gallery = embeddings(at(*EXAMPLE), ["lamp", None, None])
    before = ranked(embeddings(at(0), domain="user"), gallery)
    after = ProductPooling().rerank(before)
    np.testing.assert_allclose(after.scores, before.scores, atol=1e-6)
    unknown = ranked(before.queries, replace(gallery, photos=None))
    with pytest.raises(RankingError, match="product-score needs the products"):
        ProductPooling().rerank(unknown)


def test_more_of_made_products_is_found() -> None:
    made = shop(60, views=6, n_queries=120, noise=0.8)
    assert mean_precision(ProductPooling().rerank(made)) > mean_precision(made)
