from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoplens.ranking
from shoplens import Embeddings, Ranking, __version__, rank
from shoplens.errors import MissingError, RankingError
from shoplens.records import Failure

INF = float("inf")


def embeddings(
    vectors: npt.ArrayLike,
    ids: Sequence[int] | None = None,
    failed: Sequence[int] = (),
    fingerprint: str | None = None,
) -> Embeddings:
    rows = np.array(vectors, dtype=np.float32)
    numbers = np.arange(len(rows)) if ids is None else np.array(ids)
    failures = tuple(Failure(row, int(numbers[row]), "photo", "corrupt", "") for row in failed)
    rows[list(failed)] = 0
    return Embeddings(numbers.astype(np.int32), rows, failures, "model", fingerprint)


def random_units(n: int, dimension: int, seed: int) -> npt.NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_rows_are_int32_ids_best_first() -> None:
    found = rank(embeddings([[1, 0], [0, 1]]), embeddings([[0, 1], [0.6, 0.8], [1, 0]], [7, -5, 0]))
    assert found.ids.dtype == np.int32
    assert found.ids.tolist() == [[0, -5, 7], [7, -5, 0]]
    assert found.scores is not None
    assert found.scores.dtype == np.float32
    np.testing.assert_allclose(found.scores, [[1, 0.6, 0], [1, 0.8, 0]], atol=1e-7)
    assert (found.chain, found.batch_side) == (("exact",), False)


@pytest.mark.parametrize(("n_gallery", "columns"), [(1, 1), (3, 3), (999, 999), (1200, 1000)])
def test_rows_are_as_long_as_the_gallery_up_to_1000(n_gallery: int, columns: int) -> None:
    found = rank(embeddings(random_units(2, 8, 0)), embeddings(random_units(n_gallery, 8, 1)))
    assert found.ids.shape == (2, columns)
    for row in found.ids.tolist():
        assert len(set(row)) == columns


def test_the_order_of_the_queries_is_kept() -> None:
    queries = embeddings(random_units(5, 8, 0), [40, -3, 7, 2147483647, -2147483648])
    assert rank(queries, embeddings(random_units(9, 8, 1))).query_ids.tolist() == [
        40, -3, 7, 2147483647, -2147483648,
    ]  # fmt: skip


def test_the_limits_of_int32_survive_as_ids() -> None:
    ids = [2147483647, -2147483648, 0]
    found = rank(embeddings([[1, 0]]), embeddings([[0, 1], [1, 0], [0.6, 0.8]], ids))
    assert found.ids.tolist() == [[-2147483648, 0, 2147483647]]


def test_no_queries_give_no_rows() -> None:
    found = rank(embeddings(np.empty((0, 2))), embeddings([[1, 0]]))
    assert found.ids.shape == (0, 1)


TWICE_UNIT = [v for v in itertools.product(range(-2, 3), repeat=4) if sum(x * x for x in v) == 4]
"""Vectors of length 2 in whole numbers: halved, their scores are exact, and many of them equal."""


@given(st.data())
def test_ranking_equals_sorting_by_score_then_gallery_order(data: st.DataObject) -> None:
    vector = st.sampled_from(TWICE_UNIT)
    gallery = data.draw(st.lists(vector, min_size=1, max_size=30))
    queries = data.draw(st.lists(vector, min_size=1, max_size=5))
    ids = data.draw(
        st.lists(
            st.integers(-(2**31), 2**31 - 1),
            min_size=len(gallery), max_size=len(gallery), unique=True,
        )
    )  # fmt: skip
    failed = data.draw(st.sets(st.integers(0, len(gallery) - 1), max_size=len(gallery)))
    depth = data.draw(st.integers(1, 40))
    block = data.draw(st.sampled_from([1, 100, 2**28]))

    found = rank(
        embeddings(np.array(queries) / 2),
        embeddings(np.array(gallery) / 2, ids, sorted(failed)),
        depth=depth,
        block_bytes=block,
    )

    assert found.scores is not None
    for row, query in enumerate(queries):
        scores = [
            -INF if i in failed else sum(a * b for a, b in zip(query, v, strict=True)) / 4
            for i, v in enumerate(gallery)
        ]
        order = sorted(range(len(gallery)), key=lambda i: (-scores[i], i))[:depth]
        assert found.ids[row].tolist() == [ids[i] for i in order]
        assert found.scores[row].tolist() == [scores[i] for i in order]


