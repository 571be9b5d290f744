from __future__ import annotations

import json
import os
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

from shoplens import Ranking
from shoplens.answers import answer
from shoplens.answers.answer import CODES, CheckedAnswer, Policy, check_answer, read_answer
from shoplens.errors import MissingError, RankingError

GALLERY = np.array([30, -10, 20, 5, 7], dtype=np.int32)
QUERIES = np.array([9, -1, 3], dtype=np.int32)
GOOD = [[30, 20, 5, 7, -10], [5, 30, 7, -10, 20], [7, 5, 20, 30, -10]]


def check(
    rows: npt.ArrayLike,
    policy: Policy = "strict",
    gallery: npt.NDArray[np.int32] = GALLERY,
    queries: npt.NDArray[np.int32] = QUERIES,
) -> CheckedAnswer:
    return check_answer(np.asarray(rows), queries, gallery, policy)


def codes(checked: CheckedAnswer, level: str | None = None) -> list[str]:
    return [f.code for f in checked.findings if level in (None, f.level)]


def changed(row: int, column: int, value: float, kind: str = "int64") -> npt.NDArray[np.generic]:
    array = np.array(GOOD, dtype=kind)
    array[row, column] = value
    return array


def places(checked: CheckedAnswer, code: str) -> list[tuple[int, int, str]]:
    return [place for f in checked.findings if f.code == code for place in f.places]


@pytest.mark.parametrize("policy", ["strict", "lenient"])
@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", ">i4", ">i8"])
def test_a_right_answer_is_a_ranking_without_findings(policy: Policy, kind: str) -> None:
    checked = check(np.array(GOOD, dtype=kind), policy)
    assert checked.findings == ()
    assert checked.accepted
    ranking = checked.require()
    assert ranking.ids.dtype == np.int32
    assert ranking.ids.tolist() == GOOD
    assert ranking.query_ids.tolist() == [9, -1, 3]
    assert ranking.blank is None
    assert checked.reading == "ids"


@pytest.mark.parametrize("policy", ["strict", "lenient"])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "longdouble"])
def test_whole_floats_are_accepted_with_a_warning(policy: Policy, kind: str) -> None:
    checked = check(np.array(GOOD, dtype=kind), policy)
    assert codes(checked) == ["float_ids"]
    assert checked.findings[0].level == "warning"
    assert checked.require().ids.tolist() == GOOD


@pytest.mark.parametrize("policy", ["strict", "lenient"])
@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array(GOOD, dtype=object), "objects"),
        (np.array(GOOD).astype(str), "text"),
        (np.array(GOOD).astype(bytes), "bytes"),
        (np.array(GOOD) > 0, "booleans"),
        (np.array(GOOD, dtype=complex), "complex"),
        (np.array(GOOD).astype("datetime64[s]"), "datetime64"),
        (np.zeros((3, 5), dtype=[("a", "i4")]), "'a'"),
    ],
)
def test_other_types_are_refused(
    policy: Policy, array: npt.NDArray[np.generic], words: str
) -> None:
    checked = check(array, policy)
    assert codes(checked) == ["dtype"]
    assert words in checked.findings[0].text
    assert not checked.accepted
    with pytest.raises(RankingError, match="the answer is refused"):
        checked.require()


@pytest.mark.parametrize("policy", ["strict", "lenient"])
@pytest.mark.parametrize("shape", [(), (15,), (3, 5, 1), (3, 0)])
def test_other_shapes_are_refused(policy: Policy, shape: tuple[int, ...]) -> None:
    checked = check(np.ones(shape, dtype=int), policy)
    assert codes(checked) == ["shape"]
    assert str(shape) in checked.findings[0].text
    assert "3 rows of 5 columns" in checked.findings[0].text


@pytest.mark.parametrize("policy", ["strict", "lenient"])
@pytest.mark.parametrize("rows", [0, 1, 2, 4])
def test_another_number_of_rows_is_refused_and_its_rows_are_checked(
    policy: Policy, rows: int
) -> None:
    array = np.array([GOOD[0]] * rows, dtype=int).reshape(rows, 5)
    if rows:
        array[0, 3] = 99
    checked = check(array, policy)
    assert codes(checked) == (["rows", "unknown_id"] if rows else ["rows"])
    assert f"{rows} rows" in checked.findings[0].text
    assert not checked.accepted


