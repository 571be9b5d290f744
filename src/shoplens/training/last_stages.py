"""A model's last stages in torch: taken out of its graph, tuned, and put back.

What they take is the map of features before them, so that the stages that stay as they are run only
once for each photo.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from shoplens.errors import ModelError
from shoplens.training.lite import LITE_VARIANTS, SameConv, lite_stages, load_convolutions
from shoplens.training.network import GemPooling

_N_STAGES = 2
"""The last blocks and the convolution after them. A photo's map before them is small: 12 x 12 x 192
at 384 px."""


class LastStages(nn.Module):
    """The last two stages of an EfficientNet-Lite and the pooling, from a model's graph.

    Args:
        weights: the model's ONNX file.

    Raises:
        ModelError: its network is no EfficientNet-Lite in floating point.
    """

    def __init__(self, weights: bytes) -> None:
        super().__init__()
        graph = onnx.load_from_string(weights).graph
        convolutions = _convolutions(graph)
        stages = _loaded(weights)
        self.stages = stages[-_N_STAGES:].to(memory_format=torch.channels_last)
        self.pool = GemPooling(_power(graph))
        self.input: str = convolutions[-len(self._own())].input[0]
        """The name, in the graph, of the map that they take."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) to (n, features), not of unit length."""
        y: Tensor = self.pool(self.stages(x.contiguous(memory_format=torch.channels_last)).float())
        return y

    def trained(self) -> Mapping[str, nn.Parameter]:
        """Return all weights, by name."""
        return dict(self.named_parameters())

    def put_into(self, weights: bytes) -> bytes:
        """Return the model's ONNX file with these stages in the place of its own.

        Where the file stores float16, they are rounded to it, here too.
        """
        model = onnx.load_from_string(weights)
        own = self._own()
        places = {tensor.name: tensor for tensor in model.graph.initializer}
        casts = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Cast"}
        for node, module in zip(_convolutions(model.graph)[-len(own) :], own, strict=True):
            for name, parameter in zip(node.input[1:], module.parameters(), strict=True):
                stored = places[casts.get(name, name)]
                kind = numpy_helper.to_array(stored).dtype
                values = parameter.detach().numpy().astype(kind)
                stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), stored.name))
                parameter.data.copy_(torch.from_numpy(values.astype(np.float32)))
        return bytes(model.SerializeToString())

    def _own(self) -> list[SameConv]:
        return [module for module in self.stages.modules() if isinstance(module, SameConv)]


def _convolutions(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    return [node for node in graph.node if node.op_type == "Conv"]


def _loaded(weights: bytes) -> nn.Sequential:
    """Return all stages, of the variant that the graph is of."""
    for variant in LITE_VARIANTS:
        stages = lite_stages(variant)
        try:
            load_convolutions(stages, weights)
        except ModelError:
            continue
        return stages
    raise ModelError(
        "the model's network cannot be tuned: it is no EfficientNet-Lite in floating point "
        f"({', '.join(LITE_VARIANTS)}). Fit its head alone"
    )


def _power(graph: onnx.GraphProto) -> float:
    """Return the exponent of the graph's pooling; 1 where it is the mean."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    powers = [node.input[1] for node in graph.node if node.op_type == "Pow"]
    return float(constants[powers[0]]) if powers and powers[0] in constants else 1.0