def test_scores_are_cosines_to_float32_precision() -> None:
    queries, gallery = random_units(20, 1280, 0), random_units(300, 1280, 1)
    found = rank(embeddings(queries), embeddings(gallery))
    exact = queries.astype(np.float64) @ gallery.astype(np.float64).T
    assert found.scores is not None
    expected = np.take_along_axis(exact, found.ids.astype(np.intp), axis=1)
    np.testing.assert_allclose(found.scores, expected, rtol=0, atol=6e-8)
    assert (np.diff(found.scores, axis=1) <= 0).all()


@pytest.mark.parametrize("block_bytes", [1, 4 * 500 * 7, 2**28])
@pytest.mark.parametrize("wide_rows", [1, 7, 64, 8192])
def test_blocks_change_neither_ids_nor_scores(
    monkeypatch: pytest.MonkeyPatch, block_bytes: int, wide_rows: int
) -> None:
    base = random_units(40, 37, 2)
    # Every vector stands at a dozen places, so that each row is full of ties.
    places = np.random.default_rng(0).integers(40, size=500)
    queries, gallery = embeddings(random_units(60, 37, 3)), embeddings(base[places])
    expected = rank(queries, gallery)
    monkeypatch.setattr(shoplens.ranking, "_WIDE_ROWS", wide_rows)
    found = rank(queries, gallery, block_bytes=block_bytes)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_equal_vectors_tie_and_stand_in_gallery_order() -> None:
    base = random_units(3, 1280, 4)
    places = np.random.default_rng(1).integers(3, size=9000)
    gallery = embeddings(base[places], 10_000_000 - np.arange(9000))
    found = rank(embeddings(random_units(4, 1280, 5)), gallery, depth=9000)
    assert found.scores is not None
    for row in range(4):
        positions = 10_000_000 - found.ids[row]
        assert len(np.unique(found.scores[row])) == 3
        for score in np.unique(found.scores[row]):
            assert (np.diff(positions[found.scores[row] == score]) > 0).all()


@pytest.mark.parametrize("seed", [55, 64])
def test_one_query_alone_ranks_as_in_the_batch(seed: int) -> None:
    # With these seeds a plain float64 product, rounded to float32, differs in one score.
    units = random_units(2064, 64, seed)
    gallery = embeddings(units[64:])
    batch = rank(embeddings(units[:64]), gallery)
    assert batch.scores is not None
    for row in range(64):
        alone = rank(embeddings(units[row : row + 1]), gallery)
        assert alone.scores is not None
        np.testing.assert_array_equal(alone.ids[0], batch.ids[row])
        np.testing.assert_array_equal(alone.scores[0], batch.scores[row])


def test_a_failed_query_gets_the_gallery_in_its_order() -> None:
    gallery = embeddings(random_units(5, 4, 0), [9, 3, 7, 1, 5])
    found = rank(embeddings(random_units(3, 4, 1), failed=[1]), gallery)
    assert found.scores is not None
    assert found.ids[1].tolist() == [9, 3, 7, 1, 5]
    assert (found.scores[1] == -INF).all()
    assert np.isfinite(found.scores[[0, 2]]).all()
    assert found.n_failed == {"queries": 1, "gallery": 0}


def test_failed_gallery_photos_come_last_in_gallery_order() -> None:
    vectors = [[1, 0], [-1, 0], [1, 0], [0, 1], [1, 0]]
    gallery = embeddings(vectors, [50, 40, 30, 20, 10], failed=[0, 2])
    found = rank(embeddings([[1, 0]]), gallery)
    assert found.ids.tolist() == [[10, 20, 40, 50, 30]]
    assert found.scores is not None
    assert found.scores.tolist() == [[1, 0, -1, -INF, -INF]]
    assert found.n_failed == {"queries": 0, "gallery": 2}


def test_failed_gallery_photos_fill_up_to_the_depth_only() -> None:
    gallery = embeddings(np.ones((6, 1)), failed=[0, 1, 2, 3])
    assert rank(embeddings([[1]]), gallery, depth=4).ids.tolist() == [[4, 5, 0, 1]]
    assert rank(embeddings([[1]]), gallery, depth=1).ids.tolist() == [[4]]


def test_a_gallery_that_failed_wholly_is_ranked_in_its_order() -> None:
    gallery = embeddings(np.ones((3, 2)), [5, 6, 4], failed=[0, 1, 2])
    found = rank(embeddings([[1, 0], [0, 1]]), gallery)
    assert found.ids.tolist() == [[5, 6, 4], [5, 6, 4]]
    assert found.scores is not None
    assert (found.scores == -INF).all()


