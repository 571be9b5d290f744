"""Further outputs of a graph: tensors inside it, by their names."""

from __future__ import annotations

from collections.abc import Sequence

_MODEL_GRAPH, _GRAPH_OUTPUT, _OUTPUT_NAME = 7, 12, 1
"""Numbers of fields in ONNX's `ModelProto`, `GraphProto` and `ValueInfoProto`."""


def with_outputs(weights: bytes, names: Sequence[str]) -> bytes:
    """Return an ONNX file that also gives out tensors of its graph, after its own outputs.

    Protobuf merges messages that stand one after the other, so a model that has nothing but these
    outputs is added to the end. Needs no package that reads ONNX.

    Args:
        weights: the ONNX file.
        names: of tensors in its graph. ONNX Runtime refuses a file with a name that is not there.
    """
    outputs = [_message(_OUTPUT_NAME, name.encode()) for name in names]
    graph = b"".join(_message(_GRAPH_OUTPUT, output) for output in outputs)
    return weights + _message(_MODEL_GRAPH, graph)


def _message(field: int, content: bytes) -> bytes:
    """Return a field of protobuf's wire type 2: number and type, length, content."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])