@pytest.mark.parametrize("policy", ["strict", "lenient"])
@pytest.mark.parametrize(
    ("value", "kind", "code", "text"),
    [
        (99, "int64", "unknown_id", "99"),
        (2**40, "int64", "unknown_id", str(2**40)),
        (2**63 - 1, "int64", "unknown_id", str(2**63 - 1)),
        (1e300, "float64", "unknown_id", "1e+300"),
        (2.5, "float64", "fraction", "2.5"),
        (np.inf, "float32", "infinite", "inf"),
        (-np.inf, "float16", "infinite", "-inf"),
    ],
)
def test_what_is_no_photo_is_refused_with_its_place(
    policy: Policy, value: float, kind: str, code: str, text: str
) -> None:
    checked = check(changed(1, 3, value, kind), policy)
    assert codes(checked, "error") == [code]
    assert places(checked, code) == [(1, 3, text)]
    assert f"{text} in row 1, column 3 (from 0)" in checked.findings[0].text
    assert not checked.accepted


def test_unsigned_ids_beyond_int64_are_unknown() -> None:
    array = np.array([[2**64 - 1, 5], [30, 7], [5, 7]], dtype=np.uint64)
    assert places(check(array, "lenient"), "unknown_id") == [(0, 0, str(2**64 - 1))]


def test_ids_that_a_float_type_rounds_are_refused() -> None:
    gallery = np.array([2**24 + 2, 1], dtype=np.int32)
    rows = np.array([[2**24 + 2, 1]], dtype=np.float32)
    for policy in ("strict", "lenient"):
        checked = check(rows, policy, gallery, QUERIES[:1])
        assert codes(checked) == ["rounded", "float_ids"]
        assert places(checked, "rounded")[0][:2] == (0, 0)
    assert check(rows.astype(np.float64), "strict", gallery, QUERIES[:1]).accepted


# Repeats, blank places, columns: what the policies differ in.


def test_strict_refuses_repeats_with_the_places_of_the_later_ones() -> None:
    rows = [[30, 20, 30, 30, -10], GOOD[1], [7, 7, 20, 30, -10]]
    checked = check(rows)
    assert codes(checked) == ["repeat"]
    assert checked.findings[0].count == 3
    assert places(checked, "repeat") == [(0, 2, "30"), (0, 3, "30"), (2, 1, "7")]
    assert not checked.accepted


def test_lenient_keeps_the_first_of_repeats_and_closes_up() -> None:
    rows = [[30, 20, 30, 30, -10], GOOD[1], [7, 7, 20, 30, -10]]
    checked = check(rows, "lenient")
    assert codes(checked, "warning") == ["repeat"]
    ranking = checked.require()
    assert ranking.blank is not None
    assert ranking.blank.tolist() == [
        [False, False, False, True, True], [False] * 5, [False, False, False, False, True],
    ]  # fmt: skip
    assert ranking.ids[0, :3].tolist() == [30, 20, -10]
    assert ranking.ids[1].tolist() == GOOD[1]
    assert ranking.ids[2, :4].tolist() == [7, 20, 30, -10]


def test_columns_past_1000_are_dropped_before_repeats() -> None:
    gallery = np.arange(5000, 6200, dtype=np.int32)
    row = gallery[:1100].copy()
    row[1] = row[0]
    queries = QUERIES[:1]
    strict = check(row[None], "strict", gallery, queries)
    assert codes(strict) == ["columns", "repeat"]
    assert "1100 columns, a full answer has 1000" in strict.findings[0].text
    ranking = check(row[None], "lenient", gallery, queries).require()
    assert ranking.ids.shape == (1, 1000)
    np.testing.assert_array_equal(ranking.ids[0, :999], np.delete(row[:1000], 1))
    assert ranking.blank is not None
    assert np.flatnonzero(ranking.blank[0]).tolist() == [999]


def test_what_stands_past_1000_columns_is_not_looked_at() -> None:
    gallery = np.arange(1000, dtype=np.int32)
    rows = np.append(gallery, [99999, 0]).reshape(1, -1)
    assert codes(check(rows, "strict", gallery, QUERIES[:1])) == ["columns"]
    assert check(rows, "lenient", gallery, QUERIES[:1]).require().ids.tolist() == [
        list(range(1000))
    ]


@pytest.mark.parametrize(("n_gallery", "full"), [(999, 999), (1000, 1000), (1001, 1000)])
def test_a_full_row_is_as_long_as_the_gallery_up_to_1000(n_gallery: int, full: int) -> None:
    gallery = np.arange(n_gallery, dtype=np.int32)
    for columns in (full - 1, full):
        rows = gallery[None, :columns]
        assert check(rows, "strict", gallery, QUERIES[:1]).accepted == (columns == full)
        lenient = check(rows, "lenient", gallery, QUERIES[:1])
        assert lenient.require().ids.shape == (1, columns)
        assert codes(lenient) == ([] if columns == full else ["columns"])


