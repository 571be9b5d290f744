from __future__ import annotations

import numpy as np
import pytest

from shoplens.models import BASE_MODEL
from shoplens.models.model_folder import read_model
from shoplens.models.outputs import with_outputs
from shoplens.models.sessions import OnnxRuntimeSession

LONG_NAME = "/stages.6/stages.6.3/Add_output_0"


def test_a_tensor_inside_becomes_a_further_output() -> None:
    weights, recipe = read_model(BASE_MODEL)
    size = recipe.input_size
    pixels = np.random.default_rng(0).integers(256, size=(1, size, size, 3), dtype=np.uint8)
    vector, inside = OnnxRuntimeSession(with_outputs(weights, [LONG_NAME]), None).run_all(pixels)
    assert inside.shape == (1, 192, size // 32, size // 32)
    (alone,) = OnnxRuntimeSession(weights, None).run_all(pixels)
    np.testing.assert_allclose(vector, alone, rtol=1e-4, atol=1e-6)


def test_the_file_is_what_onnx_writes() -> None:
    onnx = pytest.importorskip("onnx")
    weights, _ = read_model(BASE_MODEL)
    names = ["a", "b" * 300]
    model = onnx.load_from_string(with_outputs(weights, names))
    assert [output.name for output in model.graph.output] == ["features", *names]
    del model.graph.output[1:]
    assert model == onnx.load_from_string(weights)


def test_a_name_that_is_not_there_is_refused() -> None:
    weights, _ = read_model(BASE_MODEL)
    with pytest.raises(Exception, match="nowhere"):
        OnnxRuntimeSession(with_outputs(weights, ["nowhere"]), None)
