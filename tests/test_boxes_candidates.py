from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shoplens.boxes.candidates import ALIKE, GRID, Candidate, best_rectangles
from shoplens.boxes.foreground import Map

MAPS = arrays(np.float64, (GRID, GRID), elements=st.floats(0, 1)).filter(lambda m: m.sum() > 1e-3)


def overlap(a: Candidate, b: Candidate) -> float:
    width = max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0))
    height = max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))
    areas = sum((one.x1 - one.x0) * (one.y1 - one.y0) for one in (a, b))
    return width * height / (areas - width * height)


@given(MAPS, st.integers(1, 12))
def test_rectangles_are_distinct_within_the_photo_and_best_first(foreground: Map, n: int) -> None:
    found = best_rectangles(foreground, n)
    assert 1 <= len(found) <= n
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    for number, one in enumerate(found):
        assert 0 <= one.x0 < one.x1 <= 1
        assert 0 <= one.y0 < one.y1 <= 1
        assert all(overlap(one, other) <= ALIKE + 1e-9 for other in found[:number])


@given(MAPS)
def test_the_first_has_the_largest_soft_overlap_of_all(foreground: Map) -> None:
    best = best_rectangles(foreground, 1)[0]
    rows = slice(round(best.y0 * GRID), round(best.y1 * GRID))
    columns = slice(round(best.x0 * GRID), round(best.x1 * GRID))
    part = foreground[rows, columns]
    assert best.score == pytest.approx(part.sum() / (part.size + foreground.sum() - part.sum()))
    assert best.score >= foreground.sum() / foreground.size - 1e-12  # that of the whole photo


@pytest.mark.parametrize(
    ("rows", "columns"), [((3, 11), (6, 20)), ((0, 24), (0, 24)), ((22, 24),) * 2]
)
def test_a_sharp_rectangle_is_found_exactly(
    rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    foreground = np.zeros((GRID, GRID))
    foreground[slice(*rows), slice(*columns)] = 1
    edges = (columns[0], rows[0], columns[1], rows[1])
    assert best_rectangles(foreground, 5)[0] == Candidate(*(e / GRID for e in edges), 1.0)


def test_two_things_are_proposed_together_and_each_alone() -> None:
    foreground = np.zeros((GRID, GRID))
    foreground[8:16, 2:9] = 1
    foreground[8:16, 15:22] = 0.9
    found = best_rectangles(foreground, 5)

    def is_found(x0: int, x1: int) -> bool:
        wanted = Candidate(x0 / GRID, 8 / GRID, x1 / GRID, 16 / GRID, 1)
        return any(overlap(one, wanted) > 0.9 for one in found)

    assert is_found(2, 22)
    assert is_found(2, 9)
    assert is_found(15, 22)
