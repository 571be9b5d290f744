"""From pixels to vectors: stages, pooling, head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoplens.errors import DataError
from shoplens.training import config
from shoplens.training.backbones import Backbone


class GemPooling(nn.Module):
    """Generalised mean over places (Radenovic et al., TPAMI 2019); p = 1 is the mean."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w), not negative, to (n, c)."""
        if self.power == 1:
            return x.mean(dim=(2, 3))
        return x.clamp(min=1e-6).pow(self.power).mean(dim=(2, 3)).pow(1 / self.power)


class AttentionPooling(nn.Module):
    """GeM with places weighted by what is learned to matter (cf. DELG, Cao et al., ECCV 2020).

    It starts as plain GeM: the last layer's weights are zero, so all places weigh the same.
    """

    def __init__(self, channels: int, power: float) -> None:
        super().__init__()
        self.power = power
        self.hidden = nn.Conv2d(channels, 128, 1)
        self.score = nn.Conv2d(128, 1, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w), not negative, to (n, c)."""
        scores = self.score(functional.relu(self.hidden(x)))
        weights = scores.flatten(2).softmax(dim=2)
        raised = x.clamp(min=1e-6).pow(self.power).flatten(2)
        pooled: Tensor = (raised * weights).sum(dim=2).pow(1 / self.power)
        return pooled


class Network(nn.Module):
    """What is trained.

    The first `frozen_stages` of `stages` never change; `early` runs them, `late` the rest.
    """

    def __init__(self, backbone: Backbone, settings: config.NetworkConfig) -> None:
        super().__init__()
        self.stages = backbone.stages
        self.n_frozen = settings.frozen_stages
        if self.n_frozen > len(self.stages):
            raise ValueError(
                f"cannot freeze {self.n_frozen} stages: the network has {len(self.stages)}"
            )
        self.stages[: self.n_frozen].requires_grad_(False)
        if backbone.signed and settings.pooling != "mean":
            raise DataError(
                f"network.pooling: {settings.pooling} takes no features below zero, which "
                f"{settings.backbone} has; set it to mean"
            )
        self.pool: nn.Module
        if settings.pooling == "attention":
            self.pool = AttentionPooling(backbone.channels, settings.gem_power)
        else:
            self.pool = GemPooling(1.0 if settings.pooling == "mean" else settings.gem_power)
        self.head = nn.Linear(backbone.channels, settings.dimension)
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), False)
        self.mean: Tensor
        self.std: Tensor

    def early(self, pixels: Tensor) -> Tensor:
        """Map (n, s, s, 3) uint8 to the map of features after the frozen stages."""
        normalised = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        features: Tensor = self.stages[: self.n_frozen](normalised)
        return features

    def pooled(self, features: Tensor) -> Tensor:
        """Map what `early` gives to (n, channels) pooled features, float32, rows of unit length.

        Their length tells of contrast, not of the product: at unit length, it cannot shift a vector
        against the head's bias.
        """
        return functional.normalize(self.pool(self.stages[self.n_frozen :](features).float()))

    def late(self, features: Tensor) -> Tensor:
        """Map what `early` gives to (n, dimension) float32, rows of unit length."""
        return functional.normalize(self.head(self.pooled(features)))

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed (n, s, s, 3) uint8 as (n, dimension) float32, rows of unit length."""
        return self.late(self.early(pixels))
