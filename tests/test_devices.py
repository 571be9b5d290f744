from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from conftest import picture

from shoplens import Photo, PhotoSet, embed, load_encoder
from shoplens.errors import MissingError, ModelError
from shoplens.models import RecipeEncoder
from shoplens.models.devices import Device, parse_device
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.models.replicas import Replicas
from shoplens.models.sessions import providers
from shoplens.records import Domain


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("cpu", Device()),
        ("cuda", Device((0,))),
        ("cuda:3", Device((3,))),
        ("cuda:0,2", Device((0, 2))),
        ("openvino", Device(openvino="f32")),
        ("openvino:bf16", Device(openvino="bf16")),
    ],
)
def test_names_of_devices(device: str, expected: Device) -> None:
    assert parse_device(device) == expected


@pytest.mark.parametrize(
    "device", ["gpu", "openvino:int8", "cuda:", "cuda:a", "cuda:0,", "CPU", "cuda:1,1"]
)
def test_other_names_are_refused(device: str) -> None:
    with pytest.raises(ModelError, match=device):
        parse_device(device)


def test_a_runtime_without_cuda_says_what_to_install(make_model: Callable[..., Path]) -> None:
    folder = make_model()
    recipe = load_encoder(folder).recipe
    with pytest.raises(MissingError, match="pip install onnxruntime-gpu"):
        OnnxEncoder((folder / "model.onnx").read_bytes(), recipe, cuda=0)


def test_a_runtime_with_cuda_is_told_the_device_and_to_keep_all_bits() -> None:
    runtime = SimpleNamespace(get_available_providers=lambda: ["CUDAExecutionProvider"])
    ((name, options),) = providers(runtime, 1)
    assert (name, options) == ("CUDAExecutionProvider", {"device_id": 1, "use_tf32": 0})


class Device(RecipeEncoder):
    """An encoder in batches that runs one call at a time, and waits for the other to have one."""

    batch_size = 2

    def __init__(self, inner: RecipeEncoder, together: threading.Barrier) -> None:
        self.recipe, self.fingerprint = inner.recipe, inner.fingerprint
        self.n_calls = 0
        self._inner, self._together = inner, together
        self._alone = threading.Lock()

    def encode(
        self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]
    ) -> npt.NDArray[np.float32]:
        assert self._alone.acquire(blocking=False), "two calls at once on one device"
        try:
            self.n_calls += 1
            self._together.wait()
            return self._inner.encode(pixels, domains)
        finally:
            self._alone.release()


def test_two_devices_work_side_by_side(tmp_path: Path, make_model: Callable[..., Path]) -> None:
    toy = load_encoder(make_model())
    made = []
    for i in range(16):
        picture(i).save(tmp_path / f"{i}.png")
        made.append(Photo(i, f"{i}.png", tmp_path / f"{i}.png", "user"))
    together = threading.Barrier(2, timeout=20)
    devices = [Device(toy, together), Device(toy, together)]
    found = embed(PhotoSet(made), Replicas(devices))
    np.testing.assert_allclose(found.vectors, embed(PhotoSet(made), toy).vectors, atol=1e-6)
    assert not found.failures
    assert sum(device.n_calls for device in devices) == 8


def test_replicas_are_of_one_model(make_model: Callable[..., Path]) -> None:
    one, other = load_encoder(make_model()), load_encoder(make_model("other", fit="pad"))
    with pytest.raises(ModelError, match="one model"):
        Replicas([one, other])
    with pytest.raises(ModelError, match="at least one"):
        Replicas([])
