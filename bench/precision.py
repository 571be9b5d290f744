"""The built-in model in float32, with float16 weights (as it ships) and in int8, in turn.

int8 is calibrated on the sample's photos. What it does to accuracy is in the table of steps. Then
the models that ship, as this processor computes them and as one without VNNI has to.
Needs what training needs: `python3 make.py bench precision` sees to it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import onnx
from catalogues import photos_at_hand
from end_to_end import bare_inference
from measuring import SAMPLE, finish, interleaved, table
from onnx import TensorProto, numpy_helper

from shoplens import read_gallery
from shoplens.models import BASE_MODEL, DEFAULT_MODEL, Encoder, load_encoder, sessions
from shoplens.models.byte_products import has_exact_byte_products
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.parallel import parallel_map
from shoplens.pixels.decoding import decode
from shoplens.records import Photo
from shoplens.sources import read_photo
from shoplens.training.graphs import to_int8

Pixels = npt.NDArray[np.uint8]
CALIBRATED, CHECKED, TIMED = 128, 64, 48
SHIPPED = (BASE_MODEL, f"{BASE_MODEL}-int8", DEFAULT_MODEL)


def to_fp32(weights: bytes) -> bytes:
    """Return a graph with weights stored as float16 with them as float32."""
    model = onnx.load_from_string(weights)
    stored = {w.name: w for w in model.graph.initializer if w.data_type == TensorProto.FLOAT16}
    kept = []
    for node in model.graph.node:
        weight = stored.get(node.input[0]) if node.op_type == "Cast" else None
        if weight is None:
            kept.append(node)
        else:
            values = numpy_helper.to_array(weight).astype(np.float32)
            weight.CopyFrom(numpy_helper.from_array(values, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return bytes(model.SerializeToString())


def prepared(photos: Sequence[Photo], encoder: Encoder) -> list[Pixels]:
    """Return photos as the model takes them, each (1, s, s, 3)."""
    target, side = encoder.decode_target()

    def one(photo: Photo) -> Pixels:
        decoded = decode(read_photo(photo), box=photo.box, target=target, target_side=side)
        return encoder.prepare(decoded, photo.domain)[0]

    return list(parallel_map(one, photos))


def speed(encoder: Encoder, photos: Sequence[Pixels]) -> Callable[[], float]:
    """Return photos/s of a model alone, one call a core."""

    def way() -> float:
        started = time.perf_counter()
        for _ in parallel_map(lambda pixels: encoder.encode(pixels, ["user"]), photos):
            pass
        return len(photos) / (time.perf_counter() - started)

    return way


def both_ways(rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return photos/s of the models that ship, as computed here and by the slower method."""
    if not has_exact_byte_products():
        raise SystemExit("this processor has no VNNI: it always needs the slower method")
    ways = {}
    for name in SHIPPED:
        here = load_encoder(name)
        with patch.object(sessions, "has_exact_byte_products", return_value=False):
            slower = load_encoder(name)
        ways[f"{name} here"] = partial(bare_inference, TIMED, here)
        ways[f"{name} slower"] = partial(bare_inference, TIMED, slower)
    figures = interleaved(ways, rounds)
    return {name: {way: figures[f"{name} {way}"] for way in ("here", "slower")} for name in SHIPPED}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calibrated", type=int, default=CALIBRATED)
    parser.add_argument("--checked", type=int, default=CHECKED)
    parser.add_argument("--timed", type=int, default=TIMED)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    ways = both_ways(arguments.rounds)
    folder = resources.files("shoplens.models") / "builtin" / BASE_MODEL
    shipped = (folder / "model.onnx").read_bytes()
    recipe = load_encoder(BASE_MODEL).recipe
    float32 = to_fp32(shipped)
    sample = [*read_gallery(SAMPLE)][: arguments.calibrated]
    graphs = {
        "float32": float32,
        "float16 weights, as it ships": shipped,
        "int8": to_int8(float32, prepared(sample, load_encoder(BASE_MODEL))),
    }
    encoders = {label: OnnxEncoder(weights, recipe) for label, weights in graphs.items()}
    name, photos = photos_at_hand(arguments.checked)
    pixels = prepared(photos, load_encoder(BASE_MODEL))
    vectors = {
        label: np.concatenate([encoder.encode(one, ["user"]) for one in pixels])
        for label, encoder in encoders.items()
    }
    timed = [pixels[i % len(pixels)] for i in range(arguments.timed)]
    figures = interleaved(
        {label: speed(encoder, timed) for label, encoder in encoders.items()}, arguments.rounds
    )
    base = figures["float32"]["median"]
    cosines = {label: np.sum(rows * vectors["float32"], axis=1) for label, rows in vectors.items()}
    rows = [
        [
            label,
            f"{f['median']:.1f}",
            f"{f['min']:.1f} .. {f['max']:.1f}",
            f"{f['median'] / base:.2f}",
            f"{len(graphs[label]) / 1e6:.1f}",
            f"{cosines[label].min():.4f}",
            f"{cosines[label].mean():.4f}",
        ]
        for label, f in figures.items()
    ]
    header = [
        "weights", "photos/s, median", "range", "ratio", "MB", "lowest cosine to float32", "mean"
    ]  # fmt: skip
    text = table(header, rows) + f"\n\nCosines over {len(photos)} photos of the {name}."
    rows = [
        [
            name,
            f"{way['here']['median']:.1f}",
            f"{way['slower']['median']:.1f}",
            f"{way['slower']['median'] / way['here']['median']:.2f}",
        ]
        for name, way in ways.items()
    ]
    header = ["shipped model", "photos/s", "photos/s, slower method", "ratio"]
    text += f"\n\n{table(header, rows)}"
    values = {
        "photos_per_second": figures,
        "ways": ways,
        "megabytes": {label: len(weights) / 1e6 for label, weights in graphs.items()},
        "cosine_lowest": {label: float(each.min()) for label, each in cosines.items()},
        "cosine_mean": {label: float(each.mean()) for label, each in cosines.items()},
    }
    finish("precision", "python3 make.py bench precision", values, text)


if __name__ == "__main__":
    main()
