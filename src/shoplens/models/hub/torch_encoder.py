"""A tower of another library on torch itself: for graphics processors, and for networks too large
for one ONNX file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from shoplens.errors import MissingError, ModelError
from shoplens.models.encoder import Encoder, unit
from shoplens.models.hub.tower import ImageTower, load_tower
from shoplens.models.recipe import Recipe
from shoplens.models.replicas import Replicas
from shoplens.records import Domain, Vectors

TorchPrecision = Literal["fp32", "fp16", "bf16"]
"""What the network computes in."""
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_CPU_BATCH = 8
_LARGEST_BATCH = 256
_MEMORY_SHARE = 0.7
"""Of what is free on the device, what a batch may take."""


class TorchEncoder:
    """An image tower as an `Encoder`.

    Vectors are those of the network in the chosen precision; so precision is part of the
    fingerprint, and vectors of two precisions are not compared.
    """

    def __init__(
        self,
        tower: ImageTower,
        *,
        device: str = "cpu",
        precision: TorchPrecision = "fp32",
        compiled: bool = False,
        batch_size: int | None = None,
    ) -> None:
        """Move a tower to its device.

        Args:
            tower: see `shoplens.models.hub.tower.load_tower`.
            device: as torch names it: `cpu`, `cuda`, `cuda:1`.
            precision: what to compute in.
            compiled: whether torch compiles the network, at its first batch; all batches are then
                filled up to one size.
            batch_size: photos a call; None sizes it by the memory that is free on the device.

        Raises:
            MissingError: torch has no such device.
            ModelError: the network gives no vectors.
        """
        self._device = _existing(device)
        self._dtype = DTYPES[precision]
        self._network: nn.Module = tower.network.to(self._device, self._dtype).eval()
        # Torch releases differ in whether this overload is typed.
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,unused-ignore]
        preparation = tower.preparation
        self._mean = torch.tensor(preparation.mean, device=self._device)
        self._std = torch.tensor(preparation.std, device=self._device)
        self._size = preparation.input_size
        dimension = self._run(np.zeros((1, self._size, self._size, 3), np.uint8)).shape[1]
        self._recipe = tower.recipe(dimension)
        self._fingerprint = self._recipe.fingerprint(_digest(tower, precision))
        self.batch_size = batch_size or self._fitting_batch()
        self._compiled = compiled
        if compiled:
            self._network.compile()

    @property
    def recipe(self) -> Recipe:
        """How photos are prepared for it."""
        return self._recipe

    @property
    def fingerprint(self) -> str:
        """16 hex digits over weights, precision and recipe."""
        return self._fingerprint

    def encode(self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos (see `Encoder.encode`), in as many batches as the memory asks for.

        Raises `ModelError` when the pixels have another shape than the recipe says.
        """
        if pixels.shape[1:] != (self._size, self._size, 3) or len(domains) != len(pixels):
            raise ModelError(
                f"model {self._recipe.name} takes (n, {self._size}, {self._size}, 3) pixels and n "
                f"domains, got {pixels.shape} and {len(domains)}"
            )
        parts = [np.empty((0, self._recipe.dimension), dtype=np.float32)]
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
        return unit(np.concatenate(parts)) if len(pixels) else parts[0]

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
        on_device = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device)
        normalised = ((on_device.float() - self._mean) / self._std).permute(0, 3, 1, 2)
        # Already channels last: that is how the pixels lie.
        features: Tensor = self._network(normalised.to(self._dtype))
        return features.flatten(1).float()

    def _fitting_batch(self) -> int:
        """Return the largest power of two of photos that the free memory holds."""
        if self._device.type != "cuda":
            return _CPU_BATCH
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        self._run(np.zeros((8, self._size, self._size, 3), np.uint8))
        each = max(1, (torch.cuda.max_memory_allocated(self._device) - before) // 8)
        free, _ = torch.cuda.mem_get_info(self._device)
        room = int(_MEMORY_SHARE * free / each)
        return 1 << (max(1, min(room, _LARGEST_BATCH)).bit_length() - 1)


def load_on(
    model: str,
    devices: Sequence[str],
    precision: TorchPrecision = "bf16",
    *,
    compiled: bool = True,
) -> Encoder:
    """Load a model of another library onto one device or several.

    Args:
        model: as in `shoplens.models.hub.tower.load_tower`.
        devices: as torch names them, at least one.
        precision: what to compute in; bfloat16 is what graphics processors are fastest at, with
            the range of float32.
        compiled: see `TorchEncoder`.

    Raises as `load_tower` and `TorchEncoder` do.
    """
    encoders = [
        TorchEncoder(load_tower(model), device=device, precision=precision, compiled=compiled)
        for device in devices
    ]
    return encoders[0] if len(encoders) == 1 else Replicas(encoders)


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


def _digest(tower: ImageTower, precision: TorchPrecision) -> bytes:
    """Return what the fingerprint takes for the weights."""
    digest = hashlib.sha256(precision.encode())
    for name, values in sorted(tower.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().cpu().float().numpy().tobytes())
    return digest.digest()
