from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import EXPORTER_WARNINGS
from torch import Tensor
from torch.nn import functional

from shoplens.training import config
from shoplens.training.backbones import load_backbone
from shoplens.training.config import Config
from shoplens.training.fitted import Group, fit_centres, fit_head, pooled_features
from shoplens.training.network import Network
from shoplens.training.photo_views import EarlyStages
from shoplens.training.photos import read_products
from shoplens.training.validation import PlainViews

pytestmark = [pytest.mark.filterwarnings(warning) for warning in EXPORTER_WARNINGS]


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    backbone = load_backbone("imagenet:lite0", random_weights=True)
    return Network(backbone, config.NetworkConfig(dimension=16, frozen_stages=9))


def groups_of(features: Tensor) -> dict[Group, Tensor]:
    return {("made", "user"): features[::2], ("made", "seller"): features[1::2]}


def test_pooled_features_are_those_of_plain_photos_by_source_and_domain(
    network: Network, tiny: Config
) -> None:
    products = read_products(tiny.photos)
    backbone = load_backbone("imagenet:lite0", random_weights=True)
    plain = PlainViews(backbone, 32, [])
    found = pooled_features(network, products, plain, EarlyStages(network, 32), most=5)
    assert {group: len(rows) for group, rows in found.items()} == {
        ("made", "user"): 5,
        ("made", "seller"): 5,
    }
    first = products[0].taken_by("seller")[0]
    with torch.no_grad():
        expected = network.pooled(network.early(torch.from_numpy(plain(first)[None])))
    assert torch.allclose(found["made", "seller"][:1], expected, rtol=1e-2, atol=1e-2)


def test_the_head_keeps_the_geometry_of_the_features(network: Network) -> None:
    torch.manual_seed(0)
    # Both domains alike, on 15 directions: nothing is lost by keeping 16 components.
    features = torch.rand(100, 15) @ torch.rand(15, 1280) + 1
    features = functional.normalize(features).repeat_interleave(2, dim=0)
    fit_head(network, groups_of(features), whitening=0.0)
    unit = functional.normalize(features)
    centred = functional.normalize(unit - unit.mean(dim=0))
    with torch.no_grad():
        vectors = functional.normalize(network.head(features))
    assert torch.allclose(vectors @ vectors.T, centred @ centred.T, atol=5e-3)


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_whitening_evens_the_spread(network: Network, whitening: float) -> None:
    torch.manual_seed(0)
    features = functional.normalize(torch.rand(400, 1280) * torch.linspace(2, 0.1, 1280) + 1)
    fit_head(network, groups_of(features), whitening)
    with torch.no_grad():
        spread = network.head(features).std(dim=0)
    assert (spread[:-1] >= spread[1:] * 0.9).all()
    ratio = float(spread.max() / spread.min())
    network.head.weight.data.zero_()
    fit_head(network, groups_of(features), 0.0)
    with torch.no_grad():
        plain = network.head(features).std(dim=0)
    assert ratio == pytest.approx(float(plain.max() / plain.min()) ** (1 - whitening), rel=0.1)


def test_no_component_is_spent_on_the_domain(network: Network) -> None:
    torch.manual_seed(0)
    features = torch.rand(200, 1280)
    shifted = features.clone()
    shifted[::2, :640] += 3
    fit_head(network, groups_of(shifted), 0.0)
    gap = torch.zeros(1280)
    gap[:640] = 1
    share = (network.head.weight @ gap).norm() / gap.norm() / network.head.weight.norm(dim=1).max()
    assert share < 0.5


def test_centres_weigh_sources_alike(network: Network) -> None:
    torch.manual_seed(0)
    many, few = torch.rand(90, 1280), torch.rand(10, 1280)
    centres = fit_centres(network, {("a", "user"): many, ("b", "user"): few})
    assert set(centres) == {"user"}
    with torch.no_grad():
        means = [functional.normalize(network.head(x)).mean(dim=0).numpy() for x in (many, few)]
    assert np.allclose(centres["user"], np.mean(means, axis=0), atol=1e-6)


def test_directions_in_which_nothing_varies_are_not_blown_up(network: Network) -> None:
    torch.manual_seed(0)
    before = network.head.weight.detach().clone()
    # Ten photos in two groups: centred, they vary in eight directions.
    features = functional.normalize(torch.rand(10, 1280))
    fit_head(network, groups_of(features), whitening=0.5)
    assert torch.equal(network.head.weight[8:], before[8:])
    assert network.head.weight[:8].norm(dim=1).max() < 3
    with torch.no_grad():
        other = functional.normalize(torch.rand(4, 1280))
        assert network.head(other).abs().max() < 3