def test_queries_that_failed_wholly_are_ranked_in_gallery_order() -> None:
    found = rank(embeddings(np.ones((2, 2)), failed=[0, 1]), embeddings([[1, 0], [0, 1]], [8, 4]))
    assert found.ids.tolist() == [[8, 4], [8, 4]]


def test_an_empty_gallery_is_refused() -> None:
    with pytest.raises(RankingError, match="gallery is empty"):
        rank(embeddings([[1, 0]]), embeddings(np.empty((0, 2))))


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_below_1_is_refused(depth: int) -> None:
    with pytest.raises(RankingError, match=f"at least 1, got {depth}"):
        rank(embeddings([[1, 0]]), embeddings([[1, 0]]), depth=depth)


def test_vectors_of_other_dimension_are_refused() -> None:
    with pytest.raises(RankingError, match="query vectors have 2 dimensions, gallery vectors 3"):
        rank(embeddings([[1, 0]]), embeddings([[1, 0, 0]]))


def test_vectors_of_another_model_are_refused() -> None:
    with pytest.raises(RankingError, match=r"made by model \(aaaa\).*\(bbbb\)"):
        rank(embeddings([[1, 0]], fingerprint="aaaa"), embeddings([[1, 0]], fingerprint="bbbb"))


def test_vectors_of_unknown_origin_are_ranked() -> None:
    found = rank(embeddings([[1, 0]]), embeddings([[1, 0]], fingerprint="bbbb"))
    # What is not known of one side is not claimed of the ranking.
    assert found.fingerprint is None
    both = rank(embeddings([[1, 0]], fingerprint="b"), embeddings([[1, 0]], fingerprint="b"))
    assert both.fingerprint == "b"


@pytest.mark.parametrize(("kind", "largest"), [("float16", 2**11), ("float32", 2**24)])
def test_floats_too_short_for_their_ids_are_refused(
    tmp_path: Path, kind: str, largest: int
) -> None:
    query_ids = np.zeros(1, dtype=np.int32)
    np.save(tmp_path / "r.npy", np.array([[largest]], dtype=kind))
    assert Ranking.load(tmp_path / "r.npy", query_ids).ids.tolist() == [[largest]]
    np.save(tmp_path / "r.npy", np.array([[2 * largest]], dtype=kind))
    with pytest.raises(RankingError, match=f"{kind}, which rounds ids"):
        Ranking.load(tmp_path / "r.npy", query_ids)


@pytest.mark.parametrize("bad", [[2.0, 0.0], [np.nan, 0.0], [np.inf, 0.0], [0.0, 0.0]])
def test_vectors_that_are_not_of_unit_length_are_refused(bad: list[float]) -> None:
    good = embeddings([[1, 0], [0, 1]])
    with pytest.raises(RankingError, match=r"1 gallery vectors are not of unit length.*photo 1"):
        rank(good, embeddings([[1, 0], bad]))
    with pytest.raises(RankingError, match=r"1 query vectors are not of unit length.*photo 0"):
        rank(embeddings([bad]), good)


def test_columns_past_1000_are_dropped(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.arange(1200, dtype=np.int32)[None])
    loaded = Ranking.load(tmp_path / "r.npy", np.zeros(1, dtype=np.int32))
    assert loaded.ids.tolist() == [list(range(1000))]


def test_progress_ends_with_all_usable_queries() -> None:
    told: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))

    queries = embeddings(random_units(6, 4, 0), failed=[2])
    rank(queries, embeddings(random_units(3, 4, 1)), block_bytes=48, progress=progress)
    assert told == [("rank", 2, 5), ("rank", 4, 5), ("rank", 5, 5)]


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    ids = np.zeros((2, 3), dtype=np.int32)
    with pytest.raises(RankingError, match="1 queries need ids"):
        Ranking(np.zeros(1, dtype=np.int32), ids, None)
    with pytest.raises(RankingError, match="do not match"):
        Ranking(np.zeros(2, dtype=np.int32), ids, np.zeros((2, 4), dtype=np.float32))


# Files.


def some_ranking() -> Ranking:
    queries = embeddings(random_units(3, 4, 0), [5, -6, 7], failed=[2], fingerprint="abc")
    return rank(queries, embeddings(random_units(4, 4, 1), fingerprint="abc"))


