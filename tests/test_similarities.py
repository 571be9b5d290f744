from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from shoplens import Embeddings, rank
from shoplens.similarities import exact_scores, on_grid, photo_scores
from shoplens.vectors.regions import RegionVectors


def units(n: int, dimension: int, seed: int) -> npt.NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_sums_of_products_fit_float64_without_rounding() -> None:
    grid = on_grid(units(50, 1280, 0))
    assert (grid == np.rint(grid)).all()
    # Whole numbers below 2^53 are exact, and no partial sum of products exceeds this (Cauchy).
    assert (grid**2).sum(axis=1).max() < 2**53


def test_scores_are_cosines_to_float32_precision() -> None:
    queries, vectors = units(20, 1280, 0), units(300, 1280, 1)
    expected = queries.astype(np.float64) @ vectors.astype(np.float64).T
    scores = exact_scores(queries, vectors)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=0, atol=6e-8)


# With these seeds a plain float64 product, rounded to float32, differs in one score.
@pytest.mark.parametrize("seed", [55, 64])
def test_a_pair_has_the_same_score_wherever_it_stands(seed: int) -> None:
    queries, vectors = np.split(units(2064, 64, seed), [64])
    expected = exact_scores(queries, vectors)
    places = np.random.default_rng(0).permutation(2000)[:777]
    np.testing.assert_array_equal(exact_scores(queries, vectors[places]), expected[:, places])
    for row in range(64):
        np.testing.assert_array_equal(
            exact_scores(queries[row : row + 1], vectors)[0], expected[row]
        )


def test_scores_do_not_depend_on_the_order_of_addition() -> None:
    queries, vectors = units(200, 1280, 6), units(400, 1280, 7)
    shuffled = np.random.default_rng(0).permutation(1280)
    np.testing.assert_array_equal(
        exact_scores(queries[:, shuffled], vectors[:, shuffled]), exact_scores(queries, vectors)
    )


@pytest.mark.parametrize("counts", [None, [0, 2, 1, 0, 2, 2, 0, 1]])
@pytest.mark.parametrize("rows", [[], [5], [2, 3, 4], [4, 3, 2], [0, 2, 1, 3], [7, 0], [1, 1]])
def test_the_scores_of_some_photos_are_those_of_the_ranking(
    counts: list[int] | None, rows: list[int]
) -> None:
    regions = None
    if counts is not None:
        n = sum(counts)
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        corners = np.tile(np.array([0, 0, 1, 1], np.int32), (n, 1))
        regions = RegionVectors(2, starts, corners, units(n, 16, 3))
    gallery = Embeddings(np.arange(8, dtype=np.int32), units(8, 16, 1), regions=regions)
    [query] = units(1, 16, 2)
    found = rank(query, gallery)
    assert found.scores is not None
    by_photo = dict(zip(found.ids[0].tolist(), found.scores[0].tolist(), strict=True))
    scores = photo_scores(query, gallery, np.array(rows, dtype=np.intp))
    assert scores.tolist() == [by_photo[row] for row in rows]
