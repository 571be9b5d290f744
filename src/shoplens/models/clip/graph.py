"""From an ONNX file with dynamically quantised layers to a graph of ours, in floats.

The file's weights are 8-bit integers with a scale for each column, and it rounds activations to 8
bits as it runs. Here weights are multiplied by their scales and activations stay in float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from shoplens.errors import ModelError
from shoplens.models.clip.head import Adapter, Linear

Stored = Literal["int8", "fp32"]
"""How the graph stores weights: `int8` as the file does, multiplied by their scales when the graph
is loaded; `fp32` as the products. Both compute the same."""

PIXELS, VECTORS = "pixels", "vectors"
"""Names of the graph's input and output."""
_IR_VERSION = 8
"""Of the ONNX file; stated so that every version of `onnx` writes the same bytes."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layer:
    """A quantised product of matrices: x W, with W = integers * scales."""

    activations: str
    """x, in floats."""
    integers: str
    scales: str
    output: str
    """x W, in floats."""

    @property
    def name(self) -> str:
        """What its bias is named after: `vision_model.encoder.layers.0.mlp.fc1`."""
        return self.output.removesuffix("/MatMul_output_0").strip("/").replace("/", ".")


def token_graph(
    source: bytes,
    *,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    head: Sequence[Linear] = (),
    adapters: Mapping[str, Adapter] | None = None,
    stored: Stored = "int8",
) -> tuple[bytes, int]:
    """Return a graph from raw bytes to the class token, or to what a head makes of it.

    Args:
        source: the ONNX file, whose first output is a product of the class token after the last
            normalisation.
        mean: per channel (R, G, B), in grey levels.
        std: likewise; pixels become (x - mean) / std.
        head: layers, each for vectors scaled to unit length; none gives the tokens.
        adapters: what is added to the weights of layers, by the layer's name as in `float_weights`.
        stored: how weights are stored.

    Returns:
        A graph from (n, s, s, 3) uint8 to (n, d) float32, not of unit length; and d.

    Raises:
        ModelError: the file is none of this kind.
    """
    model = _read(source)
    graph = model.graph
    layers = _layers(graph)
    weights = {weight.name: weight for weight in graph.initializer}
    nodes = _in_floats(graph.node, layers)
    made = [] if stored == "int8" else _multiplied(layers, weights)
    if stored == "int8":
        for layer in layers:
            nodes[:0] = _scaled(layer)
    nodes, added = _adapted(nodes, layers, adapters or {})
    last = next((layer for layer in layers if layer.output == graph.output[0].name), None)
    if last is None:
        raise ModelError("its first output is no quantised layer")
    before, pixels = _from_bytes(graph.input[0], mean, std)
    after, fitted, width = _head(last.activations, head, weights[last.integers].dims[0])
    kept, names = _needed([*before, *nodes, *after], VECTORS)
    output = helper.make_tensor_value_info(VECTORS, TensorProto.FLOAT, ["n", width])
    constants = [*graph.initializer, *made, *added, *fitted, *_normalisation(mean, std)]
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    made_model = helper.make_model(
        helper.make_graph(
            kept, "clip", [pixels], [output], [w for w in constants if w.name in names]
        ),
        producer_name="shoplens",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", opset)],
    )
    return bytes(made_model.SerializeToString(deterministic=True)), width


def float_weights(source: bytes) -> dict[str, Floats]:
    """Return the file's weights by name, those of quantised layers multiplied by their scales.

    A layer's weight is (inputs, outputs); it is named after the layer, as its bias is.

    Raises:
        ModelError: the file is none of this kind.
    """
    graph = _read(source).graph
    values = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    weights = {
        name: value for name, value in values.items() if value.dtype == np.float32 and value.ndim
    }
    for layer in _layers(graph):
        integers = values[layer.integers].astype(np.float32)
        weights[f"{layer.name}.weight"] = integers * values[layer.scales]
    return weights


def _read(source: bytes) -> onnx.ModelProto:
    try:
        return onnx.load_from_string(source)
    except Exception as error:  # What protobuf raises depends on its implementation.
        raise ModelError(f"no ONNX file: {error}") from error


def _layers(graph: onnx.GraphProto) -> list[Layer]:
    """Find DynamicQuantizeLinear, MatMulInteger, Cast, Mul, as ONNX Runtime's quantiser chains."""
    weights = {weight.name for weight in graph.initializer}
    zeros = {w.name for w in graph.initializer if not numpy_helper.to_array(w).any()}
    made_by = {name: node for node in graph.node for name in node.output}
    read_by: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            read_by.setdefault(name, []).append(node)
    layers = []
    for node in graph.node:
        if node.op_type != "MatMulInteger":
            continue
        quantised, integers, _, zero = node.input
        source = made_by.get(quantised)
        casts = read_by.get(node.output[0], [])
        products = read_by.get(casts[0].output[0], []) if len(casts) == 1 else []
        if not (
            source is not None
            and source.op_type == "DynamicQuantizeLinear"
            and integers in weights
            and zero in zeros
            and [n.op_type for n in (*casts, *products)] == ["Cast", "Mul"]
        ):
            raise ModelError(f"the layer {node.output[0]} is not quantised as expected")
        (both,) = (made_by[name] for name in products[0].input if name != casts[0].output[0])
        (scales,) = (name for name in both.input if name in weights)
        layers.append(Layer(source.input[0], integers, scales, products[0].output[0]))
    return layers