def test_a_row_longer_than_a_small_gallery_is_cut_once_its_repeats_are_gone() -> None:
    rows = [[*row[:2], row[0], *row[2:], row[4]] for row in GOOD]
    assert codes(check(rows)) == ["columns", "repeat"]
    ranking = check(rows, "lenient").require()
    assert ranking.ids.tolist() == GOOD
    assert ranking.blank is None


@pytest.mark.parametrize(
    ("value", "kind", "code"), [(np.nan, "float64", "nan"), (-1, "int64", "blank")]
)
def test_an_empty_place_is_blank_only_when_lenient(value: float, kind: str, code: str) -> None:
    array = changed(1, 2, value, kind)
    assert codes(check(array), "error") == [code]
    checked = check(array, "lenient")
    assert codes(checked, "error") == []
    assert places(checked, code)[0][:2] == (1, 2)
    blank = checked.require().blank
    assert blank is not None
    assert np.argwhere(blank).tolist() == [[1, 2]]


def test_blank_places_do_not_repeat_each_other() -> None:
    rows = [[-1, -1, 5, 7, -1], GOOD[1], GOOD[2]]
    checked = check(rows, "lenient")
    assert codes(checked) == ["blank"]
    assert checked.findings[0].count == 3
    assert checked.require().ids[0, 2:4].tolist() == [5, 7]


def test_minus_1_that_is_an_id_is_that_photo() -> None:
    gallery = np.array([-1, 4], dtype=np.int32)
    checked = check([[4, -1]], "strict", gallery, QUERIES[:1])
    assert checked.findings == ()
    assert checked.require().blank is None


def test_everything_wrong_is_found_at_once() -> None:
    rows = np.array([[30, np.nan, 0.5, np.inf, 99, 30], GOOD[1] + [-1]])
    checked = check(rows)
    assert codes(checked, "error") == [
        "rows", "columns", "nan", "infinite", "fraction", "blank", "unknown_id", "repeat",
    ]  # fmt: skip
    assert codes(checked, "warning") == ["float_ids"]
    with pytest.raises(RankingError) as caught:
        checked.require()
    for finding in checked.findings:
        assert finding.text in str(caught.value)


def test_all_places_are_counted_and_the_first_20_named() -> None:
    gallery = np.arange(100, dtype=np.int32)
    rows = np.tile(gallery, (3, 1))
    rows[1:] = 100
    checked = check(rows, "strict", gallery)
    assert codes(checked) == ["unknown_id"]
    (finding,) = checked.findings
    assert finding.count == 200
    assert [place[:2] for place in finding.places] == [(1, column) for column in range(20)]
    with pytest.raises(RankingError, match=r"row,column: 1,0 1,1 .* 1,19 \.\.\."):
        checked.require()


def test_findings_are_json_and_known_by_their_codes() -> None:
    checked = check([[30, np.nan, 0.5, np.inf, 30]])
    values = [finding.to_json() for finding in checked.findings]
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert list(values[0]) == ["level", "code", "text", "count", "places"]
    assert {value["code"] for value in values} <= set(CODES)
    nan = next(value for value in values if value["code"] == "nan")
    assert nan["places"] == [{"row": 0, "column": 1, "value": "nan"}]


# Ids or row positions.


@pytest.mark.parametrize("policy", ["strict", "lenient"])
def test_numbers_that_are_not_all_known_ids_are_row_positions(policy: Policy) -> None:
    rows = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 1, 4, 3]]
    checked = check(rows, policy)
    assert codes(checked) == ["positions"]
    assert checked.findings[0].level == "warning"
    assert checked.reading == "positions"
    assert checked.require().ids.tolist() == [
        [30, -10, 20, 5, 7], [7, 5, 20, -10, 30], [20, 30, -10, 7, 5],
    ]  # fmt: skip


def test_positions_are_counted_from_0_to_the_end_of_the_gallery() -> None:
    rows = [[0, 1, 2, 3, 5], [4, 3, 2, 1, 0], [2, 0, 1, 4, 3]]
    # 5 is an id too, but the others are not.
    checked = check(rows)
    assert (checked.reading, codes(checked)) == ("positions", ["unknown_id", "positions"])
    assert places(checked, "unknown_id") == [(0, 4, "5")]
    assert "row positions of no gallery photo" in checked.findings[0].text


