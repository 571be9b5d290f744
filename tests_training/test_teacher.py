from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoplens.training import teacher
from shoplens.training.backbones import Backbone, load_backbone
from shoplens.training.config import Config, Distillation
from shoplens.training.photos import Product, read_products
from shoplens.training.teacher import Targets, make_targets
from shoplens.training.tracing import Traced

TEACHERS = [
    {"backbone": "imagenet:lite0", "input_size": 32, "mirror": False},
    {"backbone": "imagenet:lite0", "input_size": 64, "mirror": False},
]


def settings(**other: object) -> Distillation:
    return Distillation.model_validate({"teachers": TEACHERS, **other})


@pytest.fixture
def products(tiny: Config) -> list[Product]:
    return read_products(tiny.photos)


def of(targets: Targets, products: list[Product]) -> np.ndarray:
    return targets.of([photo for product in products for photo in product.photos]).numpy()


def test_every_photo_has_a_target_of_unit_length(products: list[Product], tmp_path: Path) -> None:
    found = of(make_targets(products, settings(), 12, tmp_path), products)
    assert found.shape == (48, 12)
    assert found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_product_share_moves_targets_to_their_products_mean(
    products: list[Product], tmp_path: Path
) -> None:
    def spread(share: float) -> float:
        found = of(make_targets(products, settings(product_share=share), 12, tmp_path), products)
        groups = found.reshape(8, 6, 12)
        return float(np.linalg.norm(groups - groups.mean(axis=1, keepdims=True), axis=2).mean())

    assert spread(1.0) == pytest.approx(0, abs=1e-5)
    assert spread(0.0) > spread(0.5) > spread(1.0)


def test_whitening_evens_the_spread_of_components(products: list[Product], tmp_path: Path) -> None:
    def ratio(power: float) -> float:
        chosen = settings(whitening=power, product_share=0.0)
        spread = of(make_targets(products, chosen, 6, tmp_path), products).std(axis=0)
        return float(spread.max() / spread.min())

    assert ratio(0.0) > ratio(0.5) > ratio(1.0)


def test_a_domain_does_not_show_in_the_targets(products: list[Product], tmp_path: Path) -> None:
    found = of(make_targets(products, settings(product_share=0.0), 12, tmp_path), products)
    domains = np.array([photo.domain for product in products for photo in product.photos])
    gap = found[domains == "user"].mean(axis=0) - found[domains == "seller"].mean(axis=0)
    assert np.linalg.norm(gap) < 0.15


def test_teachers_are_asked_once(
    products: list[Product], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = of(make_targets(products, settings(), 12, tmp_path), products)

    def none(self: Traced, pixels: np.ndarray) -> np.ndarray:
        raise AssertionError("the teacher was asked again")

    monkeypatch.setattr(Traced, "__call__", none)
    assert np.array_equal(of(make_targets(products, settings(), 12, tmp_path), products), first)
    with pytest.raises(AssertionError):
        make_targets(products[:4], settings(), 12, tmp_path)


def test_a_teacher_of_the_same_name_with_other_weights_is_asked_again(
    products: list[Product], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def retrained(name: str) -> Backbone:
        return load_backbone(name, random_weights=True)

    chosen = settings(product_share=0.0)
    first = of(make_targets(products, chosen, 12, tmp_path), products)
    monkeypatch.setattr(teacher, "load_backbone", retrained)
    second = of(make_targets(products, chosen, 12, tmp_path), products)
    # Components come in any order and sign; who resembles whom does not depend on them.
    assert not np.allclose(first @ first.T, second @ second.T, atol=0.01)
