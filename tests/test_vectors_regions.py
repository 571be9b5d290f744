from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens import Box, Embeddings, Ranking, rank
from shoplens.errors import RankingError
from shoplens.records import Failure
from shoplens.similarities import exact_scores
from shoplens.vectors.regions import MatchedRegions, RegionVectors, fused


def units(n: int, dimension: int, seed: int) -> npt.NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def with_regions(counts: list[int], dimension: int = 8, limit: int = 3) -> Embeddings:
    """Make photos with random vectors, and so many regions of each."""
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    m = int(starts[-1])
    corners = (
        np.tile(np.array([0, 0, 1, 1], np.int32), (m, 1)) + np.arange(m, dtype=np.int32)[:, None]
    )
    regions = RegionVectors(limit, starts, corners, units(m, dimension, 7))
    n = len(counts)
    return Embeddings(
        np.arange(100, 100 + n, dtype=np.int32), units(n, dimension, 5), regions=regions
    )


def expected(queries: npt.NDArray[np.float32], gallery: Embeddings, row: int) -> Any:
    """Return the scores of a query with all photos, by the definition, and the best region."""
    assert gallery.regions is not None
    [whole] = exact_scores(queries[row : row + 1], gallery.vectors).astype(float)
    scores, best = [], []
    for photo, (start, end) in enumerate(
        zip(gallery.regions.starts[:-1], gallery.regions.starts[1:], strict=True)
    ):
        parts = exact_scores(queries[row : row + 1], gallery.regions.vectors[start:end])[0]
        values = [whole[photo], *parts.astype(float).tolist()]
        first = int(np.argmax(values))
        best.append(-1 if first == 0 else int(start) + first - 1)
        scores.append(0.3 * whole[photo] + 0.7 * max(values))
    return np.array(scores), np.array(best)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 15))
def test_a_score_is_a_share_of_the_whole_and_of_the_best(counts: list[int], depth: int) -> None:
    gallery, queries = with_regions(counts), units(4, 8, 1)
    found = rank(queries, gallery, depth=depth)
    assert found.chain == ("exact", "regions(3)")
    assert found.scores is not None
    assert found.regions is not None
    for row in range(4):
        scores, best = expected(queries, gallery, row)
        order = np.argsort(-scores, kind="stable")[:depth]
        assert (found.ids[row] - 100).tolist() == order.tolist()
        np.testing.assert_allclose(found.scores[row], scores[order], atol=1e-6)
        assert found.regions.numbers[row].tolist() == best[order].tolist()


def test_blocks_change_nothing() -> None:
    gallery, queries = with_regions([2, 0, 3, 1] * 30), units(9, 8, 1)
    whole = rank(queries, gallery)
    small = rank(queries, gallery, block_bytes=1)
    assert small.scores is not None
    assert whole.scores is not None
    assert np.array_equal(whole.ids, small.ids)
    assert np.array_equal(whole.scores, small.scores)
    assert whole.regions is not None
    assert small.regions is not None
    assert np.array_equal(whole.regions.numbers, small.regions.numbers)


def test_a_query_alone_gets_the_row_that_it_gets_among_others() -> None:
    gallery, queries = with_regions([2, 0, 3, 1, 1]), units(3, 8, 1)
    together, alone = rank(queries, gallery), rank(queries[1], gallery)
    assert together.scores is not None
    assert alone.scores is not None
    assert np.array_equal(together.ids[1], alone.ids[0])
    assert np.array_equal(together.scores[1], alone.scores[0])


def test_photos_without_regions_are_ranked_as_before() -> None:
    gallery, queries = with_regions([0] * 6), units(3, 8, 1)
    plain = rank(queries, replace(gallery, regions=None))
    found = rank(queries, gallery)
    assert plain.scores is not None
    assert found.scores is not None
    assert np.array_equal(plain.ids, found.ids)
    assert np.array_equal(plain.scores, found.scores)
    assert plain.regions is None
    assert plain.chain == ("exact",)


