from __future__ import annotations

from importlib import resources

import numpy as np
import pytest
import torch
from conftest import EXPORTER_WARNINGS
from torch.nn import functional

from shoplens.errors import ModelError
from shoplens.models import BASE_MODEL
from shoplens.training.backbones import load_backbone
from shoplens.training.lite import LITE_VARIANTS, SameConv, lite_stages, load_convolutions

pytestmark = [pytest.mark.filterwarnings(warning) for warning in EXPORTER_WARNINGS]


@pytest.mark.parametrize(
    ("variant", "millions"), [("lite0", 3.37), ("lite1", 4.11), ("lite2", 4.78)]
)
def test_each_variant_has_the_published_number_of_weights(variant: str, millions: float) -> None:
    # Published with a classifier of 1.28 M and unfolded normalisation: 4.65, 5.42 and 6.09 M.
    count = sum(parameter.numel() for parameter in lite_stages(variant).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.03)


def test_the_features_are_a_32nd_of_the_pixels_wide() -> None:
    features = lite_stages("lite0")(torch.zeros(2, 3, 64, 64))
    assert features.shape == (2, 1280, 2, 2)


@pytest.mark.parametrize(("side", "kernel"), [(7, 3), (8, 3), (9, 5), (10, 5)])
def test_a_stride_pads_as_tensorflow_does(side: int, kernel: int) -> None:
    convolution = SameConv(1, 1, kernel, stride=2)
    assert convolution.bias is not None
    found = convolution(torch.ones(1, 1, side, side))
    outputs = -(-side // 2)
    assert found.shape == (1, 1, outputs, outputs)
    total = max((outputs - 1) * 2 + kernel - side, 0)
    padded = functional.pad(torch.ones(1, 1, side, side), [total // 2, total - total // 2] * 2)
    expected = functional.conv2d(padded, convolution.weight, convolution.bias, stride=2)
    assert torch.allclose(found, expected)


def test_half_precision_on_a_processor_spares_convolutions_of_single_channels() -> None:
    """Their gradient in bfloat16 is many times slower there than in float32."""
    single = SameConv(8, 8, 3, stride=2, groups=8)
    all_channels = SameConv(8, 8, 1)
    x = torch.linspace(-1, 1, 8 * 81).reshape(1, 8, 9, 9).requires_grad_()
    expected = torch.autograd.grad(single(x).square().sum(), [x, single.weight])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = single(x)
        assert all_channels(x).dtype == torch.bfloat16
        assert single(x.bfloat16()).dtype == torch.float32
    assert y.dtype == torch.float32
    found = torch.autograd.grad(y.square().sum(), [x, single.weight])
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("variant", LITE_VARIANTS)
def test_published_weights_give_features_of_the_range_they_were_trained_in(variant: str) -> None:
    """A wrong fold of the normalisation shows in activations that die or saturate."""
    backbone = load_backbone(f"imagenet:{variant}")
    ramp = torch.linspace(-1, 1, 3 * 96 * 96).reshape(1, 3, 96, 96)
    with torch.no_grad():
        features = backbone.stages(ramp)
    assert torch.isfinite(features).all()
    assert 0.005 < (features > 0).float().mean() < 0.7
    assert 0.5 < features.max() <= 6.0


@pytest.mark.parametrize("variant", sorted(set(LITE_VARIANTS) - {"lite0"}))
def test_a_graph_of_another_architecture_is_refused(variant: str) -> None:
    folder = resources.files("shoplens.models") / "builtin"
    weights = (folder / "lite0-products" / "model.onnx").read_bytes()
    with pytest.raises(ModelError, match="convolutions"):
        load_convolutions(lite_stages(variant), weights)


def test_the_built_in_model_loads_into_its_architecture() -> None:
    backbone = load_backbone(f"builtin:{BASE_MODEL}")
    with torch.no_grad():
        features = backbone.stages(torch.zeros(1, 3, 64, 64))
    assert features.shape[1] == backbone.channels == 1280
    assert np.isfinite(features.numpy()).all()
