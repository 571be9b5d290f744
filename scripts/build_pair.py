"""Make the built-in model lite0-lite2-products: two networks that see sellers' photos differently.

    python scripts/build_pair.py SECOND

SECOND is an 8-bit EfficientNet-Lite2 model folder (`shoplens export --precision int8` of
examples/training/steps/lite2-products.yaml). The first network is the built-in lite0-products-int8
at a larger input. It sees sellers' photos without their plain borders, where the second one sees
the whole photo. So a search finds products that fill the picture as well as those with room around
them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import onnx

from shoplens.models import load_encoder
from shoplens.models.model_folder import read_model, write_model

INPUT_SIZE = 448
"""Of the first network, in pixels; it was trained at 320 and is alone used at 384."""
NAME = "lite0-lite2-products"
FOLDER = Path(__file__).parents[1] / "src" / "shoplens" / "models" / "builtin" / NAME


def at_size(graph: bytes, size: int) -> bytes:
    """Return the graph of a convolutional network, (n, s, s, 3), for squares of another size."""
    model = onnx.load_from_string(graph)
    for side in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
        side.dim_value = size
    # Sizes of the maps inside, which are found again when it is loaded.
    del model.graph.value_info[:]
    return bytes(model.SerializeToString(deterministic=True))


def main() -> None:
    """Write the two networks and `ensemble.json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("second", type=Path, metavar="SECOND", help="a model folder")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, metavar="FOLDER")
    arguments = parser.parse_args()
    second = read_model(arguments.second)
    weights, recipe = read_model("lite0-products-int8")
    recipe = replace(
        recipe, name="lite0-products-448-int8", input_size=INPUT_SIZE, trim=("seller",)
    )
    write_model(arguments.output / "lite0", at_size(weights, INPUT_SIZE), recipe, replace=True)
    write_model(arguments.output / "lite2", *second, replace=True)
    members = [{"model": "lite0"}, {"model": "lite2"}]
    described = json.dumps({"name": NAME, "version": "2", "members": members})
    (arguments.output / "ensemble.json").write_text(described + "\n", encoding="utf-8")
    print(arguments.output, load_encoder(arguments.output).fingerprint)


if __name__ == "__main__":
    main()