def test_photos_with_equal_vectors_stay_in_gallery_order() -> None:
    gallery = with_regions([1, 1, 1])
    assert gallery.regions is not None
    same = np.tile(gallery.regions.vectors[:1], (3, 1))
    gallery = replace(
        gallery,
        vectors=np.tile(gallery.vectors[:1], (3, 1)),
        regions=replace(gallery.regions, vectors=same),
    )
    assert rank(units(1, 8, 1), gallery).ids.tolist() == [[100, 101, 102]]


def test_the_region_that_matched_is_known() -> None:
    gallery = with_regions([2, 0, 1])
    assert gallery.regions is not None
    found = rank(gallery.regions.vectors[1], gallery)
    assert found.ids[0, 0] == 100
    assert found.regions is not None
    assert found.regions.box(0, 100) == Box(1, 1, 2, 2)
    assert found.regions.box(0, 101) is None
    assert found.regions.box(0, 4711) is None
    assert rank(gallery.vectors[1], gallery).regions.box(0, 101) is None  # type: ignore[union-attr]


def test_it_is_known_in_whatever_order_the_photos_are_put() -> None:
    gallery = with_regions([2, 1, 1])
    assert gallery.regions is not None
    found = rank(gallery.regions.vectors[1], gallery)
    turned = replace(found, ids=found.ids[:, ::-1])
    assert turned.regions is not None
    assert turned.regions.box(0, 100) == Box(1, 1, 2, 2)


def test_photos_that_failed_come_last() -> None:
    gallery = replace(with_regions([0, 2, 1]), failures=(Failure(0, 100, "photo", "corrupt", ""),))
    found = rank(units(1, 8, 1), gallery)
    assert found.ids[0, -1] == 100
    assert found.regions is not None
    assert found.regions.box(0, 100) is None


def test_a_ranking_keeps_its_regions_in_a_file(tmp_path: Path) -> None:
    found = rank(units(3, 8, 1), with_regions([2, 0, 1]))
    found.save(tmp_path / "ranks.npz")
    loaded = Ranking.load(tmp_path / "ranks.npz", found.query_ids)
    assert loaded.chain == ("exact", "regions(3)")
    assert loaded.regions is not None
    assert found.regions is not None
    for name in ("ids", "numbers", "boxes"):
        assert np.array_equal(getattr(loaded.regions, name), getattr(found.regions, name))


def test_a_file_with_regions_that_do_not_exist_is_refused(tmp_path: Path) -> None:
    found = rank(units(3, 8, 1), with_regions([2, 0, 1]))
    found.save(tmp_path / "ranks.npz")
    arrays = dict(np.load(tmp_path / "ranks.npz"))
    for name, value in (
        ("region_numbers", arrays["region_numbers"] + 3),
        ("region_numbers", arrays["region_numbers"][:, :1]),
        ("region_boxes", arrays["region_boxes"][:, :3]),
    ):
        np.savez(tmp_path / "damaged.npz", **{**arrays, name: value})
        with pytest.raises(RankingError, match="region"):
            Ranking.load(tmp_path / "damaged.npz", found.query_ids)


@given(
    st.floats(-1, 1, width=32),
    st.floats(0, 2, width=32),
)
def test_a_fused_score_is_between_the_two(whole: float, more: float) -> None:
    low = np.float32(whole)
    best = np.float32(min(1.0, float(low) + more))
    score = fused(np.array([low]), np.array([best]))
    assert score.dtype == np.float32
    assert low <= score[0] <= best
    assert fused(np.array([low]), np.array([low]))[0] == low


def test_regions_that_do_not_fit_are_refused() -> None:
    starts, vectors = np.array([0, 1, 2]), units(2, 8, 0)
    boxes = np.array([[0, 0, 1, 1]] * 2, np.int32)
    regions = RegionVectors(3, starts, boxes, vectors)
    with pytest.raises(RankingError, match="2 region vectors need boxes"):
        RegionVectors(3, starts, boxes[:1], vectors)
    with pytest.raises(RankingError, match="starts that end with 2"):
        RegionVectors(3, starts[:2], boxes, vectors)
    with pytest.raises(RankingError, match="are of 2 photos"):
        Embeddings(np.arange(3, dtype=np.int32), units(3, 8, 0), regions=regions)
    with pytest.raises(RankingError, match="cannot be"):
        MatchedRegions(np.zeros((1, 2), np.int32), np.zeros((1, 3), np.int32), boxes)
