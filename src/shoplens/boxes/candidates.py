"""The rectangles that hold most of the foreground and little else.

All rectangles of a grid are compared. The score of one is its intersection over union with the
foreground, where a place counts as much as it is likely to belong to the product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.boxes.foreground import Map

GRID = 24
"""Places on either side of the grid. A model's feature map has half as many."""
ALIKE = 0.6
"""Two boxes of which the intersection over union is larger are the same proposal."""
_SHORTEST = 2
"""Places on a side of the smallest rectangle."""
_LEVELS = (1.0, 0.4, 2.5, 0.2, 5.0)
"""Powers of the foreground whose best rectangles are proposed: a lower one takes in more of what
is uncertain (all of a chair), a higher one less (its seat)."""

_STARTS, _ENDS = np.triu_indices(GRID + 1, _SHORTEST)
_LENGTHS = _ENDS - _STARTS
_AREAS = np.outer(_LENGTHS, _LENGTHS)
"""(i, i): rectangles by their rows and by their columns, both numbers of an interval."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rectangle in shares of the photo's sides (0..1), and its score."""

    x0: float
    y0: float
    x1: float
    y1: float
    score: float
    """0..1, higher is better."""


def best_rectangles(foreground: Map, n: int) -> list[Candidate]:
    """Return distinct rectangles, best first.

    Args:
        foreground: (GRID, GRID), 0..1.
        n: how many are wanted; fewer are returned when the others are too much alike.
    """
    scores = _scores(foreground)
    different = np.ones(scores.shape, dtype=bool)
    chosen: list[tuple[int, int]] = []

    def choose(place: tuple[int, int]) -> None:
        chosen.append(place)
        different[_overlaps(place) > ALIKE] = False

    for level in _LEVELS:
        place = _best(_scores(foreground**level))
        if different[place]:
            choose(place)
    # At least as many as levels, so that fewer are the best of more.
    while len(chosen) < max(n, len(_LEVELS)) and different.any():
        choose(_best(np.where(different, scores, -1)))
    chosen.sort(key=lambda place: -scores[place])
    return [_candidate(place, float(scores[place])) for place in chosen[:n]]


def _scores(foreground: Map) -> Map:
    """Return the score of each rectangle."""
    sums = np.zeros((GRID + 1, GRID + 1))
    sums[1:, 1:] = foreground.cumsum(axis=0).cumsum(axis=1)
    rows = sums[_ENDS] - sums[_STARTS]
    inside = rows[:, _ENDS] - rows[:, _STARTS]
    scores: Map = inside / (_AREAS + sums[-1, -1] - inside)
    return scores


def _best(scores: Map) -> tuple[int, int]:
    row, column = divmod(int(scores.argmax()), scores.shape[1])
    return row, column


def _overlaps(place: tuple[int, int]) -> Map:
    """Return the intersection over union of a rectangle with each other."""
    rows, columns = (_common(interval) for interval in place)
    both = np.outer(rows, columns)
    overlaps: Map = both / (_AREAS + _AREAS[place] - both)
    return overlaps


def _common(interval: int) -> npt.NDArray[np.int64]:
    """Return how many places an interval shares with each other."""
    start, end = _STARTS[interval], _ENDS[interval]
    shared: npt.NDArray[np.int64] = np.minimum(_ENDS, end) - np.maximum(_STARTS, start)
    return shared.clip(min=0)


def _candidate(place: tuple[int, int], score: float) -> Candidate:
    row, column = place
    x0, y0, x1, y1 = (
        float(value) / GRID for value in (_STARTS[column], _STARTS[row], _ENDS[column], _ENDS[row])
    )
    return Candidate(x0, y0, x1, y1, score)
