"""A graph's head, its last linear layers: what goes into it, and another in its place.

Works on the bytes of an ONNX file and needs no package that reads ONNX.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shoplens.errors import ModelError
from shoplens.models.protobuf import fields, in_field, number_field

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_WEIGHT, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE = 1, 5, 11, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _NODE_KIND, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INTEGER, _ATTRIBUTE_KIND = 1, 3, 20
_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 6, 11
_TENSOR_DIMENSION, _TENSOR_KIND, _TENSOR_NAME, _TENSOR_BYTES = 1, 2, 8, 9
_VALUE_NAME, _VALUE_TYPE = 1, 2
"""Numbers of fields in ONNX's messages."""
_INTEGER, _FLOAT = 2, 1
"""Of an attribute, and of a tensor."""

Floats = npt.NDArray[np.float32]


class _Node(NamedTuple):
    raw: bytes
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reads: frozenset[str]
    """Its inputs, and what graphs inside it read."""


class _Graph:
    """An ONNX file taken apart.

    Raises `ModelError` when it is none.
    """

    def __init__(self, weights: bytes) -> None:
        self.around: list[bytes] = []
        """The model's fields beside the graph."""
        self.others: list[bytes] = []
        """The graph's fields beside the following."""
        self.nodes: list[_Node] = []
        self.weights: dict[str, bytes] = {}
        self.inputs: dict[str, bytes] = {}
        self.outputs: list[str] = []
        for model in fields(weights):
            if model.number != _MODEL_GRAPH:
                self.around.append(model.raw)
                continue
            for field in fields(model.content):
                if field.number == _GRAPH_NODE:
                    self.nodes.append(_node(field.content))
                elif field.number == _GRAPH_WEIGHT:
                    self.weights[_text(field.content, _TENSOR_NAME)] = field.raw
                elif field.number == _GRAPH_INPUT:
                    self.inputs[_text(field.content, _VALUE_NAME)] = field.raw
                elif field.number == _GRAPH_OUTPUT:
                    self.outputs.append(_text(field.content, _VALUE_NAME))
                elif field.number != _GRAPH_VALUE:
                    self.others.append(field.raw)
        if not self.outputs or not self.nodes:
            raise ModelError("no ONNX file: it has no graph")

    def features(self) -> str:
        """Return the name of what the head takes; the output where the graph has no head."""
        made_by = {name: node for node in self.nodes for name in node.outputs}
        live = self._depends_on_photos()

        def linear(name: str) -> str | None:
            """Return what a product with constants is of."""
            node = made_by.get(name)
            if node is None or node.kind not in ("Gemm", "MatMul"):
                return None
            return node.inputs[0] if [n in live for n in node.inputs[:2]] == [True, False] else None

        features = name = self.outputs[0]
        while (node := made_by.get(name)) is not None:
            if node.kind in ("Identity", "LpNormalization"):
                name = node.inputs[0]
                continue
            if node.kind == "Add":
                moving = [each for each in node.inputs if each in live]
                before = linear(moving[0]) if len(moving) == 1 else None
            else:
                before = linear(name)
            if before is None:
                break
            name = before
            # At unit length it is looked at in any case.
            while (node := made_by.get(name)) is not None and node.kind == "LpNormalization":
                name = node.inputs[0]
            features = name
        return features

    def keep(self, *names: str) -> None:
        """Leave out what these tensors do not need."""
        self.nodes, read = _needed(self.nodes, names)
        self.weights = {name: raw for name, raw in self.weights.items() if name in read}

    def with_output(self, nodes: Sequence[bytes], weights: Sequence[bytes], width: int) -> bytes:
        """Return the file with further nodes, the last of which gives the only output.

        Args:
            nodes: of the graph.
            weights: that the nodes read, as tensors.
            width: of the output's rows.
        """
        (output,) = _node(nodes[-1]).outputs
        parts = [
            *(in_field(_GRAPH_NODE, node) for node in (*(n.raw for n in self.nodes), *nodes)),
            *self.others,
            *self.weights.values(),
            *(in_field(_GRAPH_WEIGHT, tensor) for tensor in weights),
            *self.inputs.values(),
            in_field(_GRAPH_OUTPUT, _rows_of_floats(output, width)),
        ]
        return b"".join([*self.around, in_field(_MODEL_GRAPH, b"".join(parts))])

    def unused(self, word: str) -> str:
        """Return a name that no tensor has."""
        taken = {
            *self.weights,
            *self.inputs,
            *(name for node in self.nodes for name in node.outputs),
        }
        while word in taken:
            word += "_"
        return word

    def _depends_on_photos(self) -> set[str]:
        live = self.inputs.keys() - self.weights.keys()
        for node in self.nodes:
            if live & node.reads:
                live |= set(node.outputs)
        return set(live)


def with_features(weights: bytes, dimension: int, n_features: int) -> bytes:
    """Return a graph that gives its output and what its head takes, side by side.

    Args:
        weights: the ONNX file.
        dimension: d, of its output.
        n_features: f, of what its head takes.

    Returns:
        A graph of the same input. Its output is (n, d + f) float32: both at unit length.

    Raises:
        ModelError: it is no ONNX file.
    """
    graph = _Graph(weights)
    vector, features, both = map(graph.unused, ("both.vector", "both.features", "both"))
    nodes = [
        _made("LpNormalization", [graph.outputs[0]], vector),
        _made("LpNormalization", [graph.features()], features),
        _made("Concat", [vector, features], both, axis=1),
    ]
    return graph.with_output(nodes, [], dimension + n_features)


