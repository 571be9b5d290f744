"""The same graph by OpenVINO and by ONNX Runtime (`python3 make.py ray` has OpenVINO)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import endless_graph, picture

from shoplens import Photo, PhotoSet, embed, load_encoder
from shoplens.errors import MissingError, ModelError
from shoplens.models import BASE_MODEL, DEFAULT_MODEL
from shoplens.models.onnx_encoder import OnnxEncoder

try:
    import openvino
except ImportError:
    openvino = None

here = pytest.mark.skipif(
    openvino is None, reason="needs the extra [openvino]; `make.py ray` has it"
)
MakeModel = Callable[..., Path]


def has_bfloat16() -> bool:
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


@pytest.mark.skipif(openvino is not None, reason="OpenVINO is there")
def test_without_it_the_install_line_is_given(make_model: MakeModel) -> None:
    with pytest.raises(MissingError, match=r"shoplens\[openvino\]"):
        load_encoder(make_model(), device="openvino")


@here
def test_vectors_are_those_of_onnx_runtime(make_model: MakeModel) -> None:
    folder = make_model()
    ours, other = load_encoder(folder), load_encoder(folder, device="openvino")
    size = ours.recipe.input_size
    pixels = np.random.default_rng(0).integers(256, size=(5, size, size, 3), dtype=np.uint8)
    domains = ("user", "seller", "user", "seller", "user")
    found, expected = other.encode(pixels, domains), ours.encode(pixels, domains)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert other.fingerprint == ours.fingerprint
    assert other.batch_size == 1


@here
def test_threads_do_not_share_what_they_compute(tmp_path: Path) -> None:
    photos = []
    for i in range(12):
        picture(i).save(tmp_path / f"{i}.png")
        photos.append(Photo(i, f"{i}.png", tmp_path / f"{i}.png", "user"))
    encoder = load_encoder(device="openvino")
    together = embed(PhotoSet(photos), encoder, workers=4).vectors
    expected = embed(PhotoSet(photos), load_encoder(DEFAULT_MODEL), workers=1).vectors
    assert (together * expected).sum(axis=1).min() > 0.9999


@here
def test_bfloat16_is_near_and_has_a_fingerprint_of_its_own() -> None:
    if not has_bfloat16():
        with pytest.raises(MissingError, match="bfloat16"):
            load_encoder(device="openvino:bf16")
        pytest.skip("this processor has no bfloat16")
    ours, coarse = load_encoder(BASE_MODEL), load_encoder(BASE_MODEL, device="openvino:bf16")
    assert coarse.fingerprint != ours.fingerprint
    size = ours.recipe.input_size
    pixels = np.stack([np.asarray(picture(i, (size, size))) for i in range(3)])
    found = coarse.encode(pixels, ["user"] * 3)
    cosines = (found * ours.encode(pixels, ["user"] * 3)).sum(axis=1)
    assert 0.98 < cosines.min() < 1 - 1e-7


@here
def test_faults_are_told_as_ever(make_model: MakeModel) -> None:
    recipe = load_encoder(make_model()).recipe
    with pytest.raises(ModelError, match="cannot be loaded"):
        OnnxEncoder(b"no graph", recipe, openvino="f32")
    weights = (make_model("other", graph_type="UINT8") / "model.onnx").read_bytes()
    with pytest.raises(ModelError, match=r"must take one tensor\(float\)"):
        OnnxEncoder(weights, recipe, openvino="f32")
    weights = (make_model("larger", graph_size=32) / "model.onnx").read_bytes()
    with pytest.raises(ModelError, match=r"it takes .*32, 32"):
        OnnxEncoder(weights, recipe, openvino="f32")


@here
def test_a_graph_that_never_ends_does_not_hold_the_process(make_model: MakeModel) -> None:
    folder = make_model(weights=endless_graph())
    code = (
        "import numpy as np\n"
        "from shoplens import load_encoder\n"
        "from shoplens.models import sessions\n"
        "sessions.PHOTO_SECONDS = 0.2\n"
        f"encoder = load_encoder({str(folder)!r}, device='openvino')\n"
        "encoder.encode(np.zeros((1, 16, 16, 3), np.uint8), ['user'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "model toy cannot be run: it gave no result within 0.2 s" in done.stderr
