from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from shoplens.models.byte_products import has_exact_byte_products, product_graph


def test_the_graph_is_an_onnx_file() -> None:
    onnx.checker.check_model(onnx.load_from_string(product_graph()), full_check=True)


def test_the_graph_multiplies_matrices() -> None:
    session = onnxruntime.InferenceSession(product_graph())
    rng = np.random.default_rng(0)
    a = rng.integers(0, 100, (3, 5), dtype=np.uint8)
    b = rng.integers(-50, 50, (5, 4), dtype=np.int8)
    (sums,) = session.run(None, {"a": a, "b": b})
    np.testing.assert_array_equal(sums, a.astype(np.int32) @ b)


class OverflowingSession:
    """What an emulated Zen 3 (no VNNI) computes: each sum of two products is at most 32,767."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def run(
        self, _: None, given: dict[str, npt.NDArray[np.integer]]
    ) -> list[npt.NDArray[np.int32]]:
        products = given["a"].astype(np.int32)[:, :, None] * given["b"].astype(np.int32)[None]
        pairs = products[:, 0::2] + products[:, 1::2]
        return [np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=1, dtype=np.int32)]


def test_sums_that_overflow_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", OverflowingSession)
    assert not has_exact_byte_products.__wrapped__()


def test_products_are_exact_where_the_processor_has_vnni() -> None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        flags = next(line.split(":")[1].split() for line in lines if line.startswith("flags"))
    except (OSError, StopIteration):
        pytest.skip("this system names no features of an x86 processor")
    assert has_exact_byte_products() is not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags)