def only_features(weights: bytes, n_features: int) -> bytes:
    """Return a graph of the same input that gives what its head takes, (n, f) at unit length.

    Args:
        weights: the ONNX file.
        n_features: f.

    Raises `ModelError` when it is no ONNX file.
    """
    graph = _Graph(weights)
    features = graph.features()
    graph.keep(features)
    node = _made("LpNormalization", [features], graph.unused("features"))
    return graph.with_output([node], [], n_features)


def features_name(weights: bytes) -> str | None:
    """Return the name of the tensor that a graph's head takes.

    The head is what comes last: linear layers with constant weights, and scaling to unit length.
    None: the graph has no such layer, and its output stands for the features.

    Raises `ModelError` when it is no ONNX file.
    """
    graph = _Graph(weights)
    features = graph.features()
    return None if features == graph.outputs[0] else features


def with_head(weights: bytes, weight: Floats, bias: Floats) -> bytes:
    """Return a graph with another head: x becomes weight x + bias, with x at unit length.

    Args:
        weights: the ONNX file.
        weight: (d, f), with f the number of features that its head takes.
        bias: (d,)

    Returns:
        A graph of the same input. Its output is (n, d) float32, not of unit length.

    Raises:
        ModelError: it is no ONNX file.
    """
    graph = _Graph(weights)
    features = graph.features()
    graph.keep(features)
    names = [graph.unused(f"adapted.{part}") for part in ("unit", "weight", "product", "bias")]
    unit, matrix, product, shift = names
    nodes = [
        _made("LpNormalization", [features], unit),
        _made("MatMul", [unit, matrix], product),
        _made("Add", [product, shift], graph.unused("adapted")),
    ]
    tensors = [_tensor(matrix, weight.T), _tensor(shift, bias)]
    return graph.with_output(nodes, tensors, len(bias))


def _needed(nodes: Sequence[_Node], outputs: Iterable[str]) -> tuple[list[_Node], set[str]]:
    """Return the nodes that outputs are computed by, in order, and all names they read."""
    names, kept = set(outputs), []
    for node in reversed(nodes):
        if names.intersection(node.outputs):
            kept.append(node)
            names |= node.reads
    return kept[::-1], names


def _node(message: bytes) -> _Node:
    inputs, outputs, kind, reads = [], [], "", set()
    for field in fields(message):
        if field.number == _NODE_INPUT:
            inputs.append(field.content.decode())
        elif field.number == _NODE_OUTPUT:
            outputs.append(field.content.decode())
        elif field.number == _NODE_KIND:
            kind = field.content.decode()
        elif field.number == _NODE_ATTRIBUTE:
            reads |= _read_inside(field.content)
    return _Node(message, kind, tuple(inputs), tuple(outputs), frozenset({*inputs, *reads}))


def _read_inside(attribute: bytes) -> set[str]:
    """Return the names that the graphs of an attribute (branches, loops) read."""
    names: set[str] = set()
    for field in fields(attribute):
        if field.number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
            for inner in fields(field.content):
                if inner.number == _GRAPH_NODE:
                    names |= _node(inner.content).reads
                elif inner.number == _GRAPH_OUTPUT:
                    names.add(_text(inner.content, _VALUE_NAME))
    return names


def _text(message: bytes, number: int) -> str:
    return next((f.content.decode() for f in fields(message) if f.number == number), "")


def _made(kind: str, inputs: Iterable[str], output: str, **integers: int) -> bytes:
    attributes = [
        in_field(_ATTRIBUTE_NAME, name.encode())
        + number_field(_ATTRIBUTE_INTEGER, value)
        + number_field(_ATTRIBUTE_KIND, _INTEGER)
        for name, value in integers.items()
    ]
    return b"".join(
        [
            *(in_field(_NODE_INPUT, name.encode()) for name in inputs),
            in_field(_NODE_OUTPUT, output.encode()),
            in_field(_NODE_KIND, kind.encode()),
            *(in_field(_NODE_ATTRIBUTE, attribute) for attribute in attributes),
        ]
    )


def _tensor(name: str, values: Floats) -> bytes:
    return b"".join(
        [
            *(number_field(_TENSOR_DIMENSION, length) for length in values.shape),
            number_field(_TENSOR_KIND, _FLOAT),
            in_field(_TENSOR_NAME, name.encode()),
            in_field(_TENSOR_BYTES, np.ascontiguousarray(values, dtype="<f4").tobytes()),
        ]
    )


def _rows_of_floats(name: str, width: int) -> bytes:
    """Return what says that an output is (n, width) float32."""
    rows, columns = in_field(2, b"n"), number_field(1, width)  # A dimension's name; its length.
    shape = in_field(1, rows) + in_field(1, columns)
    kind = in_field(1, number_field(1, _FLOAT) + in_field(2, shape))
    return in_field(_VALUE_NAME, name.encode()) + in_field(_VALUE_TYPE, kind)
