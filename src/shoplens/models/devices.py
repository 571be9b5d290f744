"""Where models run, by name: the processor's cores, or one or more graphics processors."""

from __future__ import annotations

import re
from typing import Any

from shoplens.errors import MissingError, ModelError

CPU = "cpu"
_CUDA = re.compile(r"cuda(?::(\d+(?:,\d+)*))?")


def cuda_numbers(device: str) -> tuple[int, ...]:
    """Return the numbers of the graphics processors that a device's name means.

    Args:
        device: `cpu` (none), `cuda` (the first), `cuda:1`, or several, `cuda:0,1`.

    Raises `ModelError` for another name.
    """
    if device == CPU:
        return ()
    found = _CUDA.fullmatch(device)
    if found is None:
        raise ModelError(
            f"device {device!r} is not known; known are cpu, cuda, cuda:1, and several as in "
            "cuda:0,1"
        )
    numbers = tuple(int(number) for number in (found.group(1) or "0").split(","))
    if len(set(numbers)) < len(numbers):
        raise ModelError(f"device {device!r} names one graphics processor twice")
    return numbers


def providers(runtime: Any, cuda: int | None) -> list[Any]:
    """Return what an ONNX Runtime session is to run on.

    Args:
        runtime: the module `onnxruntime`.
        cuda: number of the graphics processor; None for the processor's cores.

    Raises `MissingError` when this ONNX Runtime cannot use one.
    """
    if cuda is None:
        return ["CPUExecutionProvider"]
    known = runtime.get_available_providers()
    if "CUDAExecutionProvider" not in known:
        raise MissingError(
            f"this ONNX Runtime has no CUDA (it has {', '.join(known)}): pip uninstall onnxruntime "
            "&& pip install onnxruntime-gpu, which takes its place"
        )
    # TF32 keeps ten bits of each product: vectors would no longer be those of the same fingerprint.
    return [("CUDAExecutionProvider", {"device_id": cuda, "use_tf32": 0})]
