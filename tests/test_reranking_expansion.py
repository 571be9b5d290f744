from __future__ import annotations

import numpy as np
import pytest
from made_rankings import at, embeddings, mean_precision, ranked, shop

from shoplens.reranking.expansion import AlphaExpansion, AverageExpansion, expanded_vectors
from shoplens.reranking.reranker import Ranked

WIDE = 2.0
"""A gap that lets every photo pass."""


@pytest.fixture
def example() -> Ranked:
    """The example of docs/reranking.md: a query at 0 degrees, photos at 20, -30 and 45."""
    return ranked(embeddings(at(0), domain="user"), embeddings(at(20, -30, 45)))


def degrees(vectors: np.ndarray) -> list[float]:
    return np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])).round(2).tolist()


def test_the_worked_example_of_average_expansion(example: Ranked) -> None:
    assert example.ranking.ids.tolist() == [[0, 1, 2]]
    assert degrees(expanded_vectors(example, 1, 0, WIDE)) == [10.0]
    after = AverageExpansion(k=1, gap=WIDE).rerank(example)
    assert after.ranking.ids.tolist() == [[0, 2, 1]]
    np.testing.assert_allclose(after.scores, np.cos(np.radians([[10, 35, 40]])), atol=1e-6)


def test_the_worked_example_of_alpha_expansion(example: Ranked) -> None:
    # The photo at 20 degrees weighs cos(20)^3 = 0.83 beside 1 for the query.
    assert degrees(expanded_vectors(example, 1, 3, WIDE)) == [pytest.approx(9.06, abs=0.01)]
    after = AlphaExpansion(k=1, alpha=3, gap=WIDE).rerank(example)
    assert after.ranking.ids.tolist() == [[0, 2, 1]]


def test_alpha_0_is_the_plain_mean() -> None:
    made = shop()
    plain, alpha = AverageExpansion(k=3, gap=0.2), AlphaExpansion(k=3, alpha=0, gap=0.2)
    np.testing.assert_array_equal(plain.rerank(made).scores, alpha.rerank(made).scores)


def test_the_gate_keeps_out_what_is_far_below_the_best(example: Ranked) -> None:
    # cos(20) = 0.940, cos(30) = 0.866, cos(45) = 0.707.
    assert degrees(expanded_vectors(example, 3, 0, 0.05)) == [10.0]
    both = expanded_vectors(example, 3, 0, 0.1)
    assert degrees(both) == [pytest.approx(-3.33, abs=0.2)]
    assert degrees(expanded_vectors(example, 3, 0, WIDE)) != degrees(both)


def test_a_gap_of_0_only_takes_the_best_and_its_equals() -> None:
    made = ranked(embeddings(at(0), domain="user"), embeddings(at(20, 20, 30)))
    assert degrees(expanded_vectors(made, 3, 0, 0)) == [pytest.approx(13.36, abs=0.05)]


def test_photos_with_negative_scores_weigh_nothing() -> None:
    made = ranked(embeddings(at(0), domain="user"), embeddings(at(120)))
    assert degrees(expanded_vectors(made, 1, 3, WIDE)) == [0.0]


def test_a_query_that_its_photos_cancel_stays_as_it_is() -> None:
    made = ranked(embeddings(at(0), domain="user"), embeddings(-at(0)))
    assert degrees(expanded_vectors(made, 1, 0, WIDE)) == [0.0]


def test_expansion_finds_more_of_made_products() -> None:
    made = shop(n_products=60, views=6, n_queries=120, noise=0.8)
    before = mean_precision(made)
    assert mean_precision(AlphaExpansion().rerank(made)) > before
    assert mean_precision(AverageExpansion().rerank(made)) > before