def _in_floats(nodes: Iterable[NodeProto], layers: Iterable[Layer]) -> list[NodeProto]:
    """Return nodes with each layer as one product of floats; what it needed before is left over."""
    of = {layer.output: layer for layer in layers}
    return [
        helper.make_node(
            "MatMul",
            [of[node.output[0]].activations, _weight(of[node.output[0]])],
            [node.output[0]],
            name=node.output[0],
        )
        if node.output[0] in of
        else node
        for node in nodes
    ]


def _weight(layer: Layer) -> str:
    return f"{layer.integers}.floats"


def _scaled(layer: Layer) -> list[NodeProto]:
    """Return what multiplies weights by their scales; ONNX Runtime does it once, on loading."""
    cast = f"{layer.integers}.cast"
    return [
        helper.make_node("Cast", [layer.integers], [cast], to=TensorProto.FLOAT),
        helper.make_node("Mul", [cast, layer.scales], [_weight(layer)]),
    ]


def _multiplied(layers: Iterable[Layer], weights: Mapping[str, TensorProto]) -> list[TensorProto]:
    return [
        numpy_helper.from_array(
            numpy_helper.to_array(weights[layer.integers]).astype(np.float32)
            * numpy_helper.to_array(weights[layer.scales]),
            _weight(layer),
        )
        for layer in layers
    ]


def _adapted(
    nodes: list[NodeProto], layers: Iterable[Layer], adapters: Mapping[str, Adapter]
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Add adapters to the weights of layers; ONNX Runtime does it once, on loading."""
    of = {layer.name: layer for layer in layers}
    if unknown := sorted(adapters.keys() - of.keys()):
        raise ModelError(f"there is no layer {unknown[0]} to adapt")
    made: list[NodeProto] = []
    weights: list[TensorProto] = []
    changed: dict[str, str] = {}
    for name, adapter in adapters.items():
        down, up, product, whole = (f"{name}.{part}" for part in ("down", "up", "added", "adapted"))
        weights += [
            numpy_helper.from_array(np.ascontiguousarray(values.T), key)
            for key, values in ((down, adapter.down), (up, adapter.up))
        ]
        made += [
            helper.make_node("MatMul", [down, up], [product]),
            helper.make_node("Add", [_weight(of[name]), product], [whole]),
        ]
        changed[of[name].output] = whole
    for node in nodes:
        if node.output[0] in changed:
            node.input[1] = changed[node.output[0]]
    # Before the layers that read them, after the scaled weights that they read.
    first = next((n for n, node in enumerate(nodes) if node.output[0] in changed), 0)
    return [*nodes[:first], *made, *nodes[first:]], weights


def _from_bytes(
    source: onnx.ValueInfoProto,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> tuple[list[NodeProto], onnx.ValueInfoProto]:
    """Return what normalises bytes for the input of the file, and the input that takes them."""
    size = source.type.tensor_type.shape.dim[-1].dim_value
    nodes = [
        helper.make_node("Cast", [PIXELS], ["pixels.floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["pixels.floats", "pixels.mean"], ["pixels.centred"]),
        helper.make_node("Div", ["pixels.centred", "pixels.std"], ["pixels.normalised"]),
        helper.make_node("Transpose", ["pixels.normalised"], [source.name], perm=[0, 3, 1, 2]),
    ]
    return nodes, helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["n", size, size, 3])


def _normalisation(
    mean: tuple[float, float, float], std: tuple[float, float, float]
) -> list[TensorProto]:
    return [
        numpy_helper.from_array(np.array(values, np.float32), f"pixels.{name}")
        for name, values in (("mean", mean), ("std", std))
    ]


def _head(
    token: str, head: Sequence[Linear], channels: int
) -> tuple[list[NodeProto], list[TensorProto], int]:
    """Return nodes and weights from the token to the output, and the output's width."""
    if head and head[0].weight.shape[1] != channels:
        raise ModelError(
            f"the head takes {head[0].weight.shape[1]} numbers and the token has {channels}"
        )
    nodes: list[NodeProto] = []
    weights: list[TensorProto] = []
    last = token
    for number, (weight, bias) in enumerate(head):
        unit, product, output, *names = (
            f"head.{number}.{part}" for part in ("unit", "product", "output", "weight", "bias")
        )
        nodes += [
            helper.make_node("LpNormalization", [last], [unit], axis=-1, p=2),
            helper.make_node("MatMul", [unit, names[0]], [product]),
            helper.make_node("Add", [product, names[1]], [output]),
        ]
        weights += [
            numpy_helper.from_array(np.ascontiguousarray(weight.T), names[0]),
            numpy_helper.from_array(bias, names[1]),
        ]
        last = output
    nodes.append(helper.make_node("Identity", [last], [VECTORS]))
    return nodes, weights, len(head[-1].bias) if head else channels


def _needed(nodes: list[NodeProto], output: str) -> tuple[list[NodeProto], set[str]]:
    """Return the nodes that an output is computed by, in order, and all names they read."""
    names, kept = {output}, []
    for node in reversed(nodes):
        if names.intersection(node.output):
            kept.append(node)
            names.update(node.input)
    return kept[::-1], names
