"""Averages of weights: over the steps of a run, with the start weights, over several runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from shoplens.errors import ModelError

State = Mapping[str, Tensor]
"""What `state_dict` gives."""


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of a network; `update_parameters` tells it of a step.

    It begins with the weights at the first step it is told of. The decay then rises to `decay`, as
    min(decay, (1 + n) / (10 + n)) after n steps, so that an average over few steps is not mostly
    the start. Buffers are averaged as well; whole numbers are those of the last step. Its state
    holds n, so a run goes on exactly.
    """

    def update(
        averages: list[Tensor] | tuple[Tensor, ...],
        latest: list[Tensor] | tuple[Tensor, ...],
        count: Tensor | int,
    ) -> None:
        if not averages[0].is_floating_point():
            for average, value in zip(averages, latest, strict=True):
                average.copy_(value)
            return
        n = int(count)
        mix = get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))  # type: ignore[no-untyped-call]
        mix(averages, latest, count)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)


def interpolate(start: State, end: State, share: float) -> dict[str, Tensor]:
    """Return `share` of the start weights and the rest of the end weights.

    Fine-tuned weights give up robustness that the start had; a point between the two often beats
    both ("WiSE-FT", Wortsman et al., CVPR 2022). Whole numbers are those of the end.

    Raises `ModelError` when the two are not of one network.
    """
    _require_alike([start, end])
    return {
        name: torch.lerp(last, start[name].to(last), share)
        if last.is_floating_point()
        else last.clone()
        for name, last in end.items()
    }


def soup(states: Sequence[State]) -> dict[str, Tensor]:
    """Return the mean of several runs' weights from one start (Wortsman et al., ICML 2022).

    Whole numbers are those of the last state. Raises `ModelError` when they are not of one network.
    """
    _require_alike(states)
    return {
        name: torch.stack([state[name].to(last) for state in states]).mean(dim=0)
        if last.is_floating_point()
        else last.clone()
        for name, last in states[-1].items()
    }


class GreedySoup(NamedTuple):
    """A soup and what went into it."""

    state: dict[str, Tensor]
    members: tuple[int, ...]
    """Places in the sequence of states, best first."""
    score: float


def greedy_soup(states: Sequence[State], score: Callable[[State], float]) -> GreedySoup:
    """Add states to a soup, best first, as long as it does not get worse.

    Recipe 1 of "Model soups" (Wortsman et al., ICML 2022); never worse than the best state.

    Args:
        states: of one network; at least one.
        score: of a state in validation, higher is better.
    """
    scores = [score(state) for state in states]
    best, *others = sorted(range(len(states)), key=lambda place: -scores[place])
    members = [best]
    result = GreedySoup(soup([states[best]]), (best,), scores[best])
    for place in others:
        wider = soup([states[member] for member in (*members, place)])
        reached = score(wider)
        if reached >= result.score:
            members.append(place)
            result = GreedySoup(wider, tuple(members), reached)
    return result


def _require_alike(states: Sequence[State]) -> None:
    if not states:
        raise ModelError("there are no weights to average")
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in states]
    for other in shapes[1:]:
        if other != shapes[0]:
            names = sorted(name for name, _ in shapes[0].items() ^ other.items())
            raise ModelError(f"the weights are of different networks: they differ in {names[0]!r}")
