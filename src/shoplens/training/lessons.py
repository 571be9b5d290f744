"""What each step learns from: a batch of views with the products they show."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from shoplens.training.photo_views import Views
from shoplens.training.sampling import ProductSampler
from shoplens.training.teacher import Targets


class Lesson(NamedTuple):
    """The batch of a step."""

    features: Tensor
    """(n, c, h, w): what `Network.late` takes."""
    labels: Tensor
    """(n,) int64 rows of the products."""
    targets: Tensor | None
    """(n, dimension) of the teachers, rows of unit length; None without teachers."""


class Lessons:
    """The batches of a run: that of a step depends on the step alone."""

    def __init__(self, sampler: ProductSampler, views: Views, targets: Targets | None) -> None:
        self._sampler = sampler
        self._views = views
        self._targets = targets

    def at(self, step: int) -> Lesson:
        """Return the batch of a step."""
        draws = self._sampler.batch(step)
        return Lesson(
            self._views.batch(draws),
            torch.tensor([draw.label for draw in draws]),
            None if self._targets is None else self._targets.of([draw.photo for draw in draws]),
        )

    def ahead(self, steps: range) -> Iterator[Lesson]:
        """Yield the batch of every step, the next one made while the present one is used."""
        with ThreadPoolExecutor(1) as pool:
            waiting = [pool.submit(self.at, step) for step in steps[:1]]
            for step in steps:
                lesson = waiting.pop().result()
                waiting = [
                    pool.submit(self.at, after) for after in steps[step - steps.start + 1 :][:1]
                ]
                yield lesson
