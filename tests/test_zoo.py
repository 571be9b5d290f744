from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import ROOT, Run
from onnx import numpy_helper

from shoplens.cache import cache_folder
from shoplens.errors import MissingError, ModelError, ShoplensError
from shoplens.models import list_models, load_encoder
from shoplens.models.model_folder import read_model, write_model
from shoplens.models.text import load_text_encoder
from shoplens.models.zoo import (
    EXTRAS,
    converted_folder,
    is_converted,
    is_hub_name,
    list_zoo,
)

DINO = "timm:vit_small_patch14_dinov2.lvd142m"


@pytest.fixture(autouse=True)
def _no_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have no torch, wherever the tests run, and a hub cache of their own."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("shoplens.models.hub.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def converted(make_model: Callable[..., Path]) -> Path:
    """A toy in the place of a converted DINOv2."""
    folder = converted_folder(DINO)
    folder.parent.mkdir(parents=True)
    make_model(DINO.replace(":", "_"), name=DINO).rename(folder)
    return folder


def test_names_of_other_libraries_are_told_from_paths() -> None:
    assert all(is_hub_name(f"{kind}:x") for kind in EXTRAS)
    for other in ("lite0-products", "timm", "C:\\models\\x", "models/timm", Path("timm:x"), ""):
        assert not is_hub_name(other)


def test_the_catalogue_is_whole() -> None:
    models = list_zoo()
    assert len({model.name for model in models}) == len(models) >= 12
    for model in models:
        assert is_hub_name(model.name)
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.repository)
        assert model.files
        assert model.about
        assert model.licence
        assert model.parameters > 1e6
        assert model.dimension > 0
        assert model.input_size > 0
        assert model.score is None or (model.score.source and model.score.of)
        # What transformers and open_clip name by repository is found there.
        if model.name.startswith("hf:"):
            assert model.name == f"hf:{model.repository}"


def test_parameters_stated_of_the_shipped_models_are_those_of_their_graphs() -> None:
    for info in list_models():
        folder = Path(str(resources.files("shoplens.models"))) / "builtin" / info.name
        kept = (onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8, onnx.TensorProto.INT32)
        weights = [
            numpy_helper.to_array(w)
            for file in folder.rglob("model.onnx")
            for w in onnx.load_from_string(file.read_bytes()).graph.initializer
            if w.data_type in kept and not w.name.endswith(("_scale", "_zero_point"))
        ]
        for file in folder.glob("head.npz"):
            with np.load(file) as head:
                weights += [head["weight"], head["bias"]]
        # But for constants of normalisations, which quantising keeps as weights: 12 of a network.
        assert info.parameters == pytest.approx(sum(w.size for w in weights), abs=24)
        assert info.score is not None


def test_a_model_is_at_hand_once_its_weights_are_in_the_hubs_cache_or_it_is_converted(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def at_hand() -> str:
        (model,) = [model for model in list_zoo() if model.name == DINO]
        return model.at_hand

    assert at_hand() == "no"
    snapshot = tmp_path / "hub" / "models--timm--vit_small_patch14_dinov2.lvd142m" / "snapshots"
    (snapshot / "0123").mkdir(parents=True)
    assert at_hand() == "no"
    (snapshot / "0123" / "model.safetensors").write_bytes(b"weights")
    assert at_hand() == "downloaded"
    request.getfixturevalue("converted")
    assert at_hand() == "converted"


def test_a_converted_model_is_used_without_its_library(converted: Path) -> None:
    encoder = load_encoder(DINO)
    assert encoder.recipe.name == DINO
    assert encoder.fingerprint == load_encoder(converted).fingerprint
    pixels = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(1, 16, 16, 3)
    assert encoder.encode(pixels, ["user"]).shape == (1, 48)


def test_precisions_are_kept_apart(converted: Path) -> None:
    assert is_converted(DINO, "fp32")
    assert not is_converted(DINO, "fp16")
    with pytest.raises(MissingError):
        load_encoder(DINO, precision="fp16")


@pytest.mark.parametrize(
    ("name", "extra"), [("timm:x", "timm"), ("open_clip:x/y", "open-clip"), ("hf:x/y", "hf")]
)
def test_what_must_be_converted_names_the_extra_for_it(name: str, extra: str) -> None:
    with pytest.raises(MissingError, match=rf"pip install 'shoplens\[{extra}\]'"):
        load_encoder(name)
    with pytest.raises(MissingError, match=rf"pip install 'shoplens\[{extra}\]'"):
        load_text_encoder(name)
    assert not cache_folder().exists() or not list(cache_folder().rglob("*.part"))


def test_models_that_ship_embed_no_texts() -> None:
    with pytest.raises(ModelError, match="no text tower"):
        load_text_encoder("lite0-products")


def test_other_files_under_the_same_name_are_another_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one")
    by_file, by_folder = f"timm:x@{file}", f"hf:{tmp_path}"
    before = converted_folder(by_file), converted_folder(by_folder)
    assert before == (converted_folder(by_file), converted_folder(by_folder))
    file.write_bytes(b"another")
    assert before[0] != converted_folder(by_file)
    assert before[1] != converted_folder(by_folder)


def test_names_become_folders_of_their_own_in_the_cache() -> None:
    names = ["hf:a/b", "hf:a_b", "hf:A/B", "hf:../../b", "hf:a/" + "b" * 300, "hf:a/ü"]
    folders = [converted_folder(name) for name in names]
    assert len({str(folder).lower() for folder in folders}) == len(names)
    for folder in folders:
        assert folder.parent == cache_folder() / "models"
        assert len(folder.name) < 120


def test_a_model_folder_is_written_whole_or_not_at_all(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, recipe = read_model(make_model())
    out = tmp_path / "new" / "folder"
    write_model(out, weights, recipe)
    before = load_encoder(out).fingerprint
    with pytest.raises(ShoplensError, match="--force"):
        write_model(out, weights, recipe)
    write_model(out, weights, recipe, replace=True)

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ShoplensError, match="No space left"):
        write_model(out, weights, recipe, replace=True)
    assert load_encoder(out).fingerprint == before
    assert [path.name for path in out.parent.iterdir()] == ["folder"]


def test_a_folder_with_anything_else_in_it_is_not_replaced(make_model: Callable[..., Path]) -> None:
    folder = make_model()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ShoplensError, match="is not a model folder"):
        write_model(folder, *read_model(folder), replace=True)
    assert (folder / "notes.txt").read_text() == "mine"


