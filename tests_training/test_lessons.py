from __future__ import annotations

from collections.abc import Sequence

import torch
from test_sampling import products

from shoplens.training.config import Batch
from shoplens.training.lessons import Lessons
from shoplens.training.sampling import Draw, ProductSampler


class Numbered:
    """Views that show which draw they are of."""

    def batch(self, draws: Sequence[Draw]) -> torch.Tensor:
        return torch.tensor([float(draw.seed) for draw in draws])


def lessons() -> Lessons:
    return Lessons(ProductSampler(products(9), Batch(products=3, views=2), 0), Numbered(), None)


def test_lessons_made_ahead_are_those_of_their_steps() -> None:
    ahead = list(lessons().ahead(range(3, 7)))
    assert len(ahead) == 4
    for step, lesson in enumerate(ahead, start=3):
        expected = lessons().at(step)
        assert torch.equal(lesson.features, expected.features)
        assert torch.equal(lesson.labels, expected.labels)
        assert lesson.targets is None


def test_no_steps_make_no_lessons() -> None:
    assert list(lessons().ahead(range(5, 5))) == []
