from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shoplens.errors import DataError, ModelError
from shoplens.models.clip.graph import float_weights
from shoplens.models.clip.source import CLIP_B16
from shoplens.training import backbones, config
from shoplens.training.backbones import load_backbone
from shoplens.training.clip_stages import clip_stages
from shoplens.training.loop import train
from shoplens.training.network import Network

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from clip_reference import Tower, small_source

WIDTH, HEAD_WIDTH = 128, 64


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small file of the kind that holds CLIP's weights."""
    return small_source(tmp_path_factory.mktemp("small"), WIDTH, head_width=HEAD_WIDTH)


@pytest.fixture
def file(small: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small file in place of the real one."""
    source = replace(CLIP_B16, sha256=hashlib.sha256(small).hexdigest(), n_bytes=len(small))
    monkeypatch.setattr(backbones, "CLIP_B16", source)
    path = tmp_path / "encoder.onnx"
    path.write_bytes(small)
    return path


def test_stages_compute_the_class_token(small: bytes) -> None:
    pixels = np.random.default_rng(1).integers(256, size=(2, 224, 224, 3), dtype=np.uint8)
    from shoplens.models.clip.build import MEAN, STD

    normalised = (pixels - np.array(MEAN)) / np.array(STD)
    x = torch.from_numpy(normalised.astype(np.float32)).permute(0, 3, 1, 2)
    token = clip_stages(float_weights(small))(x).detach().numpy()[:, :, 0, 0]
    expected = Tower(small, HEAD_WIDTH).class_token(pixels)
    assert token == pytest.approx(expected, abs=1e-4)


def test_stages_can_be_frozen_anywhere(file: Path) -> None:
    pixels = torch.randint(256, (2, 224, 224, 3), dtype=torch.uint8)
    backbone = load_backbone(f"clip:{file}")
    assert (backbone.channels, len(backbone.stages)) == (WIDTH, 4)
    found = []
    for frozen in range(5):
        settings = config.NetworkConfig(dimension=8, pooling="mean", frozen_stages=frozen)
        torch.manual_seed(0)
        network = Network(backbone, settings).eval()
        with torch.no_grad():
            found.append(network.late(network.early(pixels)))
    for vectors in found[1:]:
        assert torch.allclose(vectors, found[0], atol=1e-5)


def test_gem_would_cut_the_token_off(file: Path) -> None:
    with pytest.raises(DataError, match="set it to mean"):
        Network(load_backbone(f"clip:{file}"), config.NetworkConfig())


def test_random_weights_are_not_those_of_the_file(file: Path) -> None:
    published = load_backbone(f"clip:{file}").stages.state_dict()
    made = load_backbone(f"clip:{file}", random_weights=True).stages.state_dict()
    assert not torch.allclose(published["1.q.weight"], made["1.q.weight"])


def test_weights_of_another_network_are_refused(small: bytes) -> None:
    weights = float_weights(small)
    with pytest.raises(ModelError, match="not the weights of CLIP"):
        clip_stages({"other": weights["vision_model.pre_layrnorm.weight"]})
    del weights["vision_model.encoder.layers.1.mlp.fc2.bias"]
    with pytest.raises(ModelError, match=r"missing.*layers\.1\.mlp\.fc2\.bias"):
        clip_stages(weights)


def test_late_layers_are_trained_on_stored_tokens(
    file: Path, tiny: config.Config, tmp_path: Path
) -> None:
    network = tiny.network.model_copy(
        update={
            "backbone": f"clip:{file}",
            "random_weights": False,
            "frozen_stages": 2,
            "pooling": "mean",
        }
    )
    views = tiny.views.model_copy(update={"input_size": 224})
    run = tiny.model_copy(update={"network": network, "views": views})
    report = train(run, tmp_path / "run")
    assert report.steps == 6
    saved = torch.load(tmp_path / "run" / "model.pt", weights_only=True)["network"]
    start = load_backbone(f"clip:{file}").stages.state_dict()
    assert torch.equal(saved["stages.1.q.weight"], start["1.q.weight"])
    assert not torch.equal(saved["stages.2.q.weight"], start["2.q.weight"])
