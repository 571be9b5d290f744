from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shoplens.adaptation.choosing import (
    SHRINKAGES,
    Pairs,
    choose,
    choose_folds,
    cross_validate,
    precisions_of,
)
from shoplens.evaluation.formulas import PerQuery, average_precision
from shoplens.models import unit


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(8, 40))
def test_precisions_are_those_of_the_metric(seed: int, n_products: int, n_gallery: int) -> None:
    rng = np.random.default_rng(seed)
    gallery_products = np.concatenate(
        [np.arange(n_products), rng.integers(-1, n_products, n_gallery - n_products)]
    )
    query_products = rng.integers(n_products, size=5)
    # Few different components, so that there are equal scores.
    queries, gallery = (
        unit(rng.integers(1, 3, size=(n, 3)).astype(np.float32)) for n in (5, n_gallery)
    )
    scores = np.stack([gallery @ query for query in queries])
    order = np.argsort(-scores, axis=1, kind="stable")
    relevant = gallery_products[order] == query_products[:, None]
    expected = average_precision(relevant, relevant.sum(axis=1))
    found = precisions_of(queries, gallery, query_products, gallery_products)
    np.testing.assert_allclose(found, expected)


def test_only_the_first_thousand_count() -> None:
    gallery = unit(np.stack([np.ones(1200), np.linspace(0, 1, 1200)], axis=1).astype(np.float32))
    query = np.array([[1, 0]], dtype=np.float32)
    products = np.zeros(1200, dtype=np.int64)
    products[[999, 1000]] = 1
    found = precisions_of(query, gallery, np.array([1]), products)
    np.testing.assert_allclose(found, [(1 / 1000) / 2])


def pairs(n_products: int = 50) -> Pairs:
    """Return features whose first four numbers tell products apart; the others are larger."""
    rng = np.random.default_rng(0)
    products = np.repeat(np.arange(n_products), 2)
    signal = 0.2 * rng.normal(size=(n_products, 4))

    def seen() -> np.ndarray:
        noise = rng.normal(size=(len(products), 8))
        return unit(np.concatenate([signal[products], noise], axis=1).astype(np.float32))

    return Pairs(seen(), products, seen(), products)


def test_validation_finds_the_shrinkage_that_helps() -> None:
    made = pairs()
    assert choose([made]) == (0, SHRINKAGES[-1])
    # What varies within products tells them apart here: to scale it down does not help.
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(50, 12))[made.query_products]
    sides = (signal + 0.3 * signal * rng.normal(size=signal.shape) for _ in range(2))
    queries, gallery = (unit(side.astype(np.float32)) for side in sides)
    other = Pairs(queries, made.query_products, gallery, made.gallery_products)
    assert choose([other])[1] > 1
    # Seen in this way, products are found more easily.
    assert choose([made, other])[0] == 1


def validated(pairs: Pairs) -> PerQuery:
    """Return the precision of each query with a head that does not know its product."""
    folds = choose_folds([pairs])
    return cross_validate(folds, pairs.query_products, lambda fold: (pairs, fold.head(pairs, 12)))


def test_parts_cover_each_product_once() -> None:
    made = pairs()
    folds = choose_folds([made])
    held_out = np.concatenate([fold.held_out for fold in folds])
    assert sorted(held_out) == sorted(made.products)
    for fold in folds:
        assert not np.intersect1d(fold.held_out, fold.kept).size
        assert len(fold.held_out) + len(fold.kept) == len(made.products)
    first = folds[:1]
    found = cross_validate(first, made.query_products, lambda f: (made, f.head(made, 12)))
    left_out = ~np.isin(made.query_products, first[0].held_out)
    assert (np.isnan(found) == left_out).all()


def test_products_that_are_searched_for_are_not_fitted_to() -> None:
    """Labels that mean nothing gain nothing, however well they can be fitted to."""
    made = pairs()
    rng = np.random.default_rng(1)
    noise = unit(rng.normal(size=made.queries.shape).astype(np.float32))
    other = noise[::-1].copy()
    senseless = Pairs(noise, made.query_products, other, made.gallery_products)
    chance = precisions_of(noise, other, made.query_products, made.gallery_products).mean()
    assert abs(validated(senseless).mean() - chance) < 0.05
    assert validated(made).mean() > 2 * chance
