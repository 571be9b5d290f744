"""Put two models side by side in one graph, as an ensemble of equal weights has them.

    python scripts/join_models.py FIRST SECOND -o FOLDER --name NAME

Both take the same squares of raw bytes. A vector is the two networks' vectors of unit length, one
behind the other, and so are the centres. One model folder is prepared, loaded and found by its name
like any other.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, compose, helper

from shoplens.errors import ModelError
from shoplens.models.model_folder import read_model, write_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.models.recipe import Recipe

PIXELS, VECTORS = "pixels", "vectors"


def joined_graph(graphs: list[bytes]) -> tuple[bytes, int]:
    """Return one graph of several, and the dimension of its vectors.

    Raises `ModelError` when they do not take the same squares.
    """
    models = [onnx.load_from_string(graph) for graph in graphs]
    shapes = {model.graph.input[0].type.SerializeToString() for model in models}
    if len(shapes) != 1:
        raise ModelError("the models take squares of different sizes or layouts")
    nodes, weights, parts, dimension = [], [], [], 0
    for number, model in enumerate(models):
        graph = compose.add_prefix(model, f"{number}/").graph
        taken, given = graph.input[0].name, graph.output[0]
        nodes.append(helper.make_node("Identity", [PIXELS], [taken]))
        nodes += graph.node
        weights += graph.initializer
        parts.append(f"{given.name}/unit")
        nodes.append(helper.make_node("LpNormalization", [given.name], [parts[-1]], axis=-1, p=2))
        dimension += given.type.tensor_type.shape.dim[-1].dim_value
    nodes.append(helper.make_node("Concat", parts, [VECTORS], axis=-1))
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "joined",
            [onnx.ValueInfoProto(name=PIXELS, type=models[0].graph.input[0].type)],
            [helper.make_tensor_value_info(VECTORS, TensorProto.FLOAT, ["n", dimension])],
            weights,
        ),
        producer_name="shoplens",
        ir_version=models[0].ir_version,
        opset_imports=models[0].opset_import,
    )
    return bytes(made.SerializeToString(deterministic=True)), dimension


def joined_recipe(recipes: list[Recipe], name: str, dimension: int) -> Recipe:
    """Return the recipe of a joined graph.

    Raises `ModelError` when the models prepare photos differently.
    """
    first = recipes[0]
    if any(recipe.preparation() != first.preparation() for recipe in recipes):
        raise ModelError("the models prepare photos differently")
    # Where another one names the same thing in other words, the first one's words are kept.
    sources: dict[str, str] = {}
    for source in (source for recipe in recipes for source in recipe.sources):
        sources.setdefault(source.partition(", see ")[0].partition(", authors in ")[0], source)
    root = len(recipes) ** 0.5
    centres = {
        domain: tuple(
            float(f"{value / root:.7g}") for recipe in recipes for value in recipe.centres[domain]
        )
        for domain in first.centres
    }
    return replace(
        first,
        name=name,
        version="1",
        dimension=dimension,
        centres=centres,
        nested=(),
        pooling="two networks side by side, each: " + first.pooling,
        sources=tuple(sources.values()),
    )


def main() -> None:
    """Join, try, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs=2, metavar="MODEL", help="a name or a model folder")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    graphs, recipes = zip(*map(read_model, arguments.models), strict=True)
    weights, dimension = joined_graph(list(graphs))
    recipe = joined_recipe(list(recipes), arguments.name, dimension)
    size = recipe.input_size
    OnnxEncoder(weights, recipe).encode(np.zeros((1, size, size, 3), np.uint8), ["user"])
    write_model(arguments.output, weights, recipe, replace=True)
    print(arguments.output, f"{len(weights) / 1e6:.1f} MB", recipe.fingerprint(weights))


if __name__ == "__main__":
    main()
