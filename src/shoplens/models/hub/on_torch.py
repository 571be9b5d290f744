"""Towers of other libraries on torch itself, on one device or several."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from shoplens.models.encoder import Encoder
from shoplens.models.hub.loading import load_tower
from shoplens.models.hub.torch_encoder import DTYPES, TorchEncoder, TorchPrecision
from shoplens.models.hub.tower import ImageTower
from shoplens.models.replicas import Replicas


def tower_encoder(
    tower: ImageTower, *, precision: TorchPrecision = "fp32", **settings: Any
) -> TorchEncoder:
    """Return an image tower of another library as an `Encoder`.

    Vectors are those of the network in the chosen precision; so precision is part of the
    fingerprint, and vectors of two precisions are not compared.

    Args:
        tower: see `shoplens.models.hub.loading.load_tower`.
        precision: what to compute in.
        settings: the others that `TorchEncoder` takes by name.

    Raises:
        MissingError: torch has no such device.
        ModelError: the network gives no vectors.
    """
    size = tower.preparation.input_size
    with torch.inference_mode():
        dimension = tower.network.eval()(torch.zeros((1, 3, size, size))).flatten(1).shape[1]
    recipe = tower.recipe(dimension)
    # The fingerprint is over the weights that compute, rounded to the precision.
    tower.network.to(DTYPES[precision])
    fingerprint = recipe.fingerprint(_digest(tower, precision))
    return TorchEncoder(
        tower.network,
        recipe,
        fingerprint,
        normalisation=(tower.preparation.mean, tower.preparation.std),
        precision=precision,
        **settings,
    )


def load_on(
    model: str,
    devices: Sequence[str],
    precision: TorchPrecision = "bf16",
    *,
    compiled: bool = True,
) -> Encoder:
    """Load a model of another library onto one device or several.

    Args:
        model: as in `shoplens.models.hub.loading.load_tower`.
        devices: as torch names them, at least one.
        precision: what to compute in; bfloat16 is what graphics processors are fastest at, with
            the range of float32.
        compiled: see `TorchEncoder`.

    Raises as `load_tower` and `TorchEncoder` do.
    """
    encoders = [
        tower_encoder(load_tower(model), device=device, precision=precision, compiled=compiled)
        for device in devices
    ]
    return encoders[0] if len(encoders) == 1 else Replicas(encoders)


def _digest(tower: ImageTower, precision: TorchPrecision) -> bytes:
    """Return what the fingerprint takes for the weights."""
    digest = hashlib.sha256(precision.encode())
    for name, values in sorted(tower.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().cpu().float().numpy().tobytes())
    return digest.digest()
