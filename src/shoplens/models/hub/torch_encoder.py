"""A network on torch as an encoder: for graphics processors, for networks too large for one ONNX
file, and to hold an exported model against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from shoplens.errors import MissingError
from shoplens.models.encoder import RecipeEncoder
from shoplens.models.recipe import Recipe
from shoplens.records import Domain, Vectors

TorchPrecision = Literal["fp32", "fp16", "bf16"]
"""What the network computes in."""
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Normalisation = tuple[Sequence[float], Sequence[float]]
_CPU_BATCH = 8
_LARGEST_BATCH = 256
_MEMORY_SHARE = 0.7
"""Of what is free on the device, what a batch may take."""


class TorchEncoder(RecipeEncoder):
    """A network on torch as an `Encoder`."""

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        fingerprint: str,
        *,
        normalisation: Normalisation | None = None,
        device: str = "cpu",
        precision: TorchPrecision = "fp32",
        compiled: bool = False,
        batch_size: int | None = None,
    ) -> None:
        """Move a network to its device.

        Args:
            network: (n, s, s, 3) uint8 to (n, dimension); with a `normalisation`, (n, 3, s, s)
                floats.
            recipe: how photos are prepared for it.
            fingerprint: what its vectors are compared by.
            normalisation: mean and standard deviation by channel, in grey levels; None where the
                network normalises by itself.
            device: as torch names it: `cpu`, `cuda`, `cuda:1`.
            precision: what to compute in.
            compiled: whether torch compiles the network, at its first batch; all batches are then
                filled up to one size.
            batch_size: photos a call; None sizes it by the memory that is free on the device.

        Raises:
            MissingError: torch has no such device.
        """
        self.recipe = recipe
        self.fingerprint = fingerprint
        self._device = _existing(device)
        self._dtype = DTYPES[precision]
        self._network = network.to(self._device, self._dtype).eval()
        self._normalisation = None
        if normalisation is not None:
            mean, std = (torch.tensor(values, device=self._device) for values in normalisation)
            self._normalisation = mean, std
            # Torch releases differ in whether this overload is typed.
            self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,unused-ignore]
        self.batch_size = batch_size or self._fitting_batch()
        self._compiled = compiled
        if compiled:
            self._network.compile()

    def encode(self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]) -> Vectors:
        """Embed squares (see `RecipeEncoder.encode`), in as many batches as the memory asks for.

        Raises `ModelError` when the pixels have another shape than the recipe says.
        """
        self.require_squares(pixels, domains)
        parts = [np.empty((0, self.dimension), dtype=np.float32)]
        first = 0
        while first < len(pixels):
            part = pixels[first : first + self.batch_size]
            try:
                parts.append(self._filled_up(part))
            except torch.OutOfMemoryError:
                # Others may use the device as well: go on with less.
                if self.batch_size == 1:
                    raise
                torch.cuda.empty_cache()
                self.batch_size //= 2
                continue
            first += len(part)
        return self.finished(np.concatenate(parts), domains) if len(pixels) else parts[0]

    def _filled_up(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        """Run a batch; a compiled network sees one size only, or it would be compiled again."""
        n = len(pixels)
        if self._compiled and n < self.batch_size:
            rest = np.zeros((self.batch_size - n, *pixels.shape[1:]), np.uint8)
            pixels = np.concatenate([pixels, rest])
        vectors: Vectors = self._run(pixels)[:n].cpu().numpy()
        return vectors

    @torch.inference_mode()
    def _run(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Return (n, dimension) float32 on the device."""
        shown = torch.tensor(pixels, device=self._device)
        if self._normalisation is not None:
            mean, std = self._normalisation
            # Channels last then: that is how the pixels lie.
            normalised = ((shown.float() - mean) / std).permute(0, 3, 1, 2)
            shown = normalised.to(self._dtype)
        features: Tensor = self._network(shown)
        return features.flatten(1).float()

    def _fitting_batch(self) -> int:
        """Return the largest power of two of photos that the free memory holds."""
        if self._device.type != "cuda":
            return _CPU_BATCH
        size = self.recipe.input_size
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        self._run(np.zeros((8, size, size, 3), np.uint8))
        each = max(1, (torch.cuda.max_memory_allocated(self._device) - before) // 8)
        free, _ = torch.cuda.mem_get_info(self._device)
        room = int(_MEMORY_SHARE * free / each)
        return 1 << (max(1, min(room, _LARGEST_BATCH)).bit_length() - 1)


def _existing(device: str) -> torch.device:
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise MissingError(f"no device {device!r}: {str(error).splitlines()[0]}") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise MissingError(
            f"no device {device!r}: torch {torch.__version__} sees {torch.cuda.device_count()} "
            "graphics processors (is the driver there, and is it a CUDA build of torch?)"
        )
    return found
