"""Further outputs of a graph: tensors inside it, by their names."""

from __future__ import annotations

from collections.abc import Sequence

from shoplens.models.protobuf import in_field

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
    outputs = [in_field(_OUTPUT_NAME, name.encode()) for name in names]
    graph = b"".join(in_field(_GRAPH_OUTPUT, output) for output in outputs)
    return weights + in_field(_MODEL_GRAPH, graph)
