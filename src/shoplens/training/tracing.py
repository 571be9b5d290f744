"""Parts of networks on ONNX Runtime, which computes them two to four times faster than torch."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from shoplens.models.hub.padding import fold_padding

INPUT, OUTPUT = "pixels", "features"
_OPSET = 17


def trace(module: nn.Module, input_size: int) -> bytes:
    """Return a module as an ONNX file that takes any number of photos.

    Args:
        module: takes (n, s, s, 3) uint8; computed as in evaluation, left in the mode it is in.
        input_size: s, side of the squares in pixels; padding is fixed for it.
    """
    stream: Any = io.BytesIO()  # Typed as a path, for the sake of another exporter.
    device = next(module.parameters()).device
    pixels = torch.zeros((1, input_size, input_size, 3), dtype=torch.uint8, device=device)
    with warnings.catch_warnings():
        # Of its own age, of sizes that become numbers of the graph (as they should), and of what it
        # leaves to ONNX Runtime to fold.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (pixels,),
            stream,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}},
            dynamo=False,
            opset_version=_OPSET,
        )
    return fold_padding(bytes(stream.getvalue()), {INPUT: pixels.cpu().numpy()})


class Traced:
    """A traced module, one thread a call: several threads may call at once."""

    def __init__(self, module: nn.Module, input_size: int) -> None:
        import onnxruntime  # noqa: PLC0415

        self.weights = trace(module, input_size)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            self.weights, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Map (n, s, s, 3) uint8 to what the module gives, float32."""
        (features,) = self._session.run(None, {INPUT: pixels})
        return np.asarray(features, dtype=np.float32)
