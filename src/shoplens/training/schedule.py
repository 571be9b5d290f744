"""How fast which weights learn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from torch import nn

from shoplens.training.config import Optimiser


class Staged(Protocol):
    """A network whose backbone comes in stages, from pixels to features."""

    stages: nn.Sequential

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield every parameter, those of the stages included."""


def parameter_groups(
    network: Staged, optimiser: Optimiser, losses: nn.Module | None = None
) -> list[dict[str, Any]]:
    """Group parameters for a torch optimiser by how fast they learn.

    What lies outside the stages (pooling, head, loss) takes the full learning rate, the last stage
    `layer_decay` of it, the one below `layer_decay` of that, and so on (Howard and Ruder, "ULMFiT",
    ACL 2018; Bao et al., "BEiT", ICLR 2022). Biases and other vectors are not decayed. Frozen
    parameters are in no group; a shared one is in the group of its highest place.

    Returns:
        From the head down: `name`, `params`, `lr`, `weight_decay` of each group that is not empty.
    """
    staged = {id(parameter) for parameter in network.stages.parameters()}
    above = [p for p in network.parameters() if id(p) not in staged]
    if losses is not None:
        above += losses.parameters()
    places: list[tuple[str, Iterable[nn.Parameter]]] = [("head", above)]
    for number, stage in reversed(list(enumerate(network.stages))):
        places.append((f"stage {number}", stage.parameters()))

    groups: list[dict[str, Any]] = []
    taken: set[int] = set()
    for depth, (name, parameters) in enumerate(places):
        trained = [p for p in parameters if p.requires_grad and id(p) not in taken]
        taken.update(id(p) for p in trained)
        for decayed in (True, False):
            members = [p for p in trained if (p.ndim > 1) is decayed]
            if members:
                groups.append(
                    {
                        "name": name if decayed else f"{name}, vectors",
                        "params": members,
                        "lr": optimiser.learning_rate * optimiser.layer_decay**depth,
                        "weight_decay": optimiser.weight_decay if decayed else 0.0,
                    }
                )
    return groups


def warm_up_cosine(step: int, total: int, warm_up_share: float) -> float:
    """Return the factor of the learning rate at a step, for `torch.optim.lr_scheduler.LambdaLR`.

    It rises in equal steps to 1 at the end of the warm-up and falls to 0 at `total` along half a
    cosine (Loshchilov and Hutter, "SGDR", ICLR 2017). The first step already learns.
    """
    warm_up = round(total * warm_up_share)
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    if step >= total:
        return 0.0
    return (1 + math.cos(math.pi * (step - warm_up) / (total - warm_up))) / 2
