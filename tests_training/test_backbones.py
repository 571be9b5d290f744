from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shoplens.errors import DataError, MissingError
from shoplens.models import BASE_MODEL
from shoplens.training import config
from shoplens.training.backbones import load_backbone
from shoplens.training.network import Network


@pytest.mark.parametrize("name", ["lite2", "resnet:50", ":x"])
def test_a_name_of_no_known_form_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="must be one of builtin:"):
        load_backbone(name)


def test_unknown_imagenet_weights_are_refused() -> None:
    with pytest.raises(DataError, match="lite0, lite1, lite2"):
        load_backbone("imagenet:lite9")


def test_a_missing_model_folder_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"model\.onnx"):
        load_backbone(f"file:{tmp_path}")


def test_the_default_model_can_be_named_as_such() -> None:
    default, named = load_backbone("builtin:default"), load_backbone(f"builtin:{BASE_MODEL}")
    assert default.sources == named.sources
    expected = named.stages.state_dict()
    found = default.stages.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_configuration_that_names_no_backbone_takes_the_default_model() -> None:
    named = load_backbone(f"builtin:{BASE_MODEL}").stages.state_dict()
    found = load_backbone(config.NetworkConfig().backbone).stages.state_dict()
    assert all(torch.equal(found[key], value) for key, value in named.items())


def test_random_weights_are_not_the_published_ones() -> None:
    published = load_backbone("imagenet:lite0").stages.state_dict()
    made = load_backbone("imagenet:lite0", random_weights=True).stages.state_dict()
    name = "0.conv.weight"
    assert not torch.allclose(published[name], made[name])


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224.augreg_in21k"])
def test_a_timm_backbone_makes_vectors_with_its_own_normalisation(name: str) -> None:
    pytest.importorskip("timm", reason="needs the extra [hub]", exc_type=ImportError)
    backbone = load_backbone(f"timm:{name}", random_weights=True)
    assert backbone.mean[0] in (pytest.approx(123.675), pytest.approx(127.5))
    network = Network(backbone, config.NetworkConfig(dimension=8, pooling="mean"))
    vectors = network(torch.randint(256, (2, 224, 224, 3), dtype=torch.uint8))
    assert vectors.shape == (2, 8)
    vectors.sum().backward()
    assert all(p.grad is not None for p in network.stages.parameters() if p.requires_grad)


def test_an_open_clip_backbone_makes_vectors_with_its_own_normalisation() -> None:
    pytest.importorskip("open_clip", reason="needs the extra [hub]", exc_type=ImportError)
    backbone = load_backbone("open_clip:ViT-S-32-alt", random_weights=True)
    assert backbone.mean[0] == pytest.approx(0.48145466 * 255)
    network = Network(backbone, config.NetworkConfig(dimension=8, pooling="mean"))
    vectors = network(torch.randint(256, (2, 224, 224, 3), dtype=torch.uint8))
    assert vectors.shape == (2, 8)
