from __future__ import annotations

import pytest
import torch

from shoplens.training import config
from shoplens.training.backbones import Backbone, load_backbone
from shoplens.training.network import AttentionPooling, GemPooling, Network


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    return load_backbone("imagenet:lite0", random_weights=True)


@pytest.mark.parametrize("pooling", ["gem", "mean", "attention"])
def test_pixels_become_unit_vectors(backbone: Backbone, pooling: str) -> None:
    settings = config.NetworkConfig(dimension=16, pooling=pooling)  # type: ignore[arg-type]
    vectors = Network(backbone, settings)(torch.randint(256, (2, 64, 64, 3), dtype=torch.uint8))
    assert vectors.shape == (2, 16)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)


def test_early_and_late_make_up_the_whole(backbone: Backbone) -> None:
    pixels = torch.randint(256, (2, 64, 64, 3), dtype=torch.uint8)
    whole = Network(backbone, config.NetworkConfig(dimension=8))
    parted = Network(backbone, config.NetworkConfig(dimension=8, frozen_stages=5))
    parted.load_state_dict(whole.state_dict())
    assert torch.allclose(parted.late(parted.early(pixels)), whole(pixels), atol=1e-6)


def test_frozen_stages_do_not_learn(backbone: Backbone) -> None:
    network = Network(backbone, config.NetworkConfig(dimension=8, frozen_stages=3))
    learning = {
        name.split(".")[1] for name, p in network.stages.named_parameters() if p.requires_grad
    }
    frozen = [p.requires_grad for p in network.stages[:3].parameters()]
    assert not any(frozen)
    assert learning
    assert all(p.requires_grad for p in network.stages[3:].parameters())


def test_more_frozen_stages_than_there_are_is_an_error(backbone: Backbone) -> None:
    with pytest.raises(ValueError, match="cannot freeze 10 stages: the network has 9"):
        Network(backbone, config.NetworkConfig(frozen_stages=10))


def test_gem_lies_between_the_mean_and_the_largest() -> None:
    x = torch.rand(3, 4, 5, 5)
    pooled = GemPooling(3.0)(x)
    assert (pooled >= x.mean(dim=(2, 3)) - 1e-6).all()
    assert (pooled <= x.amax(dim=(2, 3)) + 1e-6).all()
    assert torch.equal(GemPooling(1.0)(x), x.mean(dim=(2, 3)))


def test_attention_starts_as_gem() -> None:
    x = torch.rand(3, 4, 5, 5)
    assert torch.allclose(AttentionPooling(4, 3.0)(x), GemPooling(3.0)(x), atol=1e-6)
