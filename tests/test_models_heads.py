from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import toy_graph

from shoplens.models import BASE_MODEL, unit
from shoplens.models.heads import features_name, with_features, with_head
from shoplens.models.model_folder import read_model
from shoplens.models.sessions import OnnxRuntimeSession

RNG = np.random.default_rng(0)


def headed(*, layers: int = 1, after: str | None = None) -> bytes:
    """Return the toy graph with linear layers, each for what is scaled to unit length."""
    import onnx

    helper = onnx.helper
    model = onnx.load_from_string(toy_graph())
    width, last = 48, "y"
    for number in range(layers):
        weight = np.random.default_rng(number).normal(size=(width, 8)).astype(np.float32)
        names = [f"{part}{number}" for part in ("unit", "product", "sum", "weight", "bias")]
        model.graph.node.extend(
            [
                helper.make_node("LpNormalization", [last], [names[0]]),
                helper.make_node("MatMul", [names[0], names[3]], [names[1]]),
                helper.make_node("Add", [names[4], names[1]], [names[2]]),
            ]
        )
        bias = np.full(8, 0.1, dtype=np.float32)
        for name, values in ((names[3], weight), (names[4], bias)):
            model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
        width, last = 8, names[2]
    if after is not None:
        model.graph.node.append(helper.make_node(after, [last], ["after"]))
        last = "after"
    del model.graph.output[:]
    kind = onnx.TensorProto.FLOAT
    model.graph.output.append(helper.make_tensor_value_info(last, kind, ["n", width]))
    return bytes(model.SerializeToString())


def computed(weights: bytes, pixels: Any) -> Any:
    return OnnxRuntimeSession(weights, None).run(pixels)


def toy_pixels(n: int = 3) -> Any:
    return RNG.normal(size=(n, 3, 16, 16)).astype(np.float32)


def test_a_graph_without_linear_layers_has_no_head() -> None:
    assert features_name(toy_graph()) is None


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("after", [None, "Identity", "LpNormalization"])
def test_the_head_is_all_linear_layers_at_the_end(layers: int, after: str | None) -> None:
    assert features_name(headed(layers=layers, after=after)) == "y"


def test_layers_before_another_kind_of_node_are_no_head() -> None:
    assert features_name(headed(after="Relu")) is None


def test_output_and_features_come_side_by_side() -> None:
    weights, pixels = headed(), toy_pixels()
    both = computed(with_features(weights, 8, 48), pixels)
    np.testing.assert_allclose(both[:, :8], unit(computed(weights, pixels)), atol=1e-6)
    np.testing.assert_allclose(both[:, 8:], unit(computed(toy_graph(), pixels)), atol=1e-6)


def test_without_a_head_the_output_stands_for_the_features() -> None:
    pixels = toy_pixels()
    both = computed(with_features(toy_graph(), 48, 48), pixels)
    np.testing.assert_array_equal(both[:, :48], both[:, 48:])


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_another_head_takes_the_place_of_the_old_one(layers: int) -> None:
    weight, bias = RNG.normal(size=(5, 48)).astype(np.float32), RNG.normal(size=5)
    pixels = toy_pixels()
    expected = unit(computed(toy_graph(), pixels)) @ weight.T + bias
    once = with_head(headed(layers=layers), weight, bias.astype(np.float32))
    np.testing.assert_allclose(computed(once, pixels), expected, atol=1e-5)
    again = with_head(once, -weight, -bias.astype(np.float32))
    np.testing.assert_allclose(computed(again, pixels), -expected, atol=1e-5)
    assert len(again) == len(once)  # Nothing of the head before is left.


def test_the_file_is_a_valid_onnx_file() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(
        with_head(headed(), np.ones((5, 48), np.float32), np.zeros(5, np.float32))
    )
    onnx.checker.check_model(model, full_check=True)
    assert [weight.name for weight in model.graph.initializer] == [
        "adapted.weight",
        "adapted.bias",
    ]


def test_what_branches_read_is_kept() -> None:
    """A branch reads tensors of the graph around it, without naming them as inputs."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    model = onnx.load_from_string(toy_graph())
    vector = helper.make_tensor_value_info("b", kinds.FLOAT, ["n", 48])
    branch = helper.make_graph([helper.make_node("Neg", ["y"], ["b"])], "branch", [], [vector])
    model.graph.initializer.append(helper.make_tensor("true", kinds.BOOL, [], [True]))
    model.graph.node.append(
        helper.make_node("If", ["true"], ["z"], then_branch=branch, else_branch=branch)
    )
    model.graph.output[0].name = "z"
    pixels = toy_pixels()
    weights = with_head(
        bytes(model.SerializeToString()), np.eye(48, dtype=np.float32), np.zeros(48)
    )
    expected = -unit(computed(toy_graph(), pixels))
    np.testing.assert_allclose(computed(weights, pixels), expected, atol=1e-6)


def test_the_built_in_network_pools_1280_features() -> None:
    weights, recipe = read_model(BASE_MODEL)
    size = recipe.input_size
    pixels = RNG.integers(256, size=(1, size, size, 3), dtype=np.uint8)
    both = computed(with_features(weights, 512, 1280), pixels)
    assert both.shape == (1, 1792)
    np.testing.assert_allclose(both[:, :512], unit(computed(weights, pixels)), atol=1e-5)
    weight = RNG.normal(size=(16, 1280)).astype(np.float32)
    found = computed(with_head(weights, weight, np.zeros(16, np.float32)), pixels)
    np.testing.assert_allclose(found, both[:, 512:] @ weight.T, atol=1e-4)
