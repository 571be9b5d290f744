from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shoplens.adaptation.closed_form import ClosedForm, Examples, Settings
from shoplens.models import unit


def made(n_products: int = 60, n_signal: int = 4, n_noise: int = 8) -> Examples:
    """Return features whose first numbers tell products apart, and whose others are larger."""
    rng = np.random.default_rng(0)
    products = np.repeat(np.arange(n_products), 4)
    signal = 0.2 * rng.normal(size=(n_products, n_signal))[products]
    noise = rng.normal(size=(len(products), n_noise))
    is_user = np.tile([True, True, False, False], n_products)
    features = np.concatenate([signal, noise, np.ones((len(products), 1))], axis=1)
    features[is_user, -1] = -1  # What tells users' photos from sellers'.
    return Examples(unit(features.astype(np.float32)), is_user, products)


def hits(examples: Examples, queries: Any, gallery: Any) -> float:
    """Return how often a shopper's photo is nearest to a seller's of the same product."""
    nearest = (queries @ gallery.T).argmax(axis=1)
    products = examples.products
    return float(np.mean(products[examples.is_user] == products[~examples.is_user][nearest]))


def test_what_varies_within_products_counts_less() -> None:
    examples = made()
    users, sellers = examples.of("user"), examples.of("seller")
    before = hits(examples, users, sellers)
    head = ClosedForm(examples).head(Settings(0.01, 12))
    after = hits(examples, head.vectors(users, "user"), head.vectors(sellers, "seller"))
    assert before < 0.2
    assert after > 0.9


@pytest.mark.parametrize("shrinkage", [0.1, 10.0, 1e6])
def test_vectors_are_centred_by_domain_and_of_unit_length(shrinkage: float) -> None:
    examples = made()
    head = ClosedForm(examples).head(Settings(shrinkage, 6))
    assert head.weight.shape == (6, 13)
    assert {head.weight.dtype, head.bias.dtype, head.centres["user"].dtype} == {np.dtype("f4")}
    for domain in ("user", "seller"):
        found = head.vectors(examples.of(domain), domain)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        plain = head.uncentred(examples.of(domain))
        np.testing.assert_allclose(plain.mean(axis=0), head.centres[domain], atol=1e-5)


def test_with_fewer_photos_than_features_the_head_is_the_same() -> None:
    """What never varies has no part in it, however the features are turned."""
    few = made(n_products=20)
    n, f = few.features.shape
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4 * n, 4 * n)))[0][:f]
    wide = Examples((few.features @ turn).astype(np.float32), few.is_user, few.products)
    # Variances are averaged over all features, of which there are more now.
    shrinkage = 2.0 * 4 * n / f
    ours, theirs = (
        ClosedForm(examples).head(Settings(s, 6)) for examples, s in ((few, 2.0), (wide, shrinkage))
    )
    assert theirs.weight.shape == (6, 4 * n)
    for domain in ("user", "seller"):
        expected = ours.vectors(few.of(domain), domain)
        found = theirs.vectors(wide.of(domain), domain)
        np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)


def test_without_a_bound_on_shrinkage_distances_stay_as_they_are() -> None:
    examples = made()
    head = ClosedForm(examples).head(Settings(1e9, 13))
    users = examples.of("user") - examples.of("user").mean(axis=0)
    mapped = users @ head.weight.T
    np.testing.assert_allclose(mapped @ mapped.T, users @ users.T, atol=1e-4)


def test_components_come_in_order_of_their_variance() -> None:
    examples = made()
    head = ClosedForm(examples).head(Settings(1.0, 8))
    users, sellers = (
        (examples.of(domain) @ head.weight.T).var(axis=0) for domain in ("user", "seller")
    )
    assert (np.diff(0.2 * users + 0.8 * sellers) < 1e-6).all()


def test_sellers_photos_decide_more_which_components_are_kept() -> None:
    rng = np.random.default_rng(0)
    is_user = np.repeat([True, False], 200)
    # The first number varies most in shoppers' photos, the second in sellers'.
    spread = np.where(is_user[:, None], [0.3, 0.2, 0.1], [0.1, 0.2, 0.1])
    features = np.concatenate([np.ones((400, 1)), spread * rng.normal(size=(400, 3))], axis=1)
    examples = Examples(unit(features.astype(np.float32)), is_user, np.full(400, -1))
    head = ClosedForm(examples).head(Settings(1.0, 1))
    assert np.abs(head.weight[0]).argmax() == 2


def test_fewer_directions_than_asked_for_give_shorter_vectors() -> None:
    examples = made()
    few = Examples(examples.features[:6], examples.is_user[:6], examples.products[:6])
    assert ClosedForm(few).head(Settings(1.0, 13)).dimension <= 4


def test_photos_of_unknown_products_and_single_ones_say_nothing_about_products() -> None:
    examples = made()
    apart = np.arange(len(examples.products)) + 1000
    alone = Examples(examples.features, examples.is_user, apart)
    unknown = Examples(examples.features, examples.is_user, np.full_like(apart, -1))
    heads = [ClosedForm(each).head(Settings(1.0, 8)) for each in (alone, unknown)]
    np.testing.assert_array_equal(heads[0].weight, heads[1].weight)


def test_a_fit_is_the_same_each_time() -> None:
    settings = Settings(0.3, 8)
    heads = [ClosedForm(made()).head(settings) for _ in range(2)]
    np.testing.assert_array_equal(heads[0].weight, heads[1].weight)
