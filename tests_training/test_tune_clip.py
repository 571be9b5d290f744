"""Adapters are trained and a head is fitted to what they give, by the scripts, on small tables."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import build_clip
import tune_clip
from clip_reference import small_source
from product_tables import write_tables

from shoplens.models.clip.head import Head
from shoplens.models.clip.source import CLIP_B16
from shoplens.models.model_folder import read_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.training.tuning import Tuning


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file in place of the one that holds CLIP's weights."""
    small = small_source(tmp_path, 128, head_width=64)
    source = replace(CLIP_B16, sha256=hashlib.sha256(small).hexdigest(), n_bytes=len(small))
    for module in (build_clip, tune_clip):
        monkeypatch.setattr(module, "CLIP_B16", source)
    monkeypatch.setattr(build_clip, "DIMENSION", 8)
    path = tmp_path / "encoder.onnx"
    path.write_bytes(small)
    return path


def test_a_head_is_fitted_to_the_tuned_network(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPLENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build_clip, "render", lambda tables: None)
    monkeypatch.setattr(tune_clip, "TUNING", Tuning(steps=4, products=3, saved_every=2))
    write_tables(tmp_path / "tables")
    common = ["--tables", str(tmp_path / "tables"), "--from", str(file)]

    def tuned(name: str) -> Head:
        store, output = ["--store", str(tmp_path / "store")], tmp_path / name
        monkeypatch.setattr(sys, "argv", ["tune_clip.py", *common, *store, "-o", str(output)])
        tune_clip.main()
        return Head.from_bytes(output.read_bytes())

    first = tuned("tuned.npz")
    assert len(first.adapters) == 6
    assert all(adapter.up.any() for adapter in first.adapters.values())
    # Half of the tokens are lost, and the last steps: it ends with the same matrices.
    note = tmp_path / "store" / "tokens-1.done"
    n_views = int(note.read_text())
    tokens = np.load(tmp_path / "store" / "tokens-1.npy")
    note.write_text(str(n_views // 2))
    (tmp_path / "store" / "state.pt").unlink()
    again = tuned("again.npz")
    assert np.array_equal(np.load(tmp_path / "store" / "tokens-1.npy"), tokens)
    for name, adapter in first.adapters.items():
        assert all(map(np.array_equal, adapter, again.adapters[name]))

    head, folder = tmp_path / "head.npz", tmp_path / "model"
    adapters = ["--adapters", str(tmp_path / "tuned.npz"), "--head", str(head)]
    monkeypatch.setattr(sys, "argv", ["build_clip.py", *common, *adapters, "-o", str(folder)])
    build_clip.main()
    fitted = Head.from_bytes(head.read_bytes())
    assert fitted.adapters.keys() == first.adapters.keys()
    assert not np.allclose(fitted.layers[0].weight, first.layers[0].weight, atol=1e-3)
    weights, recipe = read_model(str(folder))
    pixels = np.zeros((1, 224, 224, 3), np.uint8)
    assert OnnxEncoder(weights, recipe).encode(pixels, ["user"]).shape == (1, 8)
    assert any("changes of low rank" in source for source in recipe.sources)