def test_ids_win_where_both_readings_are_possible() -> None:
    gallery = np.array([2, 0, 1], dtype=np.int32)
    checked = check([[2, 1, 0]], "strict", gallery, QUERIES[:1])
    assert (checked.reading, codes(checked)) == ("ids", ["ambiguous"])
    assert checked.require().ids.tolist() == [[2, 1, 0]]


def test_ids_that_are_row_numbers_need_no_warning() -> None:
    checked = check([[2, 1, 0]], "strict", np.arange(3, dtype=np.int32), QUERIES[:1])
    assert checked.findings == ()


def test_an_answer_that_fits_neither_reading_is_told_by_the_nearer_one() -> None:
    assert check([[30, 20, 5, 7, 99]] * 3).reading == "ids"
    assert check([[0, 1, 2, 3, 99]] * 3).reading == "positions"
    nearly = check([[0, 1, 2, 3, -1]] * 3, "lenient")
    assert (nearly.reading, codes(nearly)) == ("positions", ["positions", "blank"])


@given(st.data())
def test_lenient_is_what_a_plain_reading_of_the_rules_gives(data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(100, 200), min_size=1, max_size=12, unique=True))
    columns = data.draw(st.integers(1, 16))
    rows = data.draw(
        st.lists(
            st.lists(st.sampled_from([*ids, -1]), min_size=columns, max_size=columns),
            min_size=1, max_size=4,
        )
    )  # fmt: skip
    gallery, queries = np.array(ids, np.int32), np.arange(len(rows), dtype=np.int32)
    checked = check(rows, "lenient", gallery, queries)
    ranking = checked.require()
    for row, found in zip(rows, range(len(rows)), strict=True):
        expected: list[int | None] = []
        for photo in row[:1000]:
            if photo == -1:
                expected.append(None)
            elif photo not in expected:
                expected.append(photo)
        expected += [None] * (len(row) - len(expected))
        blank = np.zeros(ranking.ids.shape, bool) if ranking.blank is None else ranking.blank
        shown = [
            None if b else int(i) for i, b in zip(ranking.ids[found], blank[found], strict=True)
        ]
        assert shown == expected[: len(ids)]
    plain = all(len(set(row)) == len(row) == len(ids) and -1 not in row for row in rows)
    assert check(rows, "strict", gallery, queries).accepted == plain


def test_a_full_size_answer_is_checked_in_time_and_memory() -> None:
    # The target is 1 s (bench/answers.py measures it); a busy machine gets five.
    gallery = np.random.default_rng(0).choice(2**31 - 1, 26_000, replace=False).astype(np.int32)
    rows = np.stack([np.roll(gallery, -i)[:1000] for i in range(0, 14_000)])
    queries = np.arange(14_000, dtype=np.int32)
    started = time.process_time()
    checked = check_answer(rows, queries, gallery, "strict")
    assert time.process_time() - started < 5
    assert checked.findings == ()
    np.testing.assert_array_equal(checked.require().ids[5], rows[5])


# Files.


def save(path: Path, **arrays: npt.ArrayLike) -> Path:
    np.savez_compressed(path, **{name: np.asarray(value) for name, value in arrays.items()})
    return path


def test_npy_and_npz_are_read_as_they_stand(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array(GOOD, dtype=">f4"))
    assert read_answer(tmp_path / "a.npy").dtype == ">f4"
    assert read_answer(save(tmp_path / "b.npz", anything=GOOD)).tolist() == GOOD
    both = save(tmp_path / "c.npz", ids=GOOD, scores=np.zeros((3, 5)))
    assert read_answer(both).tolist() == GOOD


def test_several_arrays_without_ids_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RankingError, match=r"holds the arrays a, b: name the answer 'ids'"):
        read_answer(save(tmp_path / "a.npz", a=GOOD, b=GOOD))


