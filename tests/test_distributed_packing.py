from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoplens.distributed.packing import PackedModel, pack_model
from shoplens.errors import MissingError, ModelError
from shoplens.models.linear_head import LinearHead


def sent(packed: PackedModel) -> PackedModel:
    """Return a model as it arrives on another machine."""
    arrived: PackedModel = pickle.loads(pickle.dumps(packed))
    return arrived


def test_a_model_that_ships_travels_by_name() -> None:
    packed, encoder = pack_model("lite0-products")
    assert not packed.files
    assert sent(packed).load().fingerprint == encoder.fingerprint


def test_a_folder_travels_with_its_files(make_model: Callable[..., Path]) -> None:
    folder = make_model()
    (folder / "notes.txt").write_text("stay here")
    packed, encoder = pack_model(folder)
    assert {Path(name).name for name in packed.files} == {"model.onnx", "recipe.json"}
    shutil.rmtree(folder)
    assert sent(packed).load().fingerprint == encoder.fingerprint


def test_a_zip_travels(make_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_model()
    with zipfile.ZipFile(tmp_path / "toy.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    packed, encoder = pack_model(tmp_path / "toy.zip")
    (tmp_path / "toy.zip").unlink()
    assert sent(packed).load().fingerprint == encoder.fingerprint


def test_the_members_of_an_ensemble_travel(make_model: Callable[..., Path], tmp_path: Path) -> None:
    members = [{"model": str(make_model("a"))}, {"model": "lite0-products", "weight": 3}]
    both = tmp_path / "both"
    both.mkdir()
    (both / "ensemble.json").write_text(json.dumps({"name": "both", "members": members}))
    packed, encoder = pack_model(both)
    shutil.rmtree(tmp_path / "models")
    shutil.rmtree(both)
    assert sent(packed).load().fingerprint == encoder.fingerprint


def test_the_members_of_a_zipped_ensemble_travel(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    a, b = make_model("a"), make_model("b")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for file in b.iterdir():
            archive.write(file, file.name)
    members = [{"model": str(a)}, {"model": "b.zip"}, {"model": "lite0-products"}]
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        described = json.dumps({"name": "both", "members": members})
        archive.writestr("ensemble.json", described)
        archive.write(tmp_path / "b.zip", "b.zip")
    packed, encoder = pack_model(tmp_path / "both.zip")
    shutil.rmtree(tmp_path / "models")
    for name in ("b.zip", "both.zip"):
        (tmp_path / name).unlink()
    assert sent(packed).load().fingerprint == encoder.fingerprint


def test_the_head_of_an_ensemble_travels(make_model: Callable[..., Path], tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.mkdir()
    described = {
        "name": "both",
        "members": [{"model": str(make_model())}, {"model": "lite0-lite2-products/lite0"}],
        "head": "head.npz",
        "nested": [4],
    }
    (both / "ensemble.json").write_text(json.dumps(described))
    weight = np.random.default_rng(0).normal(size=(8, 48 + 512)).astype(np.float32)
    head = LinearHead(weight, np.zeros(8, np.float32))
    (both / "head.npz").write_bytes(head.to_bytes())
    packed, encoder = pack_model(both, dimension=4)
    assert "model/head.npz" in packed.files
    shutil.rmtree(both)
    assert packed.load().fingerprint == encoder.fingerprint


def test_ensembles_in_ensembles_travel(make_model: Callable[..., Path], tmp_path: Path) -> None:
    model = str(make_model())
    for name in ("inner", "outer"):
        members = [{"model": model}, {"model": "lite0-lite2-products", "weight": 2}]
        (tmp_path / name).mkdir()
        text = json.dumps({"name": name, "members": members})
        (tmp_path / name / "ensemble.json").write_text(text)
        model = str(tmp_path / name)
    packed, encoder = pack_model(model)
    for name in ("models", "inner", "outer"):
        shutil.rmtree(tmp_path / name)
    loaded = sent(packed).load()
    assert loaded.fingerprint == encoder.fingerprint
    assert len(loaded.recipes) == 5


def test_leading_components_travel(make_model: Callable[..., Path]) -> None:
    packed, encoder = pack_model(make_model(nested=[16]), dimension=16)
    loaded = sent(packed).load()
    assert (loaded.dimension, loaded.fingerprint) == (16, encoder.fingerprint)


def test_another_model_of_that_name_is_refused(make_model: Callable[..., Path]) -> None:
    packed, _ = pack_model(make_model())
    with pytest.raises(ModelError, match="Install the same shoplens"):
        replace(packed, fingerprint="0" * 16).load()


def test_other_versions_are_refused(make_model: Callable[..., Path]) -> None:
    packed, _ = pack_model(make_model())
    versions = {**packed.versions, "onnxruntime": "0.1"}
    with pytest.raises(ModelError, match=r"onnxruntime .* instead of 0\.1"):
        replace(packed, versions=versions).load()


def test_a_model_that_is_not_there_is_told() -> None:
    with pytest.raises(MissingError, match="no model"):
        pack_model("lite3")
