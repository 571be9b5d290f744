from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from conftest import EXPORTER_WARNINGS
from onnx import numpy_helper

from shoplens.errors import ModelError
from shoplens.models import BASE_MODEL
from shoplens.models.heads import features_name
from shoplens.models.model_folder import read_model
from shoplens.models.outputs import with_outputs
from shoplens.models.sessions import OnnxRuntimeSession
from shoplens.training.backbones import Backbone
from shoplens.training.config import NetworkConfig
from shoplens.training.graphs import to_fp16, to_onnx
from shoplens.training.last_stages import LastStages
from shoplens.training.lite import lite_stages
from shoplens.training.network import Network

pytestmark = [pytest.mark.filterwarnings(warning) for warning in EXPORTER_WARNINGS]
SIDE = 64
PIXELS = np.random.default_rng(0).integers(0, 255, (2, SIDE, SIDE, 3), dtype=np.uint8)


def exported(variant: str, **settings: object) -> bytes:
    """Return the file of a network of random weights."""
    torch.manual_seed(0)
    grey = (127, 127, 127)
    backbone = Backbone(
        lite_stages(variant), 1280, (127.0,) * 3, (128.0,) * 3, "pad", grey, ("random",)
    )
    network = Network(backbone, NetworkConfig(dimension=8, **settings)).eval()  # type: ignore[arg-type]
    return to_onnx(network, SIDE)


def run(weights: bytes, last: LastStages) -> list[np.ndarray]:
    """Return vectors, what the head takes, and what the last stages take."""
    names = [str(features_name(weights)), last.input]
    return OnnxRuntimeSession(with_outputs(weights, names), None).run_all(PIXELS)


@pytest.mark.parametrize("variant", ["lite0", "lite2"])
@pytest.mark.parametrize(("pooling", "power"), [("gem", 3.0), ("gem", 2.5), ("mean", 1.0)])
def test_they_give_what_the_graph_gives(variant: str, pooling: str, power: float) -> None:
    weights = exported(variant, pooling=pooling, gem_power=power)
    last = LastStages(weights)
    assert last.pool.power == pytest.approx(power)
    _, features, maps = run(weights, last)
    with torch.no_grad():
        found = torch.nn.functional.normalize(last(torch.from_numpy(maps))).numpy()
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_unchanged_they_leave_the_built_in_model_as_it_is() -> None:
    weights, _ = read_model(BASE_MODEL)
    assert LastStages(weights).put_into(weights) == weights


@pytest.mark.parametrize("half", [False, True])
def test_what_is_put_back_is_what_the_graph_computes(half: bool) -> None:
    weights = exported("lite0")
    if half:
        weights = to_fp16(weights)
    last = LastStages(weights)
    before, _, maps = run(weights, last)
    with torch.no_grad():
        for value in last.trained().values():
            value.add_(0.05 * torch.randn_like(value))
    tuned = last.put_into(weights)
    after, features, same = run(tuned, last)
    assert np.array_equal(maps, same), "the stages before them changed"
    assert not np.allclose(before, after, atol=1e-3)
    with torch.no_grad():
        found = torch.nn.functional.normalize(last(torch.from_numpy(maps))).numpy()
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    kinds = [
        {t.name: numpy_helper.to_array(t).dtype for t in onnx.load_from_string(w).graph.initializer}
        for w in (weights, tuned)
    ]
    assert kinds[0] == kinds[1]


def test_networks_in_integers_are_refused() -> None:
    weights, _ = read_model("lite0-products-int8")
    with pytest.raises(ModelError, match="no EfficientNet-Lite in floating point"):
        LastStages(weights)
