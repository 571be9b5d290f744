from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import EXPORTER_WARNINGS

from shoplens.errors import PhotoError
from shoplens.records import Box
from shoplens.training import config, photo_views
from shoplens.training.augment import Augmenter
from shoplens.training.backbones import load_backbone
from shoplens.training.config import Config
from shoplens.training.network import Network
from shoplens.training.photo_views import EarlyStages, FreshViews, StoredViews, readable
from shoplens.training.photos import Product, read_products
from shoplens.training.sampling import Draw, ProductSampler

pytestmark = [pytest.mark.filterwarnings(warning) for warning in EXPORTER_WARNINGS]


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    backbone = load_backbone("imagenet:lite0", random_weights=True)
    return Network(backbone, config.NetworkConfig(dimension=8, frozen_stages=4))


@pytest.fixture
def products(tiny: Config) -> list[Product]:
    return read_products(tiny.photos)


@pytest.fixture
def augmenter(tiny: Config, products: list[Product]) -> Augmenter:
    clutter = [photo.path for product in products for photo in product.photos]
    return Augmenter(tiny.views.augmentation, size=32, pad_colour=(127, 127, 127), clutter=clutter)


def stored(
    folder: Path, products: list[Product], augmenter: Augmenter, network: Network, **other: int
) -> StoredViews:
    settings = {"size": 32, "per_product": 6, "seed": 0, **other}
    return StoredViews(folder, products, augmenter, network, **settings)


def test_early_stages_on_onnx_runtime_are_those_of_torch(network: Network) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(2, 32, 32, 3), dtype=np.uint8)
    early = EarlyStages(network, 32)
    with torch.no_grad():
        expected = network.early(torch.from_numpy(pixels)).numpy()
    assert early.shape == expected.shape[1:]
    assert np.allclose(early(pixels), expected, atol=2e-3)


def test_no_frozen_stage_hands_the_normalised_pixels_on() -> None:
    backbone = load_backbone("imagenet:lite0", random_weights=True)
    network = Network(backbone, config.NetworkConfig(dimension=8))
    pixels = np.full((1, 32, 32, 3), 255, dtype=np.uint8)
    assert np.allclose(EarlyStages(network, 32)(pixels), 1.0)


def test_a_batch_holds_the_features_of_its_draws(
    tmp_path: Path, products: list[Product], augmenter: Augmenter, network: Network
) -> None:
    draws = ProductSampler(products, config.Batch(products=3, views=4), 0).batch(0)
    made = stored(tmp_path, products, augmenter, network)
    # Eight products, two domains, three photos with two views each.
    assert len(made) == 8 * 2 * 3 * 2
    batch = made.batch(draws)
    assert batch.shape == (12, *EarlyStages(network, 32).shape)
    again = made.batch(draws[:1])
    assert torch.equal(again[0], batch[0])


def test_views_are_made_once_and_again_when_something_changed(
    tmp_path: Path,
    products: list[Product],
    augmenter: Augmenter,
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    whole = EarlyStages.__call__

    def counting(self: EarlyStages, pixels: np.ndarray) -> np.ndarray:
        calls.append(len(pixels))
        return whole(self, pixels)

    monkeypatch.setattr(EarlyStages, "__call__", counting)
    stored(tmp_path, products, augmenter, network)
    assert len(calls) == 96
    stored(tmp_path, products, augmenter, network)
    assert len(calls) == 96
    stored(tmp_path, products, augmenter, network, seed=1)
    assert len(calls) == 192


def test_a_stopped_making_goes_on_and_ends_the_same(
    tmp_path: Path,
    products: list[Product],
    augmenter: Augmenter,
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photo_views, "_CHUNK", 10)
    draws = ProductSampler(products, config.Batch(products=8, views=6), 0).batch(0)
    expected = stored(tmp_path / "whole", products, augmenter, network).batch(draws)

    def stop(stage: str, done: int, total: int) -> None:
        if done == 45:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StoredViews(
            tmp_path / "cut",
            products,
            augmenter,
            network,
            size=32,
            per_product=6,
            seed=0,
            progress=stop,
        )
    seen: list[int] = []
    found = StoredViews(
        tmp_path / "cut",
        products,
        augmenter,
        network,
        size=32,
        per_product=6,
        seed=0,
        progress=lambda stage, done, total: seen.append(done),
    )
    assert seen[0] == 40
    assert torch.equal(found.batch(draws), expected)


def test_fresh_views_depend_on_their_draw_alone(
    products: list[Product], augmenter: Augmenter, network: Network
) -> None:
    draws = ProductSampler(products, config.Batch(products=3, views=2), 0).batch(0)
    fresh = FreshViews(augmenter, network, torch.device("cpu"))
    with torch.no_grad():
        assert torch.equal(fresh.batch(draws), fresh.batch(draws))


def test_unreadable_photos_are_left_out_and_named(products: list[Product]) -> None:
    photos = products[0].photos
    photos[0].path.write_bytes(b"no photo")
    photos[1].path.unlink()
    for photo in products[1].photos:
        photo.path.write_bytes(b"")
    left, failures = readable(products)
    assert [(failure.name, failure.reason) for failure in failures[:2]] == [
        (photos[0].name, "not_an_image"),
        (photos[1].name, "missing"),
    ]
    assert len(failures) == 2 + 6
    assert [product.key for product in left] == [p.key for i, p in enumerate(products) if i != 1]
    assert left[0].photos == photos[2:]


def with_photos(product: Product, *changes: dict[str, object]) -> Product:
    photos = tuple(replace(product.photos[0], **change) for change in changes)  # type: ignore[arg-type]
    return replace(product, photos=photos)


def test_two_boxes_of_one_photo_are_two_photos(
    tmp_path: Path, products: list[Product], augmenter: Augmenter, network: Network
) -> None:
    one = with_photos(products[0], {"box": Box(0, 0, 50, 50)})
    two = with_photos(products[1], {"path": one.photos[0].path, "box": Box(60, 40, 120, 100)})
    draws = [Draw(p.photos[0], "user", 0, row) for row, p in enumerate((one, two))]
    batch = stored(tmp_path, [one, two], augmenter, network).batch(draws)
    assert not torch.equal(batch[0], batch[1])
    alone = stored(tmp_path / "alone", [two], augmenter, network).batch(draws[1:])
    assert torch.equal(alone[0], batch[1])
    fresh = FreshViews(augmenter, network, torch.device("cpu"))
    with torch.no_grad():
        first, second = fresh.batch(draws)
    assert not torch.equal(first, second)


def test_stored_views_are_made_again_for_another_box(
    tmp_path: Path, products: list[Product], augmenter: Augmenter, network: Network
) -> None:
    keys = []
    for box in (None, Box(0, 0, 50, 50), Box(0, 0, 50, 51)):
        stored(tmp_path, [with_photos(products[0], {"box": box})], augmenter, network)
        keys.append((tmp_path / "features.json").read_text())
    assert len(set(keys)) == 3


def test_photos_with_bad_boxes_are_left_out_and_named(products: list[Product]) -> None:
    product = with_photos(
        products[0],
        {"box": Box(0, 0, 50, 50)},
        {"problem": PhotoError("bad_box", "bbox_w '0'")},
        {"box": Box(500, 0, 550, 50)},
    )
    (left,), failures = readable([product])
    assert [f.reason for f in failures] == ["bad_box", "outside_box"]
    assert left.photos == product.photos[:1]
