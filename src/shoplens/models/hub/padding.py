"""Padding as a part of convolutions, where an exporter has written it as a step of its own."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper

Array = npt.NDArray[Any]

_AXES = 4
"""Of a map of features: n, c, h, w."""


def fold_padding(weights: bytes, inputs: dict[str, Array]) -> bytes:
    """Return a graph whose convolutions pad for themselves.

    A step that only adds zeros copies the whole map, and keeps ONNX Runtime from handing maps
    between convolutions in the layout it computes in. Nothing else changes: the same numbers are
    multiplied and added.

    Args:
        weights: an ONNX file.
        inputs: an example of what it takes; amounts of padding that the graph computes are those
            that it computes for this, so they must not depend on more than the input's size.
    """
    model = onnx.load_from_string(weights)
    graph = model.graph
    pads = [node for node in graph.node if node.op_type == "Pad" and _adds_zeros(node)]
    amounts = _amounts(model, [node.input[1] for node in pads], inputs)
    n_folded = 0
    for pad in pads:
        users = [node for node in graph.node if pad.output[0] in node.input]
        amount = amounts[pad.input[1]]
        before, after = amount[:_AXES], amount[_AXES:]
        foldable = (
            len(amount) == 2 * _AXES
            and (amount >= 0).all()
            and not before[:2].any()
            and not after[:2].any()
            and all(node.op_type == "Conv" and node.input[0] == pad.output[0] for node in users)
            and pad.output[0] not in _taken_inside(graph)
        )
        if not foldable:
            continue
        n_folded += 1
        for conv in users:
            _add_pads(conv, [*before[2:].tolist(), *after[2:].tolist()])
            conv.input[0] = pad.input[0]
        graph.node.remove(pad)
    if not n_folded:
        return weights
    _remove_unused(graph)
    return bytes(model.SerializeToString())


def _adds_zeros(pad: onnx.NodeProto) -> bool:
    modes = [a.s for a in pad.attribute if a.name == "mode"]
    return modes in ([], [b"constant"]) and not any(pad.input[2:])


def _amounts(
    model: onnx.ModelProto, names: list[str], inputs: dict[str, Array]
) -> dict[str, Array]:
    """Return what the graph computes under some names."""
    if not names:
        return {}
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    for name in dict.fromkeys(names):
        probe.graph.node.append(helper.make_node("Identity", [name], [f"{name}/amount"]))
        kind = onnx.TensorProto.INT64
        probe.graph.output.append(helper.make_tensor_value_info(f"{name}/amount", kind, None))
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = session.run([f"{name}/amount" for name in dict.fromkeys(names)], inputs)
    return dict(zip(dict.fromkeys(names), found, strict=True))


def _add_pads(conv: onnx.NodeProto, more: list[int]) -> None:
    before = [0] * len(more)
    for attribute in list(conv.attribute):
        if attribute.name == "pads":
            before = list(attribute.ints)
            conv.attribute.remove(attribute)
    total = [a + b for a, b in zip(before, more, strict=True)]
    conv.attribute.append(helper.make_attribute("pads", total))


def _taken_inside(graph: onnx.GraphProto) -> set[str]:
    """Return what the branches and loops of a graph take, of its names among others."""
    taken: set[str] = set()
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                taken |= {name for each in inner.node for name in each.input}
                taken |= {value.name for value in inner.output} | _taken_inside(inner)
    return taken


def _remove_unused(graph: onnx.GraphProto) -> None:
    """Remove the nodes whose results nobody takes any more."""
    while True:
        taken = {name for node in graph.node for name in node.input} | _taken_inside(graph)
        taken |= {value.name for value in graph.output}
        unused = [node for node in graph.node if not taken & set(node.output)]
        if not unused:
            return
        for node in unused:
            graph.node.remove(node)
