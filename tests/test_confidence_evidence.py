"""What speaks for each product that was found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.confidence.evidence import DEPTH, NEAR, gather_evidence


def test_the_numbers_of_two_products() -> None:
    found = gather_evidence([0.9, 0.6, 0.5, 0.2], [7, 3, 7, 3])
    assert found.first.tolist() == [0, 1]
    np.testing.assert_allclose(
        found.features,
        [
            [0.9, 0.3, 0.0, 0.9 - 0.4, 2 / NEAR],
            [0.6, 0.0, 0.3, 0.6 - 0.7, 2 / NEAR],
        ],
    )


def test_a_single_product_is_compared_with_nothing() -> None:
    found = gather_evidence([0.4, 0.3], [1, 1])
    np.testing.assert_allclose(found.features, [[0.4, 0.4, 0.0, 0.4, 2 / NEAR]])


def test_a_product_that_fills_the_row_leads_by_what_is_known() -> None:
    scores = np.linspace(0.9, 0.5, DEPTH)
    found = gather_evidence(scores, np.zeros(DEPTH, dtype=int))
    assert found.features[0, 1] == pytest.approx(0.9 - 0.5)


@given(
    st.lists(st.floats(-1, 1), min_size=DEPTH, max_size=DEPTH + 30),
    st.integers(1, 12),
    st.integers(0, 99),
)
def test_photos_beyond_the_depth_change_nothing(
    scores: list[float], n_products: int, seed: int
) -> None:
    row = np.sort(np.array(scores))[::-1]
    products = np.random.default_rng(seed).integers(n_products, size=len(row))
    whole, part = gather_evidence(row, products), gather_evidence(row[:DEPTH], products[:DEPTH])
    n = len(part.first)
    assert whole.first[:n].tolist() == part.first.tolist()
    np.testing.assert_allclose(whole.features[:n], part.features)


@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 5)), min_size=1, max_size=30))
def test_the_names_of_products_do_not_matter(row: list[tuple[float, int]]) -> None:
    row = sorted(row, key=lambda pair: -pair[0])
    scores, products = np.array([one for one, _ in row]), np.array([one for _, one in row])
    expected, found = gather_evidence(scores, products), gather_evidence(scores, 100 - products)
    assert found.first.tolist() == expected.first.tolist()
    np.testing.assert_allclose(found.features, expected.features)
    assert (expected.features[:, 1] >= 0).all()
    assert (expected.features[:, 2] >= 0).all()
