"""Whether sums of products of bytes overflow on this processor, as ONNX Runtime computes them."""

from __future__ import annotations

from functools import cache

import numpy as np

from shoplens.models.protobuf import in_field, number_field

_UINT8, _INT8, _INT32 = 2, 3, 6
"""Types of elements, as ONNX numbers them."""
_ROWS, _TERMS, _COLUMNS = 16, 64, 16


@cache
def has_exact_byte_products() -> bool:
    """Return whether sums of products of bytes are exact.

    x86 processors without VNNI add pairs of products in 16 bits, where the largest overflow
    (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html). Only Linux
    tells which processors have VNNI, so the largest products are computed once, and looked at.
    """
    # Costs a quarter of a second: paid by those who embed, not by `shoplens --help`.
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        product_graph(), options, providers=["CPUExecutionProvider"]
    )
    largest = {
        "a": np.full((_ROWS, _TERMS), 255, np.uint8),
        "b": np.full((_TERMS, _COLUMNS), 127, np.int8),
    }
    (sums,) = session.run(None, largest)
    return bool(np.all(sums == 255 * 127 * _TERMS))


def product_graph() -> bytes:
    """Return an ONNX file that multiplies two matrices of bytes.

    Its inputs are `a`, (m, k) uint8, and `b`, (k, n) int8, and its output is `c`, (m, n) int32.
    Fields are numbered as in `onnx.proto`.
    """
    node = in_field(1, b"a") + in_field(1, b"b") + in_field(2, b"c") + in_field(4, b"MatMulInteger")
    graph = in_field(1, node) + in_field(2, b"products")
    graph += in_field(11, _matrix(b"a", _UINT8)) + in_field(11, _matrix(b"b", _INT8))
    graph += in_field(12, _matrix(b"c", _INT32))
    opset = in_field(1, b"") + number_field(2, 13)
    return number_field(1, 8) + in_field(7, graph) + in_field(8, opset)


def _matrix(name: bytes, kind: int) -> bytes:
    any_size = in_field(1, b"")
    tensor = number_field(1, kind) + in_field(2, any_size + any_size)
    return in_field(1, name) + in_field(2, in_field(1, tensor))
