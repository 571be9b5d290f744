from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from shoplens.errors import ModelError
from shoplens.models import unit
from shoplens.models.clip.build import MEAN, STD, build_clip
from shoplens.models.clip.graph import float_weights
from shoplens.models.clip.head import Head, Linear
from shoplens.models.clip.source import CLIP_B16
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.training.adapters import LastLayers, averaged
from shoplens.training.clip_stages import clip_stages

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from clip_reference import small_source

WIDTH, RANK = 128, 2


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small file of the kind that holds CLIP's weights, with two layers."""
    return small_source(tmp_path_factory.mktemp("small"), WIDTH, head_width=64)


@pytest.fixture(scope="module")
def stages(small: bytes) -> torch.nn.Sequential:
    return clip_stages(float_weights(small)).eval()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(256, size=(2, 224, 224, 3), dtype=np.uint8)


def normalised(pixels: np.ndarray) -> torch.Tensor:
    values = (pixels - np.array(MEAN)) / np.array(STD)
    return torch.from_numpy(values.astype(np.float32)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_before_training_the_class_token_is_that_of_the_tower(
    stages: torch.nn.Sequential, pixels: np.ndarray, n_layers: int
) -> None:
    before = stages[: -1 - n_layers](normalised(pixels))[:, :, :, 0].transpose(1, 2)
    network = LastLayers(stages, n_layers, RANK)
    expected = stages(normalised(pixels))[:, :, 0, 0]
    assert torch.allclose(network(before), expected, atol=1e-5)
    assert len(network.trained()) == 12 * n_layers


@pytest.mark.parametrize("n_layers", [1, 2])
def test_a_model_with_the_adapters_computes_what_was_trained(
    small: bytes, stages: torch.nn.Sequential, pixels: np.ndarray, n_layers: int
) -> None:
    torch.manual_seed(0)
    network = LastLayers(stages, n_layers, RANK)
    for value in network.trained().values():
        value.data = torch.randn_like(value) / 5
    adapters = network.adapters()
    for name, (down, up) in adapters.items():
        assert (down == down.astype(np.float16)).all(), name
        assert (up == up.astype(np.float16)).all(), name
    before = stages[: -1 - n_layers](normalised(pixels))[:, :, :, 0].transpose(1, 2)
    with torch.no_grad():
        token = unit(network(before).numpy())
    random = np.random.default_rng(2)
    weight = random.normal(size=(8, WIDTH)).astype(np.float16).astype(np.float32)
    centre = random.normal(size=8).astype(np.float32) / 9
    head = Head((Linear(weight, centre),), {"user": centre, "seller": centre}, adapters)
    found = OnnxEncoder(*build_clip(CLIP_B16, small, head)).encode(pixels, ["user", "seller"])
    assert found == pytest.approx(unit(unit(token @ weight.T + centre) - centre), abs=3e-3)
    whole = OnnxEncoder(*build_clip(CLIP_B16, small, Head((), {}, adapters)))
    assert whole.encode(pixels, ["user", "seller"]) == pytest.approx(token, abs=3e-3)
    plain = Head(head.layers, head.centres)
    untuned = OnnxEncoder(*build_clip(CLIP_B16, small, plain)).encode(pixels, ["user", "seller"])
    assert np.abs(found - untuned).max() > 0.05


def test_the_mean_of_networks_has_the_mean_of_their_changes(stages: torch.nn.Sequential) -> None:
    torch.manual_seed(0)
    networks = [LastLayers(stages, 2, RANK) for _ in range(3)]
    for network in networks:
        for value in network.trained().values():
            value.data = torch.randn_like(value)
    mean = averaged(networks)
    assert mean.trained().keys() == networks[0].trained().keys()
    changes = [
        {name: up @ down for name, (down, up) in network.adapters().items()}
        for network in (*networks, mean)
    ]
    for name, change in changes[-1].items():
        expected = np.mean([one[name] for one in changes[:-1]], axis=0)
        np.testing.assert_allclose(change, expected, atol=0.02)
        assert np.abs(expected).max() > 1
    # The networks are as they were.
    assert {len(adapter.down) for adapter in networks[0].adapters().values()} == {RANK}
    assert {len(adapter.down) for adapter in mean.adapters().values()} == {3 * RANK}


@pytest.mark.parametrize("n_layers", [0, 3])
def test_only_layers_that_there_are_can_be_adapted(
    stages: torch.nn.Sequential, n_layers: int
) -> None:
    with pytest.raises(ModelError, match="the tower has 2"):
        LastLayers(stages, n_layers, RANK)
