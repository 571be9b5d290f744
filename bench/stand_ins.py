"""Models that cost next to nothing, to measure what is around a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from shoplens.models import RecipeEncoder
from shoplens.models.recipe import Recipe
from shoplens.records import Domain, Vectors


class Instant(RecipeEncoder):
    """An encoder that answers at once, with photos prepared as a recipe says."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = replace(recipe, centres={})
        self.fingerprint = "instant"
        self._vector = np.full(recipe.dimension, recipe.dimension**-0.5, dtype=np.float32)

    def encode(self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]) -> Vectors:
        """Return the same unit vector for each photo."""
        return np.broadcast_to(self._vector, (len(pixels), len(self._vector)))


def write_toy_model(folder: Path, input_size: int = 64, cells: int = 16) -> None:
    """Write a model folder whose vectors are averages over a grid: 3 * cells² numbers."""
    side = input_size // cells
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool", ["planes"], ["grid"], kernel_shape=[side, side], strides=[side, side]
        ),
        helper.make_node("Flatten", ["grid"], ["features"]),
    ]
    dimension = 3 * cells**2
    takes = helper.make_tensor_value_info(
        "pixels", TensorProto.UINT8, ["n", input_size, input_size, 3]
    )
    gives = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", dimension])
    graph = helper.make_graph(nodes, "toy", [takes], [gives])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    recipe = Recipe(
        name="toy",
        version="1",
        dimension=dimension,
        input_size=input_size,
        fit="squash",
        pixels="uint8_nhwc",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        licence="CC0-1.0",
        sources=("made by a benchmark",),
    )
    weights = bytes(model.SerializeToString())
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(weights)
    (folder / "recipe.json").write_text(recipe.to_json(weights), encoding="utf-8")
