from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import EXPORTER_WARNINGS
from onnx import helper, numpy_helper

from shoplens.models.hub.padding import fold_padding
from shoplens.training import config
from shoplens.training.backbones import load_backbone
from shoplens.training.network import Network
from shoplens.training.tracing import INPUT, trace

pytestmark = [pytest.mark.filterwarnings(warning) for warning in EXPORTER_WARNINGS]


def graph(amount: list[int], value: float | None = None, mode: str = "constant") -> bytes:
    """Return a graph that pads and convolves a map of 2 channels, 6 x 5, and pads by 1 itself."""
    kernel = np.random.default_rng(0).normal(size=(3, 2, 3, 3)).astype(np.float32)
    tensors = [
        numpy_helper.from_array(kernel, "kernel"),
        numpy_helper.from_array(np.array(amount, np.int64), "amount"),
    ]
    names = ["x", "amount"]
    if value is not None:
        tensors.append(numpy_helper.from_array(np.array(value, np.float32), "value"))
        names.append("value")
    nodes = [
        helper.make_node("Pad", names, ["padded"], mode=mode),
        helper.make_node("Conv", ["padded", "kernel"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1]),
    ]
    takes = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2, 6, 5])
    gives = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    made = helper.make_graph(nodes, "made", [takes], [gives], tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def run(weights: bytes, **inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs)[0])


def kinds(weights: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(weights).graph.node]


@pytest.mark.parametrize("amount", [[0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 2, 0, 0, 0, 1, 3]])
def test_padding_with_zeros_becomes_the_convolutions(amount: list[int]) -> None:
    weights = graph(amount)
    x = np.random.default_rng(1).normal(size=(2, 2, 6, 5)).astype(np.float32)
    folded = fold_padding(weights, {"x": x})
    assert kinds(folded) == ["Conv"]
    np.testing.assert_allclose(run(folded, x=x), run(weights, x=x), atol=1e-6)


@pytest.mark.parametrize(
    "weights",
    [
        graph([0, 0, 0, 0, 0, 0, 1, 1], value=1.0),
        graph([0, 0, 1, 1, 0, 0, 1, 1], mode="reflect"),
        graph([0, 0, -1, 0, 0, 0, 1, 1]),
    ],
    ids=["ones", "reflected", "cut"],
)
def test_other_padding_stays(weights: bytes) -> None:
    x = np.random.default_rng(1).normal(size=(1, 2, 6, 5)).astype(np.float32)
    folded = fold_padding(weights, {"x": x})
    assert kinds(folded) == ["Pad", "Conv"]
    np.testing.assert_array_equal(run(folded, x=x), run(weights, x=x))


def test_what_a_branch_takes_stays() -> None:
    """`late` is made before a choice, and only a branch of it takes it."""
    model = onnx.load_from_string(graph([0, 0, 0, 0, 0, 0, 1, 1]))
    kind = onnx.TensorProto.FLOAT
    gives = helper.make_tensor_value_info("chosen", kind, None)
    branches = [
        helper.make_graph([helper.make_node("Identity", [name], ["chosen"])], name, [], [gives])
        for name in ("late", "y")
    ]
    yes = numpy_helper.from_array(np.array(True), "yes")
    model.graph.initializer.append(yes)
    model.graph.node.append(helper.make_node("Neg", ["y"], ["late"]))
    model.graph.node.append(
        helper.make_node(
            "If", ["yes"], ["result"], then_branch=branches[0], else_branch=branches[1]
        )
    )
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("result", kind, None))
    weights = bytes(model.SerializeToString())
    x = np.random.default_rng(1).normal(size=(1, 2, 6, 5)).astype(np.float32)
    folded = fold_padding(weights, {"x": x})
    assert kinds(folded) == ["Conv", "Neg", "If"]
    np.testing.assert_allclose(run(folded, x=x), run(weights, x=x), atol=1e-6)


def test_a_graph_without_padding_is_left_as_it_is() -> None:
    weights = graph([0, 0, 0, 0, 0, 0, 1, 1], mode="reflect")
    x = np.zeros((1, 2, 6, 5), np.float32)
    assert fold_padding(weights, {"x": x}) is weights


@pytest.mark.parametrize("size", [64, 75])
def test_networks_padded_as_tensorflow_pads_have_none_left(size: int) -> None:
    backbone = load_backbone("imagenet:lite0", random_weights=True)
    network = Network(backbone, config.NetworkConfig(frozen_stages=9)).eval()

    weights = trace(network, size)
    assert "Pad" not in kinds(weights)
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(run(weights, **{INPUT: pixels}), expected, atol=1e-5)
