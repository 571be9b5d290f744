"""What was fitted here for CLIP's class token: a projection, and a centre for each domain."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from shoplens.records import Domain

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """For tokens scaled to unit length: weight x + bias, unit length, minus the domain's centre."""

    weight: Floats
    """(dimension, channels), numbers that float16 holds."""
    bias: Floats
    """(dimension,)"""
    centres: Mapping[Domain, Floats]
    """(dimension,) each."""

    def to_bytes(self) -> bytes:
        """Return the head as an .npz file."""
        file = io.BytesIO()
        np.savez(
            file,
            weight=self.weight.astype(np.float16),
            bias=self.bias,
            user=self.centres["user"],
            seller=self.centres["seller"],
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as values:
            return cls(
                values["weight"].astype(np.float32),
                values["bias"],
                {"user": values["user"], "seller": values["seller"]},
            )


def head_file() -> bytes:
    """Return the head that ships with the package."""
    return (resources.files("shoplens.models.clip") / "head.npz").read_bytes()


def head_digest() -> str:
    """Return the sha256 of the head that ships, in hex digits."""
    return hashlib.sha256(head_file()).hexdigest()
