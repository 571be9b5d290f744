"""From a network to ONNX graphs of three precisions: float32, float16 weights, int8."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from shoplens.errors import ModelError
from shoplens.models.hub.precision import halve
from shoplens.models.sessions import OnnxRuntimeSession
from shoplens.training.network import Network
from shoplens.training.tracing import INPUT, trace

Pixels = npt.NDArray[np.uint8]

_AFTER_MAP = ("/pool/", "/head/")
"""How nodes after the map of features are named: they cost next to nothing and stay in float."""
_LAYERS = ("Conv", "MatMul", "Gemm")
_FLOAT_LAYERS = (15, 30)
"""Numbers of first layers to leave in float, tried in turn. With nine, the built-in model's cosines
were hardly lower, but its mAP@1000 on the sample by 0.006."""
_INT8_LOWEST, _INT8_MEAN = 0.985, 0.996
"""Cosines with the float graph, on the photos that it is calibrated with, to stop at: a little more
than `shoplens.training.export.TOLERANCES` asks for on others."""


class _Features(nn.Module):
    """A network up to the vectors before they are scaled to unit length, which encoders do."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network.head(self.network.pooled(self.network.early(pixels)))
        return features


def to_onnx(network: Network, input_size: int) -> bytes:
    """Return a network as an ONNX file that takes any number of photos.

    The graph takes raw bytes and normalises them itself, so that its normalisation cannot be lost.
    Padding is fixed for the size it is made for.

    Args:
        network: the trained network.
        input_size: side of the squares in pixels.

    Returns:
        A graph from (n, input_size, input_size, 3) uint8 to (n, dimension) float32, not of unit
        length.
    """
    return trace(_Features(network).train(network.training), input_size)


def to_fp16(weights: bytes) -> bytes:
    """Return the same graph with its weights stored as float16: half the size, the same speed.

    Raises `ModelError` when a weight is beyond float16 (see `shoplens.models.hub.precision`).
    """
    model = onnx.load_from_string(weights)
    halve(model)
    return bytes(model.SerializeToString())


def to_int8(weights: bytes, calibration: Iterable[Pixels]) -> bytes:
    """Return a graph that computes in 8-bit integers: a quarter of the size, about twice the speed.

    Weights are quantised by channel, activations by the range they have on the photos, averaged
    over them. The first layers, whose error runs through all others, are computed in float32: as
    many as it takes to stay near the float graph.

    Args:
        weights: a graph that `to_onnx` made.
        calibration: photos, each (1, input_size, input_size, 3); a hundred are plenty.

    Raises:
        ModelError: there are no photos.
    """
    photos = list(calibration)
    if not photos:
        raise ModelError("int8 needs photos to calibrate with")
    expected = _unit_features(weights, photos)
    with tempfile.TemporaryDirectory() as scratch:
        prepared, quantised = Path(scratch, "prepared.onnx"), Path(scratch, "quantised.onnx")
        # Folds constants, among them padding, into the convolutions that can be quantised.
        quant_pre_process(onnx.load_from_string(weights), prepared, skip_symbolic_shape=True)
        nodes = onnx.load(prepared).graph.node
        after = [node.name for node in nodes if node.name.startswith(_AFTER_MAP)]
        layers = [n.name for n in nodes if n.op_type in _LAYERS and n.name not in after]
        for n_float in _FLOAT_LAYERS:
            quantize_static(
                prepared,
                quantised,
                _Calibration(photos),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[*layers[:n_float], *after],
                calibrate_method=CalibrationMethod.MinMax,
                # One photo with an outlier would widen a range for all: photos are averaged.
                extra_options={"WeightSymmetric": True, "CalibMovingAverage": True},
            )
            result = quantised.read_bytes()
            cosines = np.sum(_unit_features(result, photos) * expected, axis=1)
            if np.min(cosines) >= _INT8_LOWEST and np.mean(cosines) >= _INT8_MEAN:
                break
    return to_fp16(result)


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Hands photos to the quantiser one by one."""

    def __init__(self, photos: Sequence[Pixels]) -> None:
        self._photos: Iterator[Pixels] = iter(photos)

    def get_next(self) -> dict[str, Pixels] | None:
        photo = next(self._photos, None)
        return None if photo is None else {INPUT: photo}


def _unit_features(weights: bytes, photos: Sequence[Pixels]) -> npt.NDArray[np.float32]:
    # As the model will be run, so that the same products are added up in the same way.
    session = OnnxRuntimeSession(weights, None)
    rows = np.concatenate([session.run(photo) for photo in photos])
    unit: npt.NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