def test_npz_round_trip_keeps_everything(tmp_path: Path) -> None:
    saved = some_ranking()
    saved.save(tmp_path / "ranks.npz")
    loaded = Ranking.load(tmp_path / "ranks.npz", saved.query_ids)
    np.testing.assert_array_equal(loaded.ids, saved.ids)
    np.testing.assert_array_equal(loaded.scores, saved.scores)
    for name in ("model_name", "fingerprint", "chain", "batch_side", "n_failed"):
        assert getattr(loaded, name) == getattr(saved, name)


def test_npz_holds_what_the_contract_says(tmp_path: Path) -> None:
    some_ranking().save(tmp_path / "ranks.npz")
    with np.load(tmp_path / "ranks.npz", allow_pickle=False) as stored:
        assert {name: stored[name].dtype.str for name in ("ids", "scores", "query_ids")} == {
            "ids": "<i4", "scores": "<f4", "query_ids": "<i4",
        }  # fmt: skip
        meta = json.loads(str(stored["meta"]))
    assert meta["model"] == {"name": "model", "fingerprint": "abc"}
    assert (meta["chain"], meta["batch_side"]) == (["exact"], False)
    assert meta["version"] == __version__


def test_npy_round_trip_keeps_the_ids(tmp_path: Path) -> None:
    saved = some_ranking()
    saved.save(tmp_path / "ranks.npy")
    stored = np.load(tmp_path / "ranks.npy", allow_pickle=False)
    assert stored.dtype == np.int32
    np.testing.assert_array_equal(stored, saved.ids)
    loaded = Ranking.load(tmp_path / "ranks.npy", saved.query_ids)
    np.testing.assert_array_equal(loaded.ids, saved.ids)
    assert loaded.scores is None


def test_a_ranking_without_scores_survives_an_npz(tmp_path: Path) -> None:
    ids = np.array([[3, 1]], dtype=np.int32)
    Ranking(np.array([4], dtype=np.int32), ids, None).save(tmp_path / "ranks.npz")
    loaded = Ranking.load(tmp_path / "ranks.npz", np.array([4], dtype=np.int32))
    assert loaded.scores is None
    assert loaded.ids.tolist() == [[3, 1]]


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RankingError, match=r"\.npy \(ids\) or \.npz"):
        some_ranking().save(tmp_path / "ranks.csv")


@pytest.mark.parametrize("kind", ["int16", "int32", "int64", "uint8", "float16", "float64", ">i4"])
def test_numbers_that_are_whole_are_ids(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "ranks.npy", np.array([[3, 100], [0, 7]], dtype=kind))
    loaded = Ranking.load(tmp_path / "ranks.npy", np.array([1, 2], dtype=np.int32))
    assert loaded.ids.dtype == np.int32
    assert loaded.ids.tolist() == [[3, 100], [0, 7]]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.nan, "float64"), (np.inf, "float16"), (-np.inf, "float32"), (0.5, "float32"),
        (2.0**31, "float32"), (2.0**31, "float64"), (2**31, "int64"), (-(2**31) - 1, "int64"),
        (2**63, "uint64"), (1e300, "float64"),
    ],
)  # fmt: skip
def test_numbers_that_are_no_ids_are_refused_with_their_place(
    tmp_path: Path, value: float, kind: str
) -> None:
    np.save(tmp_path / "ranks.npy", np.array([[1, 2], [3, value]], dtype=kind))
    with pytest.raises(RankingError, match=r"1 values are not 32-bit ids.* row 1, column 1"):
        Ranking.load(tmp_path / "ranks.npy", np.array([1, 2], dtype=np.int32))


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros((3, 2), np.int32), r"shape \(3, 2\); it must have 2 rows"),
        (np.zeros(2, np.int32), r"shape \(2,\); it must have 2 rows"),
        (np.zeros((2, 2, 2), np.int32), "it must have 2 rows"),
        (np.array([["1", "2"], ["3", "4"]]), "holds <U1; it must hold integer ids"),
        (np.zeros((2, 2), bool), "holds bool"),
        (np.zeros((2, 2), complex), "holds complex128"),
    ],
)
def test_other_arrays_are_refused(
    tmp_path: Path, array: npt.NDArray[np.generic], problem: str
) -> None:
    np.save(tmp_path / "ranks.npy", array)
    with pytest.raises(RankingError, match=problem):
        Ranking.load(tmp_path / "ranks.npy", np.array([1, 2], dtype=np.int32))


def test_a_ranking_of_other_queries_is_refused(tmp_path: Path) -> None:
    some_ranking().save(tmp_path / "ranks.npz")
    for other in ([5, 7, -6], [5, -6, 8], [5, -6]):
        with pytest.raises(RankingError, match="other queries, or the same in another order"):
            Ranking.load(tmp_path / "ranks.npz", np.array(other, dtype=np.int32))


