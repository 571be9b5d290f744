"""Matrices of low rank added to CLIP's last layers; nothing else of the network changes.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shoplens.errors import ModelError
from shoplens.models.clip.head import Adapter
from shoplens.training.clip_stages import OF_A_LAYER, ClassToken, Layer, layer_name


class LowRank(nn.Module):
    """A frozen linear layer and a matrix of low rank added to its weight, at first zero."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        y: Tensor = self.layer(x) + (x @ self.down.T) @ self.up.T
        return y


class LastLayers(nn.Module):
    """CLIP's last layers with adapters: from the tokens before them to the class token.

    What comes before, `stages[: -1 - n_layers]`, is frozen, so what it gives can be stored.
    """

    def __init__(self, stages: nn.Sequential, n_layers: int, rank: int) -> None:
        """Copy the last layers of a tower.

        Args:
            stages: of `shoplens.training.clip_stages.clip_stages`; they stay as they are.
            n_layers: how many are adapted, counted from the last.
            rank: of the matrices.

        Raises:
            ModelError: the tower has not so many layers.
        """
        super().__init__()
        self._n_before = len(stages) - 2 - n_layers
        if n_layers < 1 or self._n_before < 0:
            raise ModelError(
                f"{n_layers} layers cannot be adapted: the tower has {len(stages) - 2}"
            )
        last: list[nn.Module] = [copy.deepcopy(stage) for stage in list(stages)[-1 - n_layers :]]
        self.layers = nn.ModuleList(last[:-1]).requires_grad_(False)
        self.last = last[-1].requires_grad_(False)
        for layer in self.layers:
            for part in _ADAPTED:
                setattr(layer, part, LowRank(getattr(layer, part), rank))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, tokens, c) to (n, c), the class token after the last normalisation."""
        for number, layer in enumerate(self.layers, start=1):
            assert isinstance(layer, Layer)
            # Of the last layer only the class token is read.
            x = layer.rows(x, x[:, :1] if number == len(self.layers) else x)
        assert isinstance(self.last, ClassToken)
        token: Tensor = self.last.norm(x[:, 0].float())
        return token

    def trained(self) -> dict[str, nn.Parameter]:
        """Return what is trained, by name."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def adapters(self) -> dict[str, Adapter]:
        """Return the matrices as a head has them, in numbers that float16 holds."""
        found = {}
        for number, layer in enumerate(self.layers, start=self._n_before):
            for part, theirs in _ADAPTED.items():
                low_rank = getattr(layer, part)
                down, up = (
                    value.detach().half().float().numpy() for value in (low_rank.down, low_rank.up)
                )
                found[layer_name(number, theirs)] = Adapter(down, up)
        return found


def averaged(networks: Sequence[LastLayers]) -> LastLayers:
    """Return a network whose weights are the mean of several, which differ in their matrices only.

    Its matrices are theirs side by side, so their rank is the sum of ranks. Networks that were
    trained from the same start, in different order, are often better averaged than any of them
    (Wortsman et al., "Model soups", ICML 2022).
    """
    mean = copy.deepcopy(networks[0])
    for number, layer in enumerate(mean.layers):
        for part in _ADAPTED:
            found = [getattr(network.layers[number], part) for network in networks]
            low_rank = getattr(layer, part)
            low_rank.down = nn.Parameter(torch.cat([one.down.detach() for one in found]))
            ups = [one.up.detach() / len(networks) for one in found]
            low_rank.up = nn.Parameter(torch.cat(ups, dim=1))
    return mean


_ADAPTED = {ours: theirs for ours, theirs in OF_A_LAYER.items() if not ours.startswith("norm")}
"""The linear layers of a layer: our names and the file's."""
