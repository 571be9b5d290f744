from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from shoplens.errors import ModelError
from shoplens.models import getting, load_encoder, unit
from shoplens.models.clip.build import MEAN, STD
from shoplens.models.clip.head import Adapter, Head, Linear
from shoplens.models.getting import get_model

WIDTH = 32
MODEL = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": 2, "width": WIDTH, "head_width": 16,
                   "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 2},
}  # fmt: skip


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Head:
    random = np.random.default_rng(2)

    def values(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float16).astype(np.float32)

    layers = (Linear(values(12, WIDTH), values(12)), Linear(values(8, 12), values(8)))
    made = Head(layers, {"user": values(8) / 9, "seller": values(8) / 9})
    monkeypatch.setattr(getting, "head_file", made.to_bytes)
    return made


def saved(folder: Path, mean: float = MEAN[0] / 255) -> tuple[str, Any]:
    """Save a small model in open_clip's layout; return its name and itself."""
    folder.mkdir()
    torch.manual_seed(0)
    network = open_clip.model.CLIP(**MODEL).eval()
    state = {name: value.contiguous().clone() for name, value in network.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    means = [mean, *(value / 255 for value in MEAN[1:])]
    prepared = {"mean": means, "std": [value / 255 for value in STD]}
    settings = {"model_cfg": MODEL, "preprocess_cfg": {**prepared, "interpolation": "bicubic"}}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    return f"open_clip:{folder}", network


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPLENS_CACHE", str(tmp_path / "cache"))


def test_the_model_is_made_of_open_clips_weights(tmp_path: Path, head: Head) -> None:
    name, network = saved(tmp_path / "clip")
    assert get_model("clip-b16", file=name).made
    encoder = load_encoder("clip-b16")
    pixels = np.random.default_rng(1).integers(256, size=(1, 224, 224, 3), dtype=np.uint8)
    x = torch.from_numpy((pixels - np.array(MEAN)) / np.array(STD)).float().permute(0, 3, 1, 2)
    network.visual.proj = None
    with torch.no_grad():
        expected = unit(network.visual(x).numpy())
    for weight, bias in head.layers:
        expected = unit(expected @ weight.T + bias)
    expected = expected - head.centres["seller"]
    found = encoder.embed([(pixels,)], ["seller"])
    assert found == pytest.approx(unit(expected), abs=2e-3)
    # The same preparation and head as of the file that pip downloads.
    recipe = encoder.recipe
    assert (recipe.name, recipe.fit, recipe.input_size) == ("clip-b16", "pad", 224)
    assert any("taken from" in source and "open_clip" in source for source in recipe.sources)


def test_adapters_are_added_to_the_weights_of_open_clips_layers(
    tmp_path: Path, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, network = saved(tmp_path / "clip")
    random = np.random.default_rng(3)
    block = network.visual.transformer.resblocks[1]
    q, k, v = block.attn.in_proj_weight.detach().chunk(3)
    weights = {
        "self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v,
        "self_attn.out_proj": block.attn.out_proj.weight.detach(),
        "mlp.fc1": block.mlp.c_fc.weight.detach(), "mlp.fc2": block.mlp.c_proj.weight.detach(),
    }  # fmt: skip
    adapters = {}
    for layer, weight in weights.items():
        n_out, n_in = weight.shape
        down, up = (
            random.normal(size=shape, scale=0.2).astype(np.float16).astype(np.float32)
            for shape in ((2, n_in), (n_out, 2))
        )
        adapters[f"vision_model.encoder.layers.1.{layer}"] = Adapter(down, up)
        weight.add_(torch.from_numpy(up @ down))  # The network's own: these share its memory.
    monkeypatch.setattr(getting, "head_file", replace(head, adapters=adapters).to_bytes)
    assert get_model("clip-b16", file=name).made
    pixels = np.random.default_rng(1).integers(256, size=(1, 224, 224, 3), dtype=np.uint8)
    found = load_encoder("clip-b16").embed([(pixels,)], ["seller"])
    x = torch.from_numpy((pixels - np.array(MEAN)) / np.array(STD)).float().permute(0, 3, 1, 2)
    network.visual.proj = None
    with torch.no_grad():
        expected = unit(network.visual(x).numpy())
    for weight, bias in head.layers:
        expected = unit(expected @ weight.T + bias)
    assert found == pytest.approx(unit(expected - head.centres["seller"]), abs=2e-3)


def test_another_network_is_refused(tmp_path: Path, head: Head) -> None:
    name, _ = saved(tmp_path / "other", mean=0.5)
    with pytest.raises(ModelError, match="is not OpenAI's CLIP"):
        get_model("clip-b16", file=name)
