"""From a tower of another library to a model folder that runs without it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from shoplens._version import __version__
from shoplens.errors import ModelError
from shoplens.models.hub.congruence import Congruence, compare_preparation
from shoplens.models.hub.loading import load_tower
from shoplens.models.hub.padding import fold_padding
from shoplens.models.hub.precision import halve
from shoplens.models.hub.tower import ImageTower
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.models.recipe import Recipe
from shoplens.models.unit_length import unit
from shoplens.models.zoo import Precision
from shoplens.pixels.decoding import Decoded, decode

LOWEST_COSINE: dict[Precision, float] = {"fp32": 0.9999, "fp16": 0.999}
"""What the converted model's vectors must reach against the library's, on every photo looked at."""
_N_PHOTOS = 8
_OPSET = 17
_LARGEST_FILE = 2**31 - 2**20
"""Bytes that fit into one ONNX file (a limit of protobuf), a little left for the graph."""


@dataclass(frozen=True)
class Conversion:
    """A model folder's contents, and how near they come to the model they were made of."""

    weights: bytes
    recipe: Recipe
    lowest_cosine: float
    """Between the converted model's vectors and the library's network's, of the same pixels."""
    congruence: Congruence
    """Our pixels against the library's own."""


def convert(model: str, precision: Precision = "fp32") -> Conversion:
    """Convert a model by name (see `shoplens.models.hub.loading.load_tower`).

    Raises:
        MissingError: the library or a file is not there.
        ModelError: the model is not known here, too large, or comes out different.
    """
    return convert_tower(load_tower(model), precision)


def convert_tower(tower: ImageTower, precision: Precision = "fp32") -> Conversion:
    """Convert a loaded tower.

    Raises `ModelError` when it cannot be traced, is too large for one ONNX file, or its vectors
    are not those of the network it was made of.
    """
    _refuse_large(tower, precision)
    weights, dimension = graph_of(tower, precision)
    recipe = tower.recipe(dimension, f"converted to ONNX, {precision}: shoplens {__version__}")
    encoder = OnnxEncoder(weights, recipe)
    photos = sample_photos()
    cosine = lowest_cosine(tower, encoder, photos)
    # Asked this way round, numbers that are not finite are refused as well.
    if not cosine >= LOWEST_COSINE[precision]:
        raise ModelError(
            f"model {tower.model}: the {precision} graph's vectors are too far from the network's "
            f"on {len(photos)} photos: lowest cosine {cosine:.5f}, at least "
            f"{LOWEST_COSINE[precision]} is asked for"
        )
    congruence = compare_preparation(encoder, tower.transform, photos)
    return Conversion(weights, recipe, cosine, congruence)


def sample_photos(n_each: int = _N_PHOTOS // 2) -> list[Decoded]:
    """Return photos of the sample that ships: upright, lying, and square ones."""
    sample = resources.files("shoplens") / "sample"
    photos = []
    for folder in ("gallery", "queries"):
        files = sorted((sample / folder).iterdir(), key=lambda file: file.name)
        photos += [decode(file.read_bytes()) for file in files[:n_each]]
    return photos


class _Graph(nn.Module):
    """A network that takes raw bytes: what is normalised inside cannot be forgotten outside."""

    def __init__(self, tower: ImageTower) -> None:
        super().__init__()
        self.network = tower.network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(tower.preparation.mean), persistent=False)
        self.register_buffer("std", torch.tensor(tower.preparation.std), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        normalised = (pixels.to(torch.float32) - self.mean) / self.std
        features: Tensor = self.network(normalised.permute(0, 3, 1, 2))
        return features.flatten(1)


def _refuse_large(tower: ImageTower, precision: Precision) -> None:
    n_values = sum(values.numel() for values in tower.network.state_dict().values())
    width = 4 if precision == "fp32" else 2
    if n_values * width <= _LARGEST_FILE:
        return
    advice = "; fp16 halves it: `shoplens models convert NAME -o FOLDER --precision fp16`"
    raise ModelError(
        f"model {tower.model} has {n_values / 1e6:,.0f} million weights: {precision} would be "
        f"{n_values * width / 1e9:.1f} GB, and one ONNX file holds 2.1 GB"
        f"{advice if n_values * 2 <= _LARGEST_FILE else ''}"
    )


def graph_of(tower: ImageTower, precision: Precision) -> tuple[bytes, int]:
    """Return a tower as an ONNX file from (n, s, s, 3) uint8, and the length of its vectors.

    Raises `ModelError` when it cannot be traced.
    """
    size = tower.preparation.input_size
    module = _Graph(tower).eval()
    pixels = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    with (
        tempfile.TemporaryDirectory() as scratch,
        torch.no_grad(),
        _plain_attention(),
        warnings.catch_warnings(),
    ):
        # Of its own age, and of sizes that become numbers of the graph (as they should).
        warnings.simplefilter("ignore")
        dimension = int(module(pixels[:1]).shape[1])
        # Into a folder: what goes beyond 2 GB is laid beside the file.
        file = Path(scratch, "model.onnx")
        try:
            torch.onnx.export(
                module,
                (pixels,),
                str(file),
                input_names=["pixels"],
                output_names=["features"],
                dynamic_axes={"pixels": {0: "n"}, "features": {0: "n"}},
                dynamo=False,
                opset_version=_OPSET,
            )
        except (RuntimeError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
            raise ModelError(
                f"model {tower.model} cannot be traced to ONNX: {str(error).splitlines()[0]}"
            ) from error
        graph = onnx.load(file)
    if precision == "fp16":
        halve(graph)
    weights = bytes(graph.SerializeToString())
    return fold_padding(weights, {"pixels": pixels.numpy()}), dimension


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Have torch compute attention by operators that ONNX has."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def lowest_cosine(tower: ImageTower, encoder: OnnxEncoder, photos: Sequence[Decoded]) -> float:
    """Return the lowest cosine of an encoder's vectors with a tower's, of the same pixels."""
    module = _Graph(tower).eval()
    cosines = []
    for photo in photos:
        (views,) = encoder.prepare(photo, "seller")
        with torch.no_grad():
            expected = module(torch.from_numpy(np.array(views[:1]))).numpy()
        found = encoder.encode(views[:1], ["seller"])
        cosines.append(float(np.sum(unit(expected) * found)))
    return min(cosines)
