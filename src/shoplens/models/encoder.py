"""Encoders: squares of pixels in, unit vectors out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from shoplens.errors import MissingError, ModelError, PhotoError
from shoplens.models.devices import OpenVinoPrecision
from shoplens.models.recipe import Recipe
from shoplens.models.sessions import OnnxRuntimeSession, OpenVinoSession, Session
from shoplens.records import Domain, Vectors

_EXTERNAL_DATA = b"\n\x08location"
"""How a tensor with weights in another file begins to name it: key 1 of 8 bytes, in protobuf."""

_CUDA_BATCH = 32
"""Photos a call on a graphics processor: enough to fill one, little enough for its memory."""


class Encoder(Protocol):
    """What embeds photos. Anything with these members can stand in for the built-in."""

    @property
    def recipe(self) -> Recipe:
        """How photos are prepared for it."""

    @property
    def fingerprint(self) -> str:
        """What its vectors are compared by: equal fingerprints, equal vectors."""

    @property
    def batch_size(self) -> int:
        """How many photos a call should embed: many for a graphics processor; 1 where one call
        takes one core, and the others are kept busy by calls from other threads."""

    def encode(self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos; must be safe to call from several threads at once.

        Args:
            pixels: (n, input_size, input_size, 3) uint8, RGB, as
                `shoplens.pixels.crops.crop` makes.
            domains: who took each photo, n of them.

        Returns:
            (n, dimension) float32, rows of unit length.

        Raises:
            PhotoError: reason `no_direction`: a photo's vector is zero or not finite.
        """


class OnnxEncoder:
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
        self._recipe = recipe
        self._fingerprint = recipe.fingerprint(weights)
        if openvino == "bf16":
            text = f"{self._fingerprint} in bfloat16"
            self._fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
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
        self._centres = {
            domain: np.asarray(centre, dtype=np.float32)
            for domain, centre in recipe.centres.items()
        }

    @property
    def recipe(self) -> Recipe:
        """How photos are prepared for this model."""
        return self._recipe

    @property
    def fingerprint(self) -> str:
        """16 hex digits over weights and recipe."""
        return self._fingerprint

    def encode(self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos (see `Encoder.encode`).

        Raises `ModelError` when the pixels have another shape than the recipe says, or the graph
        cannot be run on them or returns vectors of another dimension.
        """
        size = self._recipe.input_size
        if pixels.shape[1:] != (size, size, 3) or len(domains) != len(pixels):
            raise ModelError(
                f"model {self._recipe.name} takes (n, {size}, {size}, 3) pixels and n domains, "
                f"got {pixels.shape} and {len(domains)}"
            )
        if not len(pixels):
            return np.empty((0, self._recipe.dimension), dtype=np.float32)
        parts = np.split(pixels, len(pixels)) if self._takes_one else [pixels]
        output = np.concatenate([self._run(part) for part in parts])
        vectors = unit(output)
        if not self._centres:
            return vectors
        zero = np.zeros(self._recipe.dimension, dtype=np.float32)
        return unit(vectors - np.stack([self._centres.get(domain, zero) for domain in domains]))

    def _run(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        try:
            output = self._session.run(self._layout(pixels))
        except Exception as error:  # As above.
            raise ModelError(f"model {self._recipe.name} cannot be run: {error}") from error
        if output.shape != (len(pixels), self._recipe.dimension):
            raise ModelError(
                f"model {self._recipe.name} returned {output.shape}, its recipe promises "
                f"{(len(pixels), self._recipe.dimension)}"
            )
        return np.asarray(output, dtype=np.float32)

    def _layout(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.generic]:
        if self._recipe.pixels == "uint8_nhwc":
            return np.ascontiguousarray(pixels)
        mean = np.asarray(self._recipe.mean, dtype=np.float32)
        std = np.asarray(self._recipe.std, dtype=np.float32)
        normalised = (pixels.astype(np.float32) - mean) / std
        return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))

    def _check_input(self) -> None:
        inputs = self._session.inputs
        expected = {"uint8_nhwc": "tensor(uint8)", "float32_nchw": "tensor(float)"}
        kind = expected[self._recipe.pixels]
        if len(inputs) != 1 or inputs[0].kind != kind:
            got = ", ".join(f"{i.name}: {i.kind}" for i in inputs)
            raise ModelError(
                f"model {self._recipe.name}: recipe says pixels={self._recipe.pixels}, so "
                f"model.onnx must take one {kind}; it takes {got}"
            )
        size = self._recipe.input_size
        layouts = {"uint8_nhwc": ("n", size, size, 3), "float32_nchw": ("n", 3, size, size)}
        wanted, shape = layouts[self._recipe.pixels], inputs[0].shape
        # Dimensions that are not fixed have names, or none.
        fixed = [(a, b) for a, b in zip(wanted[1:], shape[1:], strict=False) if isinstance(b, int)]
        if len(shape) != len(wanted) or any(a != b for a, b in fixed):
            raise ModelError(
                f"model {self._recipe.name}: recipe says pixels={self._recipe.pixels} and "
                f"input_size={size}, so model.onnx must take {list(wanted)}; it takes {list(shape)}"
            )


class LeadingEncoder:
    """The leading components of another encoder's vectors, scaled to unit length again.

    For models trained so that these are vectors of their own (`Recipe.nested`): a gallery takes a
    fraction of the memory and is searched that much faster. They can be cut from stored vectors as
    well, for they are those of the whole encoder, centred as a whole.

    Raises `ModelError` when the model's recipe does not list the dimension.
    """

    def __init__(self, whole: Encoder, dimension: int) -> None:
        recipe = whole.recipe
        if dimension not in recipe.nested:
            known = ", ".join(str(n) for n in (*recipe.nested, recipe.dimension))
            raise ModelError(
                f"model {recipe.name} cannot be cut to {dimension} dimensions; it offers {known}"
            )
        self._whole = whole
        self._recipe = replace(
            recipe,
            dimension=dimension,
            centres={domain: centre[:dimension] for domain, centre in recipe.centres.items()},
            nested=tuple(n for n in recipe.nested if n < dimension),
        )
        text = f"{whole.fingerprint} cut to {dimension}"
        self._fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def recipe(self) -> Recipe:
        """The whole model's, of this dimension."""
        return self._recipe

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the whole model's and the dimension."""
        return self._fingerprint

    @property
    def batch_size(self) -> int:
        """The whole model's."""
        return self._whole.batch_size

    @property
    def whole(self) -> Encoder:
        """The encoder whose vectors are cut."""
        return self._whole

    def encode(self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos (see `Encoder.encode`)."""
        return self.cut(self._whole.encode(pixels, domains))

    def cut(self, vectors: Vectors) -> Vectors:
        """Cut vectors of the whole model: (n, its dimension), to (n, dimension) of unit length.

        Raises `PhotoError` (reason `no_direction`) when a leading part is zero.
        """
        return unit(vectors[:, : self._recipe.dimension])


def unit(vectors: Vectors) -> Vectors:
    """Scale rows to unit length.

    Raises `PhotoError` (reason `no_direction`) when a row is zero or not finite, as a blank photo's
    may be: it has no direction to compare by.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not (norms > 0).all():
        bad = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))[0])
        raise PhotoError(
            "no_direction", f"the model's vector is zero or not finite (length {norms[bad, 0]})"
        )
    scaled: Vectors = vectors / norms
    return scaled