@pytest.mark.parametrize("text", [
    "30,20,5\n5,30,7\n", "\ufeff30,20,5\n5,30,7", "30, 20,5\r\n\r\n5,30 ,7\r\n",
    '"30","20","5"\n5,30.0,7\n',
    "query_id,1,2,3\n9,30,20,5\n3,5,30,7\n", "query_id,r1,r2,r3\n9,30,20,5\n3,5,30,7\n",
])  # fmt: skip
def test_csv_with_and_without_a_header(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    found = read_answer(tmp_path / "a.csv")
    assert found.dtype == np.int64
    assert found.tolist() == [[30, 20, 5], [5, 30, 7]]


def test_short_rows_and_empty_cells_of_a_csv_are_nan(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("30,,5\n5,30\n7,5,20\n")
    found = read_answer(tmp_path / "a.csv")
    np.testing.assert_array_equal(found, [[30, np.nan, 5], [5, 30, np.nan], [7, 5, 20]])
    assert codes(check(found, "lenient")) == ["columns", "float_ids", "nan"]


def test_rows_are_put_in_the_order_of_the_queries(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("query_id,1,2\n3,1,2\n9,3,4\n-1,5,6\n")
    ordered = [[3, 4], [5, 6], [1, 2]]
    assert read_answer(tmp_path / "a.csv", QUERIES).tolist() == ordered
    stored = save(tmp_path / "a.npz", ids=[[1, 2], [3, 4], [5, 6]], query_ids=[3, 9, -1])
    assert read_answer(stored, QUERIES).tolist() == ordered
    for other in ([3, 9], [3, 9, -1, 4], [3, 9, 9], [3, 9, 2]):
        with pytest.raises(RankingError, match="rows for other queries"):
            read_answer(tmp_path / "a.csv", np.array(other, dtype=np.int32))


@pytest.mark.parametrize(("text", "place"), [
    ("30,20\n5,x\n", r"line 2, column 2: 'x' is not a number"),
    (",0,1\n0,30,20\n", None),
    ("rank1,rank2\n30,20\n", r"line 1, column 1: 'rank1' is not a number"),
    ("30;20\n5;7\n", r"line 1, column 1: '30;20' is not a number"),
])  # fmt: skip
def test_what_is_no_number_is_named_with_its_place(
    tmp_path: Path, text: str, place: str | None
) -> None:
    (tmp_path / "a.csv").write_text(text)
    if place is None:  # pandas' index column: not guessed at, found by the check.
        assert np.isnan(read_answer(tmp_path / "a.csv")[0, 0])
        return
    with pytest.raises(RankingError, match=place):
        read_answer(tmp_path / "a.csv")


def test_an_empty_csv_is_an_answer_without_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    assert read_answer(tmp_path / "a.csv").shape == (0, 0)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pickled",)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evil = np.array([[Evil()]], dtype=object)
    np.save("a.npy", evil, allow_pickle=True)
    np.savez("b.npz", ids=evil)
    Path("c.npy").write_bytes(Path("a.npy").read_bytes()[128:])
    for name in ("a.npy", "b.npz", "c.npy"):
        with pytest.raises(RankingError, match=f"{name} is not an answer"):
            read_answer(name)
    assert not Path("pickled").exists()


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.npz", ids=GOOD).read_bytes()
    header = b"{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000, 1000000), }"
    for data in (b"", b"PK\x03\x04", whole[:-40], b"text", b"\x93NUMPY\x01\x00v\x00" + header):
        (tmp_path / "a.npy").write_bytes(data)
        with pytest.raises(RankingError, match=r"a\.npy is not an answer"):
            read_answer(tmp_path / "a.npy")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe1,2")
    with pytest.raises(RankingError, match=r"a\.csv is not an answer"):
        read_answer(tmp_path / "a.csv")
    with pytest.raises(MissingError, match="no answer file"):
        read_answer(tmp_path / "none.npy")
    with pytest.raises(MissingError, match="no answer file"):
        read_answer(tmp_path)


def test_a_file_that_unpacks_to_too_much_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "LIMIT_BYTES", 100_000)
    packed = save(tmp_path / "a.npz", ids=np.zeros((1000, 1000)))
    assert packed.stat().st_size < 100_000
    with pytest.raises(RankingError, match="unpacks to more than"):
        read_answer(packed)
    np.save(tmp_path / "a.npy", np.zeros(100_000))
    with pytest.raises(RankingError, match="is larger than"):
        read_answer(tmp_path / "a.npy")


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_pipe_is_no_answer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(MissingError, match="no answer file"):
        read_answer(tmp_path / "a.npy")


# `shoplens evaluate --ranks`.


@pytest.fixture
def data(make_dataset: Callable[..., Path]) -> Path:
    gallery = [(30, "a"), (-10, "b"), (20, "c"), (5, "a"), (7, "d")]
    return make_dataset(gallery, [(9, "b", BOX), (-1, "a", BOX), (3, "d", BOX)])


BOX = "0,0,64,48"
REPEATED = [[20, 20, -10, 5, 7], GOOD[1], GOOD[2]]


def scored(run: Run, data: Path, file: Path, *options: str) -> float:
    result = run("evaluate", data, "--ranks", file, "--json", "-", *options)
    assert result.code == 0, result.err
    return float(result.json["metrics"]["map@1000"]["value"])


def test_repeats_are_refused_unless_the_policy_is_lenient(
    run: Run, data: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "r.npy", REPEATED)
    for options in ([], ["--policy", "strict"]):
        result = run("evaluate", data, "--ranks", tmp_path / "r.npy", *options)
        assert result.code == 1
        assert "20 in row 0, column 1 (from 0)" in result.err
        assert ("--policy lenient" in result.err) == (not options)
    result = run(
        "evaluate", data, "--ranks", tmp_path / "r.npy", "--policy", "lenient", "--json", "-"
    )
    assert result.code == 0
    assert "warning: ids that repeat" in result.err
    (finding,) = result.json["findings"]
    assert finding["places"] == [{"row": 0, "column": 1, "value": "20"}]
    # -10 moves up to rank 2; 5 and 30 stand first for a; 7 first for d.
    assert result.json["metrics"]["map@1000"]["value"] == pytest.approx((1 / 2 + 1 + 1) / 3)


def test_strict_wants_full_rows(run: Run, data: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.array(GOOD)[:, :3])
    assert run("evaluate", data, "--ranks", tmp_path / "r.npy").code == 0
    result = run("evaluate", data, "--ranks", tmp_path / "r.npy", "--policy", "strict")
    assert result.code == 1
    assert "has 3 columns, a full answer has 5" in result.err


def test_a_csv_scores_as_the_same_array(run: Run, data: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", GOOD)
    rows = [[9, *GOOD[0]], [-1, *GOOD[1]], [3, *GOOD[2]]]
    lines = ["query_id,ids", *(",".join(map(str, row)) for row in reversed(rows))]
    (tmp_path / "r.csv").write_text("\n".join(lines))
    expected = scored(run, data, tmp_path / "r.npy")
    assert expected < 1
    assert scored(run, data, tmp_path / "r.csv", "--policy", "strict") == expected


def test_a_saved_ranking_keeps_its_blank_places_and_its_model(
    run: Run, data: Path, tmp_path: Path
) -> None:
    checked = check(REPEATED, "lenient").require()
    ids = checked.ids.copy()
    assert checked.blank is not None
    ids[checked.blank] = -10  # Whatever stands there, it is no hit and repeats nothing.
    saved = Ranking(checked.query_ids, ids, None, "m", "f", ("exact",), blank=checked.blank)
    saved.save(tmp_path / "r.npz")
    expected = pytest.approx((1 / 2 + 1 + 1) / 3)
    assert scored(run, data, tmp_path / "r.npz") == expected
    assert scored(run, data, tmp_path / "r.npz", "--policy", "lenient") == expected
    assert run("evaluate", data, "--ranks", tmp_path / "r.npz", "--policy", "strict").code == 1
    result = run("evaluate", data, "--ranks", tmp_path / "r.npz", "--json", "-")
    assert result.json["model"] == {"name": "m", "fingerprint": "f"}


def test_a_policy_without_an_answer_is_a_usage_error(run: Run, data: Path) -> None:
    assert run("evaluate", data, "--policy", "lenient").code == 2


def test_more_metrics_stand_beside_the_usual_ones(run: Run, data: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", GOOD)
    names = ("--metric", "map@R", "--metric", "hit@1:product", "--metric", "map@1000")
    result = run("evaluate", data, "--ranks", tmp_path / "r.npy", "--json", "-", *names)
    metrics = result.json["metrics"]
    assert list(metrics)[-2:] == ["map@R", "hit@1:product"]
    assert metrics["map@R"]["value"] == pytest.approx((0 + 1 + 1) / 3)
    result = run("evaluate", data, "--ranks", tmp_path / "r.npy", "--metric", "ndgc@5")
    assert result.code == 2
    assert "did you mean ndcg@K?" in " ".join(result.err.split())


def test_an_npz_of_a_zip_tool_is_read(run: Run, data: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", GOOD)
    with zipfile.ZipFile(tmp_path / "r.npz", "w") as archive:
        archive.write(tmp_path / "ids.npy", "ids.npy")
    assert scored(run, data, tmp_path / "r.npz") == scored(run, data, tmp_path / "ids.npy")
