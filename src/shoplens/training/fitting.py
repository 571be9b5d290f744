"""The steps of a run: loss, gradient, optimiser, moving average."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from accelerate import Accelerator

from shoplens.errors import ShoplensError
from shoplens.training.averaging import moving_average
from shoplens.training.config import Config
from shoplens.training.lessons import Lesson
from shoplens.training.losses import build_losses
from shoplens.training.network import Network
from shoplens.training.schedule import parameter_groups, warm_up_cosine


class Fitting:
    """A network being trained, with all that a checkpoint of it holds."""

    def __init__(
        self,
        network: Network,
        config: Config,
        photos_per_product: Sequence[int],
        total_steps: int,
        accelerator: Accelerator,
    ) -> None:
        settings = config.optimiser
        self._accelerator = accelerator
        self._clip = settings.clip
        self._network = network
        # What the start weights make of a view, for the terms that hold on to it.
        self._start: Network | None = None
        if any(loss.kind == "keep" for loss in config.losses):
            self._start = copy.deepcopy(network).requires_grad_(False).eval()
        losses = build_losses(
            config.losses,
            dimension=config.network.dimension,
            nested=config.network.nested,
            labels_per_product=photos_per_product,
            device=accelerator.device,
        )
        optimiser = torch.optim.AdamW(parameter_groups(network, settings, losses))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: warm_up_cosine(step, total_steps, settings.warm_up)
        )
        self._model, self._losses, self._optimiser, self._schedule = accelerator.prepare(
            network, losses, optimiser, schedule
        )
        self._average = moving_average(network, config.averaging.ema)
        accelerator.register_for_checkpointing(self._average)

    @property
    def averaged(self) -> Network:
        """The moving average of the network's weights."""
        return cast(Network, self._average.module)

    @property
    def learning_rate(self) -> float:
        """Of the head, at the next step."""
        return float(self._schedule.get_last_lr()[0])

    def step(self, lesson: Lesson) -> dict[str, float]:
        """Learn from a batch; return the terms of the loss.

        Raises `ShoplensError` when the loss is not finite: nothing was learnt from the batch.
        """
        device = self._accelerator.device
        features = lesson.features.to(device)
        with self._accelerator.autocast():
            vectors = self._model.late(features)
        start = None
        if self._start is not None:
            with torch.no_grad():
                start = self._start.pooled(features)
        targets = None if lesson.targets is None else lesson.targets.to(device)
        terms = self._losses(vectors.float(), lesson.labels.to(device), start, targets)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise ShoplensError(
                f"the loss became {float(loss)}; lower optimiser.learning_rate, or raise the "
                "temperature of a loss"
            )
        self._optimiser.zero_grad()
        self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(self._model.parameters(), self._clip)
        self._optimiser.step()
        self._schedule.step()
        self._average.update_parameters(self._network)
        return {name: float(term.detach()) for name, term in terms.items()}
