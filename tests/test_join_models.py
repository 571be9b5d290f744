"""Two networks in one graph (scripts/join_models.py), and the built-in model that was made so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import ROOT, toy_graph

from shoplens.errors import ModelError
from shoplens.models import load_encoder, unit
from shoplens.models.model_folder import read_model
from shoplens.models.onnx_encoder import OnnxEncoder

sys.path.append(str(ROOT / "scripts"))
import join_models

MakeModel = Callable[..., Path]


def centres(seed: int) -> dict[str, list[float]]:
    random = np.random.default_rng(seed)
    return {domain: random.normal(size=48, scale=0.05).tolist() for domain in ("user", "seller")}


def turned_graph() -> bytes:
    model = onnx.load_from_string(toy_graph())
    model.graph.node[-1].output[0] = "straight"
    model.graph.node.append(onnx.helper.make_node("Cos", ["straight"], ["y"]))
    return bytes(model.SerializeToString())


@pytest.fixture
def folders(make_model: MakeModel) -> list[Path]:
    return [
        make_model("straight", centres=centres(0), sources=["fitted on: x, see a", "start: one"]),
        make_model(
            "turned",
            weights=turned_graph(),
            centres=centres(1),
            sources=["fitted on: x, see b", "start: two"],
        ),
    ]


def test_vectors_stand_side_by_side(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "both"
    words = ["join_models", *map(str, folders), "-o", str(output), "--name", "both"]
    monkeypatch.setattr(sys, "argv", words)
    join_models.main()
    both = load_encoder(output)
    assert (both.name, both.dimension) == ("both", 96)
    pixels = np.random.default_rng(2).integers(256, size=(3, 16, 16, 3), dtype=np.uint8)
    domains = ("user", "seller", "user")
    parts, middle = [], []
    for folder in folders:
        weights, recipe = read_model(folder)
        encoder = OnnxEncoder(weights, replace(recipe, centres={}))
        parts.append(encoder.encode(pixels, domains))
        middle.append([recipe.centres[domain] for domain in domains])
    # Unit vectors of two parts are the root of 2 long together.
    expected = unit((np.concatenate(parts, axis=1) - np.concatenate(middle, axis=1)) / 2**0.5)
    assert both.embed([(one,) for one in pixels[:, None]], domains) == pytest.approx(
        expected, abs=1e-5
    )
    assert read_model(output)[1].sources == ("fitted on: x, see a", "start: one", "start: two")


def test_models_that_see_other_pixels_are_refused(make_model: MakeModel) -> None:
    graphs, recipes = zip(
        *map(read_model, [make_model("a"), make_model("b", fit="pad"), make_model("c")]),
        strict=True,
    )
    with pytest.raises(ModelError, match="prepare photos differently"):
        join_models.joined_recipe(list(recipes), "x", 96)
    with pytest.raises(ModelError, match="squares of different sizes"):
        join_models.joined_graph([graphs[0], toy_graph(size=32)])


def test_the_built_in_pair_begins_with_the_model_in_8_bit_integers() -> None:
    pixels = np.random.default_rng(0).integers(256, size=(1, 384, 384, 3), dtype=np.uint8)
    both, alone = (
        OnnxEncoder(weights, replace(recipe, centres={})).encode(pixels, ["user"])
        for weights, recipe in map(read_model, ("lite0-lite2-products", "lite0-products-int8"))
    )
    assert unit(both[:, :512]) == pytest.approx(alone, abs=1e-4)
    assert np.linalg.norm(both[:, :512]) == pytest.approx(0.5**0.5, abs=1e-4)
