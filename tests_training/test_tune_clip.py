"""A head is fitted and last layers are adapted to it, by the scripts, on small tables."""

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
from product_views import SOURCES, Tables

from shoplens.models.clip.build import build_clip as clip_model
from shoplens.models.clip.head import Head
from shoplens.models.clip.source import CLIP_B16
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


def test_the_last_layer_is_adapted_to_the_head(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPLENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build_clip, "render", lambda tables: None)
    monkeypatch.setattr(tune_clip, "N_LAYERS", 1)
    monkeypatch.setattr(tune_clip, "TUNING", Tuning(steps=4, products=3, saved_every=2))
    write_tables(tmp_path / "tables")
    common = ["--tables", str(tmp_path / "tables"), "--from", str(file)]
    common += ["--head", str(tmp_path / "head.npz")]
    monkeypatch.setattr(sys, "argv", ["build_clip.py", *common])
    build_clip.main()
    fitted = Head.from_bytes((tmp_path / "head.npz").read_bytes())
    assert not fitted.adapters

    def tuned(name: str) -> Head:
        store, output = ["--store", str(tmp_path / "store")], tmp_path / name
        monkeypatch.setattr(sys, "argv", ["tune_clip.py", *common, *store, "-o", str(output)])
        tune_clip.main()
        return Head.from_bytes(output.read_bytes())

    first = tuned("tuned.npz")
    assert len(first.adapters) == 6
    assert all(adapter.up.any() for adapter in first.adapters.values())
    # Of two runs.
    for adapter in first.adapters.values():
        one, other = np.split(adapter.up, 2, axis=1)
        assert one.shape == other.shape == (len(adapter.up), tune_clip.RANK)
        assert (one != other).any()
    for layer, before in zip(first.layers, fitted.layers, strict=True):
        assert all(map(np.array_equal, layer, before))
    for domain, centre in first.centres.items():
        assert 0 < np.abs(centre - fitted.centres[domain]).max() < 0.3
    # Half of the tokens are lost, and the last steps: it ends with the same matrices.
    note = tmp_path / "store" / "tokens-1.done"
    n_views = int(note.read_text())
    tokens = np.load(tmp_path / "store" / "tokens-1.npy")
    note.write_text(str(n_views // 2))
    (tmp_path / "store" / "state-1.pt").unlink()
    again = tuned("again.npz")
    assert np.array_equal(np.load(tmp_path / "store" / "tokens-1.npy"), tokens)
    for name, adapter in first.adapters.items():
        assert all(map(np.array_equal, adapter, again.adapters[name]))
    # The centres are those of the views as the whole model sees them.
    weights, recipe = clip_model(build_clip.CLIP_B16, file.read_bytes(), first)
    encoder = OnnxEncoder(weights, replace(recipe, centres={}))
    tables = Tables(tmp_path / "tables")
    views = [view for source in SOURCES for view in tables.views(source)]
    vectors = build_clip.tokens_of(views, tables, encoder)
    found = build_clip.centres(vectors, build_clip.by_group(views))
    for domain, centre in first.centres.items():
        np.testing.assert_allclose(found[domain], centre, atol=0.01)
    assert any("changes of low rank" in source for source in recipe.sources)
