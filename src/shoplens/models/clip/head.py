"""What was fitted here for CLIP: linear layers for its class token, a centre for each domain, and
what is added to the weights of its late layers."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from shoplens.errors import ModelError
from shoplens.records import Domain

Floats = npt.NDArray[np.float32]


class Linear(NamedTuple):
    """x becomes weight x + bias."""

    weight: Floats
    """(outputs, inputs), numbers that float16 holds."""
    bias: Floats
    """(outputs,)"""


class Adapter(NamedTuple):
    """A matrix of low rank that is added to a layer's weight W: x W + (x down^T) up^T.

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
    """

    down: Floats
    """(rank, inputs), numbers that float16 holds."""
    up: Floats
    """(outputs, rank), likewise."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Linear layers, each for vectors scaled to unit length; in the end minus the domain's centre.

    Without layers and centres, it only adapts the network.

    Raises `ModelError` when a layer does not take what the one before gives.
    """

    layers: tuple[Linear, ...]
    centres: Mapping[Domain, Floats]
    """(dimension,) each."""
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    """By the name of a layer of the network; layers that are not named stay as they are."""

    def __post_init__(self) -> None:
        for before, after in pairwise(self.layers):
            if after.weight.shape[1] != len(before.bias):
                raise ModelError(
                    f"a layer of the head takes {after.weight.shape[1]} numbers and is given "
                    f"{len(before.bias)}"
                )

    @property
    def channels(self) -> int:
        """What it takes."""
        return int(self.layers[0].weight.shape[1])

    def to_bytes(self) -> bytes:
        """Return the head as an .npz file."""
        values: dict[str, Any] = {"user": self.centres["user"], "seller": self.centres["seller"]}
        for number, layer in enumerate(self.layers):
            values[f"weight{number}"] = layer.weight.astype(np.float16)
            values[f"bias{number}"] = layer.bias
        for name, adapter in self.adapters.items():
            values[f"down {name}"] = adapter.down.astype(np.float16)
            values[f"up {name}"] = adapter.up.astype(np.float16)
        file = io.BytesIO()
        np.savez(file, **values)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as values:
            n_layers = sum(name.startswith("weight") for name in values.files)
            return cls(
                tuple(
                    Linear(values[f"weight{n}"].astype(np.float32), values[f"bias{n}"])
                    for n in range(n_layers)
                ),
                {"user": values["user"], "seller": values["seller"]},
                {
                    name: Adapter(
                        values[f"down {name}"].astype(np.float32),
                        values[f"up {name}"].astype(np.float32),
                    )
                    for part, _, name in (key.partition(" ") for key in values.files)
                    if part == "down"
                },
            )


def head_file() -> bytes:
    """Return the head that ships with the package."""
    return (resources.files("shoplens.models.clip") / "head.npz").read_bytes()


def head_digest() -> str:
    """Return the sha256 of the head that ships, in hex digits."""
    return hashlib.sha256(head_file()).hexdigest()
