"""Make the built-in model lite0-lite2-products: two networks that see sellers' photos differently.

    python scripts/build_pair.py SECOND --tables FOLDER

SECOND is an 8-bit EfficientNet-Lite2 model folder (`shoplens export --precision int8` of
examples/training/steps/lite2-products.yaml). The first network is the built-in lite0-products-int8
at a larger input. It sees sellers' photos without their plain borders, where the second one sees
the whole photo. So a search finds products that fill the picture as well as those with room around
them.
"""

from __future__ import annotations

import argparse
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
from product_views import Row, Tables, spread_out

from shoplens import embed, load_encoder
from shoplens.adaptation.closed_form import principal_components
from shoplens.models import Encoder
from shoplens.models.ensemble import Ensemble, EnsembleFile, Member, MemberEntry
from shoplens.models.linear_head import LinearHead
from shoplens.models.model_folder import HEAD_FILE, read_model, write_ensemble
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.records import Photo, PhotoSet

INPUT_SIZE = 448
"""Of the first network, in pixels; it was trained at 320 and is alone used at 384."""
DIMENSION = 512
NESTED = (64, 128, 256)
OTHERS = ("clothing", "gso", "dreambooth")
"""Sources of photos that are taken beside groceries and renders."""
MOST = 1500
"""Photos of a source and domain that the head is fitted to, evenly spaced."""
HEAD_SOURCES = [
    "common head fitted on: GroceryStore dataset, Clothing dataset, renders of Sweet Home 3D's "
    "furniture (as the networks)",
    "common head fitted on: Google Scanned Objects, and renders of them (CC BY 4.0), Google LLC",
    "common head fitted on: renders of the YCB objects (CC BY 4.0), Calli et al. 2015",
    "common head fitted on: DreamBooth's objects (CC BY 4.0, some photos from Unsplash), Ruiz et "
    "al. 2023",
]
NAME, VERSION = "lite0-lite2-products", "3"
FOLDER = Path(__file__).parents[1] / "src" / "shoplens" / "models" / "builtin" / NAME


def at_size(graph: bytes, size: int) -> bytes:
    """Return the graph of a convolutional network, (n, s, s, 3), for squares of another size."""
    model = onnx.load_from_string(graph)
    for side in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
        side.dim_value = size
    # Sizes of the maps inside, which are found again when it is loaded.
    del model.graph.value_info[:]
    return bytes(model.SerializeToString(deterministic=True))


def training_photos(tables: Tables) -> list[Row]:
    """Return the photos that components are fitted to; none of products that are kept out."""
    kept_out = tables.scans_kept_out()
    groceries = tables.groceries()
    others = [row for of in OTHERS for row in tables.rows("train-photos", of)]
    scans = [row for row in tables.rows("scan-renders") if row.product not in kept_out]
    groups = defaultdict(list)
    for row in (*groceries, *others, *scans, *tables.rows("renders")):
        groups[row.source, row.domain].append(row)
    return [row for group in groups.values() for row in spread_out(group, MOST)]


def components(encoder: Encoder, tables: Tables) -> LinearHead:
    """Fit the head: the principal components of an encoder's vectors of training photos."""
    rows = training_photos(tables)
    photos = PhotoSet(
        [
            Photo(number, row.name, tables.folder / row.name, row.domain)
            for number, row in enumerate(rows)
        ]
    )
    found = embed(
        photos, encoder, cache=True, progress=lambda *told: print(*told, end="\r", flush=True)
    )
    if found.failures:
        raise SystemExit(f"photos failed: {found.failures_by_reason()}")
    groups = np.array([f"{row.source} {row.domain}" for row in rows])
    covariance = np.zeros((encoder.dimension, encoder.dimension))
    for group in np.unique(groups):
        vectors = found.vectors[groups == group].astype(np.float64)
        apart = vectors - vectors.mean(axis=0)
        covariance += apart.T @ apart / len(apart)
    # What float16 holds takes half the room.
    weight = principal_components(covariance)[:DIMENSION].astype(np.float16).astype(np.float32)
    return LinearHead(weight, np.zeros(DIMENSION, np.float32))


def main() -> None:
    """Write the two networks, the head and `ensemble.json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("second", type=Path, metavar="SECOND", help="a model folder")
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, metavar="FOLDER")
    arguments = parser.parse_args()
    weights, recipe = read_model("lite0-products-int8")
    recipe = replace(recipe, input_size=INPUT_SIZE, trim=("seller",))
    networks = {
        name: (graph, replace(of, name=f"{NAME}/{name}"))
        for name, (graph, of) in {
            "lite0": (at_size(weights, INPUT_SIZE), recipe),
            "lite2": read_model(arguments.second),
        }.items()
    }
    joined = Ensemble(NAME, [Member(OnnxEncoder(*each), 1.0) for each in networks.values()])
    head = components(joined, Tables(arguments.tables))
    described = EnsembleFile(
        NAME,
        [MemberEntry(name) for name in networks],
        VERSION,
        HEAD_FILE,
        list(NESTED),
        HEAD_SOURCES,
    )
    shutil.rmtree(arguments.output, ignore_errors=True)
    write_ensemble(
        arguments.output,
        msgspec.json.encode(described) + b"\n",
        networks,
        head.to_bytes(half=True),
    )
    print(arguments.output, load_encoder(arguments.output).fingerprint)


if __name__ == "__main__":
    main()
