"""A linear head: from the features of a network, or of several side by side, to vectors."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from shoplens.errors import ModelError
from shoplens.models.unit_length import unit
from shoplens.records import Domain, Vectors

_FEW = 8
"""Rows that are multiplied without a BLAS: what is embedded in one call on processors."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """x becomes weight x + bias, scaled to unit length, minus the centre of its domain.

    Raises `ModelError` when the shapes do not belong together, or a number is not finite.
    """

    weight: Vectors
    """(d, f) float32."""
    bias: npt.NDArray[np.float32]
    """(d,)"""
    centres: Mapping[Domain, npt.NDArray[np.float32]] = field(default_factory=dict)
    """(d,) for each domain, taken off at unit length; a domain that is not named has none."""

    def __post_init__(self) -> None:
        shapes = [self.bias.shape, *(centre.shape for centre in self.centres.values())]
        if self.weight.ndim != 2 or any(shape != self.weight.shape[:1] for shape in shapes):
            raise ModelError(
                f"a head with weights of shape {self.weight.shape} needs a bias and centres of "
                f"shape {self.weight.shape[:1]}, got {shapes}"
            )
        if not all(np.isfinite(values).all() for values in self._arrays().values()):
            raise ModelError("a head holds numbers that are not finite")

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return len(self.bias)

    @property
    def n_features(self) -> int:
        """How many numbers it takes."""
        return int(self.weight.shape[1])

    @property
    def digest(self) -> str:
        """The sha256 of its numbers, in hex digits."""
        digest = hashlib.sha256()
        for name, values in self._arrays().items():
            digest.update(f"{name} {values.shape} ".encode())
            digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
        return digest.hexdigest()

    def uncentred(self, features: Vectors) -> Vectors:
        """Map (n, f) features of unit length to (n, d) vectors of unit length."""
        if len(features) > _FEW:
            return unit(features @ self.weight.T + self.bias)
        # The threads of a BLAS wait busily for more, and take the cores from the networks.
        return unit(np.einsum("nf,df->nd", features, self.weight) + self.bias)

    def vectors(self, features: Vectors, domains: Domain | Sequence[Domain]) -> Vectors:
        """Map (n, f) features of unit length to vectors, as the model does.

        Args:
            features: of n photos.
            domains: who took each of them, or all of them.
        """
        vectors = self.uncentred(features)
        if not self.centres:
            return vectors
        zero = np.zeros(self.dimension, dtype=np.float32)
        if isinstance(domains, str):
            return unit(vectors - self.centres.get(domains, zero))
        return unit(vectors - np.stack([self.centres.get(domain, zero) for domain in domains]))

    def to_bytes(self, *, half: bool = False) -> bytes:
        """Return the head as an .npz file; with `half`, the weight in 16 bits, which must hold it.

        Raises `ModelError` when they do not.
        """
        arrays: dict[str, Any] = {
            name: values.astype(np.float32) for name, values in self._arrays().items()
        }
        if half:
            arrays["weight"] = self.weight.astype(np.float16)
            if not np.array_equal(arrays["weight"].astype(np.float32), self.weight):
                raise ModelError("the weight of the head cannot be kept in 16 bits")
        file = io.BytesIO()
        np.savez(file, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> LinearHead:
        """Read what `to_bytes` wrote; floats of 16 bits are read as float32.

        Raises `ModelError` when it is no such file.
        """
        try:
            if not zipfile.is_zipfile(io.BytesIO(data)):
                raise ValueError("no zip")
            with np.load(io.BytesIO(data), allow_pickle=False) as values:
                arrays = {name: np.asarray(values[name], np.float32) for name in values.files}
            weight, bias = arrays.pop("weight"), arrays.pop("bias")
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ModelError(f"the head is no .npz file of `weight` and `bias`: {error}") from error
        domains: tuple[Domain, ...] = get_args(Domain)
        if unknown := arrays.keys() - set(domains):
            raise ModelError(f"the head has centres of unknown domains: {', '.join(unknown)}")
        return cls(weight, bias, {name: arrays[name] for name in domains if name in arrays})

    def _arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        return {"weight": self.weight, "bias": self.bias} | {
            str(domain): centre for domain, centre in self.centres.items()
        }