def test_models_of_other_libraries_are_listed(run: Run, converted: Path) -> None:
    listed, values = run("models"), run("models", "--json", "-").json
    assert listed.code == 0
    rows = [line.split("\t") for line in listed.out.splitlines()]
    assert [row[-1] for row in rows if row[0] == DINO] == ["converted"]
    by_name = {model["name"]: model for model in values["zoo"]}
    assert by_name[DINO]["at_hand"] == "converted"
    assert by_name[DINO]["expected_score"] is None
    assert by_name[DINO]["source"] == "https://huggingface.co/" + DINO.replace(":", "/")
    for shipped in values["models"]:
        assert shipped["at_hand"] == "built in"
        assert shipped["expected_score"]["metric"] == "map@1000"
        assert {"name", "version", "megabytes", "fingerprint", "sources"} <= shipped.keys()


def test_what_is_converted_is_not_converted_again(run: Run, converted: Path) -> None:
    result = run("models", "convert", DINO, "--json", "-")
    assert result.code == 0
    assert result.json == {"output": str(converted), "name": DINO, "converted": False}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["lite0-products"], 2, "does not begin with timm:"),
        (["timm:x", "-o", "."], 2, "is there already"),
        (["timm:x", "-o", "new"], 3, "shoplens[timm]"),
        (["timm:x", "--precision", "int8"], 2, "int8"),
    ],
)
def test_convert_says_what_is_wrong(run: Run, words: list[str], code: int, said: str) -> None:
    result = run("models", "convert", *words)
    assert result.code == code
    assert said in result.err


def test_json_of_the_listing_is_json(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "models.json"
    assert run("models", "--json", file).code == 0
    assert json.loads(file.read_text())["zoo"]
    assert run("models", "--json", file, "convert", "timm:x").code == 2


def test_the_shipped_models_score_is_the_measured_one() -> None:
    file = ROOT / "bench" / "results" / "end_to_end.json"
    runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
    run = runs["challenge, open development set"]
    (shipped,) = (info for info in list_models() if info.default)
    assert shipped.score is not None
    assert shipped.score.value == pytest.approx(run["metrics"]["map@1000"]["value"], abs=5e-5)
    assert run["model"] == {"name": shipped.name, "fingerprint": shipped.fingerprint}


def test_the_score_of_the_model_in_8_bit_integers_is_the_measured_one() -> None:
    file = ROOT / "bench" / "results" / "steps.json"
    steps = json.loads(file.read_text(encoding="utf-8"))["steps"]
    (small,) = (info for info in list_models() if info.name.endswith("-int8"))
    (measured,) = (step for step in steps if step["label"].endswith(small.name))
    assert small.score is not None
    assert small.score.value == pytest.approx(measured["scores"]["development"]["value"], abs=5e-5)
