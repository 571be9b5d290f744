"""What the head of clip-b16 is fitted to, and how."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import build_clip
import product_views
import scans_test_set
from product_tables import N_PRODUCTS, write_tables
from product_views import MILD, Prepared, Tables, View, hashed

from shoplens.datasets.dataset import read_dataset
from shoplens.models import unit


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return write_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(autouse=True)
def _few_kept_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product_views, "SCANS_KEPT_OUT", 4)


def test_products_kept_out_are_in_no_view(tables: Tables) -> None:
    kept_out = tables.scans_kept_out()
    assert len(kept_out) == 4
    assert not kept_out & {"gso/0", "gso/1"}  # There are previews of them.
    views = [view for source in product_views.SOURCES for view in tables.views(source)]
    products = {view.product for view in views}
    assert not {f"scans/{product}" for product in kept_out} & products
    groceries = {p for p in products if p.startswith("grocery/")}
    assert groceries == {
        f"grocery/{n}" for n in range(N_PRODUCTS) if hashed(f"0/grocery/{n}") >= 0.15
    }
    assert len({view.key for view in views}) == len(views)


def test_users_and_sellers_photograph_the_same_products(tables: Tables) -> None:
    for source in ("grocery", "scans", "gso", "clothing"):
        views = tables.views(source)
        users, sellers = (
            {view.product for view in views if view.domain == domain}
            for domain in ("user", "seller")
        )
        assert users == sellers


def test_a_view_is_the_same_each_time(tables: Tables) -> None:
    view = next(view for view in tables.views("scans") if view.made == MILD)
    prepared = Prepared(64, (127, 127, 127))
    first = tables.pixels(view, prepared)
    assert first.shape == (64, 64, 3)
    again = Tables(tables.folder).pixels(view, prepared)
    assert np.array_equal(first, again)
    other = tables.pixels(
        View(view.name, view.source, "user", "user", view.product, product_views.STRONG), prepared
    )
    assert not np.array_equal(first, other)


def test_the_scans_kept_out_become_a_test_set(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["scans_test_set", "--tables", str(tables.folder), "-o", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", arguments)
    scans_test_set.main()
    dataset = read_dataset(tmp_path / "out")
    assert len(dataset.gallery) == N_PRODUCTS
    assert len(dataset.queries) == 4 * scans_test_set.USER
    for query in dataset.queries:
        assert query.box is not None
        # The ellipse is 50 pixels wide and 30 high.
        assert query.box.width == pytest.approx(51, abs=1)
        assert query.box.height == pytest.approx(31, abs=1)


def made_views(n_products: int) -> list[View]:
    """A user's and two sellers' photos of each product."""
    return [
        View(f"{number} {domain} {take}", "scans", domain, domain, f"scans/{number}")
        for number in range(n_products)
        for domain, takes in (("user", 1), ("seller", 2))
        for take in range(takes)
    ]


def test_what_differs_within_products_is_scaled_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_clip, "SOURCES", {"scans": None})
    random = np.random.default_rng(0)
    views = made_views(200)
    product = {view.product: random.normal(size=6) for view in views}
    vectors = np.stack([np.concatenate([product[view.product], np.zeros(6)]) for view in views])
    vectors[:, 6:] += random.normal(size=(len(views), 6))  # The photo's, not the product's.
    groups = build_clip.by_group(views)
    layer = build_clip.within_products(vectors.astype(np.float32), views, groups)
    gains = np.linalg.norm(layer.weight, axis=0)
    # Spread is twice the mean in the last six directions, and 0 in the others.
    assert gains[:6] == pytest.approx(np.ones(6), abs=0.05)
    assert gains[6:] == pytest.approx(np.full(6, (2 / build_clip.SHRINKAGE + 1) ** -2), abs=0.05)
    centre = np.mean([vectors[places].mean(axis=0) for places in groups.values()], axis=0)
    assert layer.weight @ centre + layer.bias == pytest.approx(np.zeros(12), abs=1e-3)


def test_the_head_centres_each_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_clip, "DIMENSION", 8)
    random = np.random.default_rng(0)
    views = [replace(view, source="gso") for view in made_views(40)]
    tokens = random.normal(size=(len(views), 16)).astype(np.float32)
    tokens[[view.domain == "user" for view in views], 0] += 3
    head = build_clip.fit(unit(tokens), views)
    vectors = unit(tokens)
    for layer in head.layers:
        vectors = unit(vectors @ layer.weight.T + layer.bias)
    for domain, centre in head.centres.items():
        of = vectors[[view.domain == domain for view in views]]
        assert of.mean(axis=0) == pytest.approx(centre, abs=1e-5)