def test_a_ranking_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        Ranking.load(tmp_path / "ranks.npy", np.zeros(1, np.int32))


def damaged_npz(tmp_path: Path) -> bytes:
    np.savez_compressed(tmp_path / "whole.npz", ids=np.arange(3000)[None], scores=np.zeros((0, 0)),
                        query_ids=np.array([1]), meta=np.array("{}"))  # fmt: skip
    data = bytearray((tmp_path / "whole.npz").read_bytes())
    data[100:140] = bytes(40)
    return bytes(data)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    damaged = damaged_npz(tmp_path)
    some_ranking().save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    np.save(tmp_path / "objects.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    header = b"{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000, 1000000), }"
    for data in (
        b"",
        b"PK",
        b"text that is no array",
        b"\x93NUMPY\x01\x00v\x00garbage".ljust(128) + b"\n",
        b"\x93NUMPY\x01\x00v\x00" + header.ljust(117) + b"\n",
        (tmp_path / "objects.npy").read_bytes(),
        whole[: len(whole) // 2],
        damaged,
    ):
        (tmp_path / "ranks.npz").write_bytes(data)
        with pytest.raises(RankingError, match=r"ranks\.npz is not a ranking"):
            Ranking.load(tmp_path / "ranks.npz", np.array([5, -6, 7], np.int32))


@pytest.mark.parametrize(
    "changed",
    [
        {"meta": np.array("no json")},
        {"meta": np.array("{}")},
        {"meta": np.array("[]")},
        {"meta": np.array("[" * 100_000)},
        {"scores": np.zeros((1, 3), np.float32)},
        {"scores": np.array([["a", "b"]])},
        {"ids": np.array([["a", "b"]])},
        {"ids": np.array([[1, 2], [3, 4]])},
        {"ids": None},
        {"query_ids": None},
    ],
)
def test_archives_that_are_no_ranking_are_refused(
    tmp_path: Path, changed: dict[str, npt.NDArray[np.generic] | None]
) -> None:
    meta = json.dumps({"model": {"name": "m", "fingerprint": "f"}, "chain": [],
                       "batch_side": False, "n_failed": {}})  # fmt: skip
    arrays = {
        "ids": np.array([[1, 2]], np.int32),
        "scores": np.array([[1, 0]], np.float32),
        "query_ids": np.array([1], np.int32),
        "meta": np.array(meta),
    }
    np.savez(tmp_path / "good.npz", **arrays)
    assert Ranking.load(tmp_path / "good.npz", np.array([1], np.int32)).ids.tolist() == [[1, 2]]
    kept = {n: a for n, a in {**arrays, **changed}.items() if a is not None}
    np.savez(tmp_path / "bad.npz", **kept)
    with pytest.raises(RankingError):
        Ranking.load(tmp_path / "bad.npz", np.array([1], np.int32))


def test_blank_places_survive_an_npz(tmp_path: Path) -> None:
    ids = np.array([[3, 1, -1]], dtype=np.int32)
    blank = np.array([[False, True, True]])
    query_ids = np.array([4], dtype=np.int32)
    Ranking(query_ids, ids, None, blank=blank).save(tmp_path / "ranks.npz")
    loaded = Ranking.load(tmp_path / "ranks.npz", query_ids)
    assert loaded.blank is not None
    np.testing.assert_array_equal(loaded.blank, blank)
    Ranking(query_ids, ids, None).save(tmp_path / "ranks.npz")
    assert Ranking.load(tmp_path / "ranks.npz", query_ids).blank is None


@pytest.mark.parametrize(
    "blank", [np.zeros((1, 2), bool), np.zeros((1, 3), int), np.zeros(3, bool)]
)
def test_blank_places_of_another_shape_or_type_are_refused(
    tmp_path: Path, blank: npt.NDArray[np.bool_]
) -> None:
    ids, query_ids = np.array([[3, 1, 2]], dtype=np.int32), np.array([4], dtype=np.int32)
    with pytest.raises(RankingError, match="blank must be"):
        Ranking(query_ids, ids, None, blank=blank)
    Ranking(query_ids, ids, None).save(tmp_path / "ranks.npz")
    with np.load(tmp_path / "ranks.npz") as stored:
        np.savez(tmp_path / "bad.npz", **stored, blank=blank)
    with pytest.raises(RankingError):
        Ranking.load(tmp_path / "bad.npz", query_ids)
