from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import shoplens
from shoplens import Photo, PhotoSet, embed
from shoplens.errors import MissingError, ModelError
from shoplens.models.hub.convert import convert_tower
from shoplens.models.hub.on_torch import tower_encoder
from shoplens.models.hub.preparation import Preparation
from shoplens.models.hub.tower import ImageTower
from shoplens.models.onnx_encoder import OnnxEncoder


def tower() -> ImageTower:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=4), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 16),
    ).eval()  # fmt: skip
    preparation = Preparation(
        32, "squash", "bicubic", 1.0, (120.0, 110.0, 100.0), (60.0, 60.0, 55.0)
    )
    return ImageTower(
        "timm:tiny", network, preparation, lambda image: torch.zeros(3, 32, 32), "mean", "MIT", ()
    )


def pixels(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def test_torch_and_onnx_agree() -> None:
    encoder = tower_encoder(tower())
    conversion = convert_tower(tower())
    onnx = OnnxEncoder(conversion.weights, conversion.recipe)
    shown = pixels(5)
    np.testing.assert_allclose(
        encoder.encode(shown, ["user"] * 5), onnx.encode(shown, ["user"] * 5), atol=1e-5
    )
    assert encoder.recipe.preparation() == onnx.recipe.preparation()
    assert encoder.recipe.dimension == 16


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batches_change_nothing(batch_size: int) -> None:
    one = tower_encoder(tower(), batch_size=1)
    many = tower_encoder(tower(), batch_size=batch_size)
    shown = pixels(7)
    np.testing.assert_allclose(
        one.encode(shown, ["user"] * 7), many.encode(shown, ["user"] * 7), atol=1e-6
    )
    assert many.encode(shown[:0], []).shape == (0, 16)


@pytest.mark.parametrize(("precision", "lowest"), [("bf16", 0.999), ("fp16", 0.9999)])
def test_half_precision_is_near_and_has_a_fingerprint_of_its_own(
    precision: str, lowest: float
) -> None:
    full, half = tower_encoder(tower()), tower_encoder(tower(), precision=precision)  # type: ignore[arg-type]
    shown = pixels(6)
    cosines = (full.encode(shown, ["user"] * 6) * half.encode(shown, ["user"] * 6)).sum(axis=1)
    assert cosines.min() > lowest
    assert full.fingerprint != half.fingerprint
    assert full.fingerprint == tower_encoder(tower()).fingerprint


def test_weights_that_round_to_the_same_numbers_have_one_fingerprint() -> None:
    rounded = tower()
    rounded.network.to(torch.bfloat16).to(torch.float32)
    assert tower_encoder(rounded).fingerprint != tower_encoder(tower()).fingerprint
    coarse = tower_encoder(tower(), precision="bf16")
    assert tower_encoder(rounded, precision="bf16").fingerprint == coarse.fingerprint


def test_other_weights_have_another_fingerprint() -> None:
    other = tower()
    with torch.no_grad():
        next(other.network.parameters())[0, 0, 0, 0] += 1
    assert tower_encoder(other).fingerprint != tower_encoder(tower()).fingerprint


def test_a_compiled_network_sees_one_size_of_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def compiled(network: nn.Module) -> None:
        network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))

    # Compiling itself needs a C++ compiler, which a machine may lack.
    monkeypatch.setattr(nn.Module, "compile", compiled)
    encoder = tower_encoder(tower(), compiled=True, batch_size=4)
    shown = pixels(6)
    found = encoder.encode(shown, ["user"] * 6)
    assert sizes == [4, 4]
    np.testing.assert_allclose(found, tower_encoder(tower()).encode(shown, ["user"] * 6), atol=1e-6)


def test_a_device_out_of_memory_takes_smaller_batches() -> None:
    small = tower()

    class Full(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small.network

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 2:
                raise torch.OutOfMemoryError("full")
            result: Tensor = self.inner(x)
            return result

    full = ImageTower(
        small.model, Full(), small.preparation, small.transform, small.pooling, small.licence, ()
    )
    encoder = tower_encoder(full, batch_size=8)
    shown = pixels(5)
    np.testing.assert_allclose(
        encoder.encode(shown, ["user"] * 5),
        tower_encoder(tower()).encode(shown, ["user"] * 5),
        atol=1e-6,
    )
    assert encoder.batch_size == 2


def test_photos_are_embedded_in_its_batches() -> None:
    files = sorted(Path(shoplens.__file__).parent.glob("sample/gallery/*.jpg"))[:10]
    photos = PhotoSet([Photo(i, f.name, f, "seller") for i, f in enumerate(files)])
    encoder = tower_encoder(tower(), batch_size=4)
    conversion = convert_tower(tower())
    single = embed(photos, OnnxEncoder(conversion.weights, conversion.recipe))
    np.testing.assert_allclose(embed(photos, encoder).vectors, single.vectors, atol=1e-5)


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingError, match="no device 'cuda:7'"):
        tower_encoder(tower(), device="cuda:7")
    with pytest.raises(MissingError, match="abacus"):
        tower_encoder(tower(), device="abacus")


def test_pixels_of_another_size_are_refused() -> None:
    with pytest.raises(ModelError, match="32, 32, 3"):
        tower_encoder(tower()).encode(np.zeros((1, 16, 16, 3), np.uint8), ["user"])
