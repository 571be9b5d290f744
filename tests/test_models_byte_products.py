from __future__ import annotations

from pathlib import Path

import numpy as np
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


def test_products_are_exact_where_the_processor_has_vnni() -> None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        flags = next(line.split(":")[1].split() for line in lines if line.startswith("flags"))
    except (OSError, StopIteration):
        pytest.skip("this system names no features of an x86 processor")
    assert has_exact_byte_products() is not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags)
