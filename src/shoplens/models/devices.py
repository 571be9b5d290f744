"""Where models run, by name: the processor's cores, or one or more graphics processors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from shoplens.errors import ModelError

CPU = "cpu"
_CUDA = re.compile(r"cuda(?::(\d+(?:,\d+)*))?")

OpenVinoPrecision = Literal["f32", "bf16"]
"""What OpenVINO computes in. bfloat16 keeps 8 bits of each number: about twice as fast on
processors that have it, with vectors of their own."""
_OPENVINO: dict[str, OpenVinoPrecision] = {"openvino": "f32", "openvino:bf16": "bf16"}


@dataclass(frozen=True, slots=True)
class Device:
    """What a device's name means; the processor's cores and ONNX Runtime where both are empty."""

    cuda: tuple[int, ...] = ()
    """Numbers of graphics processors."""
    openvino: OpenVinoPrecision | None = None
    """The processor's cores, by OpenVINO."""


def parse_device(name: str) -> Device:
    """Return what a name means.

    Args:
        name: `cpu`; `openvino` or `openvino:bf16`; `cuda` (the first graphics processor), `cuda:1`,
            or several, `cuda:0,1`.

    Raises `ModelError` for another name.
    """
    if name == CPU:
        return Device()
    if name in _OPENVINO:
        return Device(openvino=_OPENVINO[name])
    found = _CUDA.fullmatch(name)
    if found is None:
        raise ModelError(
            f"device {name!r} is not known; known are cpu, openvino, openvino:bf16, cuda, cuda:1, "
            "and several as in cuda:0,1"
        )
    numbers = tuple(int(number) for number in (found.group(1) or "0").split(","))
    if len(set(numbers)) < len(numbers):
        raise ModelError(f"device {name!r} names one graphics processor twice")
    return Device(cuda=numbers)
