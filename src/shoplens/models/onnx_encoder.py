"""A model folder's graph as an encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shoplens.errors import MissingError, ModelError
from shoplens.models.devices import OpenVinoPrecision
from shoplens.models.encoder import RecipeEncoder
from shoplens.models.recipe import Recipe
from shoplens.models.sessions import OnnxRuntimeSession, OpenVinoSession, Session
from shoplens.records import Domain, Vectors

_EXTERNAL_DATA = b"\n\x08location"
"""How a tensor with weights in another file begins to name it: key 1 of 8 bytes, in protobuf."""

_CUDA_BATCH = 32
"""Photos a call on a graphics processor: enough to fill one, little enough for its memory."""


class OnnxEncoder(RecipeEncoder):
    """A model folder's graph.

    On processor cores one call runs on one thread: callers that want all cores call `encode` from
    several threads, which keeps every core busy without the barriers of threads inside an operator
    (`bench/engines.py` compares the two).
    """

    def __init__(
        self,
        weights: bytes,
        recipe: Recipe,
        *,
        cuda: int | None = None,
        openvino: OpenVinoPrecision | None = None,
    ) -> None:
        """Load a graph.

        Args:
            weights: the ONNX file.
            recipe: what is said of it.
            cuda: number of the graphics processor to run on; None for the processor's cores.
            openvino: run on the cores by OpenVINO, in this precision; None for ONNX Runtime. In
                bfloat16 the fingerprint is another one.

        Raises:
            ModelError: the graph cannot be loaded or does not fit its recipe.
            MissingError: this ONNX Runtime cannot use graphics processors; there is no OpenVINO.
        """
        if _EXTERNAL_DATA in weights:
            raise ModelError(
                f"model {recipe.name}: model.onnx keeps weights in other files, beyond the "
                "fingerprint; save it with all weights inside, as onnx.save_model does by default"
            )
        self.recipe = recipe
        self.fingerprint = recipe.fingerprint(weights)
        if openvino == "bf16":
            text = f"{self.fingerprint} in bfloat16"
            self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        try:
            self._session: Session = (
                OnnxRuntimeSession(weights, cuda)
                if openvino is None
                else OpenVinoSession(weights, openvino)
            )
        except MissingError:
            raise
        except Exception as error:  # The engines' own exceptions share no public base.
            raise ModelError(
                f"model {recipe.name}: model.onnx cannot be loaded: {error}"
            ) from error
        self._check_input()
        self._takes_one = self._session.inputs[0].shape[0] == 1
        self.batch_size = 1 if cuda is None or self._takes_one else _CUDA_BATCH

    def encode(self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]) -> Vectors:
        """Embed squares of pixels (see `RecipeEncoder.encode`).

        Raises `ModelError` when the pixels have another shape than the recipe says, or the graph
        cannot be run on them or returns vectors of another dimension.
        """
        self.require_squares(pixels, domains)
        if not len(pixels):
            return np.empty((0, self.dimension), dtype=np.float32)
        parts = np.split(pixels, len(pixels)) if self._takes_one else [pixels]
        return self.finished(np.concatenate([self._run(part) for part in parts]), domains)

    def _run(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        try:
            output = self._session.run(self._layout(pixels))
        except Exception as error:  # As above.
            raise ModelError(f"model {self.name} cannot be run: {error}") from error
        if output.shape != (len(pixels), self.dimension):
            raise ModelError(
                f"model {self.name} returned {output.shape}; its recipe says "
                f"{(len(pixels), self.dimension)}"
            )
        return np.asarray(output, dtype=np.float32)

    def _layout(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.generic]:
        if self.recipe.pixels == "uint8_nhwc":
            return np.ascontiguousarray(pixels)
        mean = np.asarray(self.recipe.mean, dtype=np.float32)
        std = np.asarray(self.recipe.std, dtype=np.float32)
        normalised = (pixels.astype(np.float32) - mean) / std
        return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))

    def _check_input(self) -> None:
        inputs = self._session.inputs
        expected = {"uint8_nhwc": "tensor(uint8)", "float32_nchw": "tensor(float)"}
        kind = expected[self.recipe.pixels]
        if len(inputs) != 1 or inputs[0].kind != kind:
            got = ", ".join(f"{i.name}: {i.kind}" for i in inputs)
            raise ModelError(
                f"model {self.name}: recipe says pixels={self.recipe.pixels}, so "
                f"model.onnx must take one {kind}; it takes {got}"
            )
        size = self.recipe.input_size
        layouts = {"uint8_nhwc": ("n", size, size, 3), "float32_nchw": ("n", 3, size, size)}
        wanted, shape = layouts[self.recipe.pixels], inputs[0].shape
        # Dimensions that are not fixed have names, or none.
        fixed = [(a, b) for a, b in zip(wanted[1:], shape[1:], strict=False) if isinstance(b, int)]
        if len(shape) != len(wanted) or any(a != b for a, b in fixed):
            raise ModelError(
                f"model {self.name}: recipe says pixels={self.recipe.pixels} and "
                f"input_size={size}, so model.onnx must take {list(wanted)}; it takes {list(shape)}"
            )
