from __future__ import annotations

import csv
import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest
from challenge_boards import START, board, entry, spread
from conftest import Terminal
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shoplens.challenge.leaderboard import Board, Standing, estimate_all, score, standings
from shoplens.challenge.site.board_files import COLUMNS, board_json, standings_csv
from shoplens.challenge.site.wording import duration, memory, rank_mark, shift_words
from shoplens.cli.challenge.leaderboard import print_standings
from shoplens.cli.console import Results
from shoplens.errors import RankingError
from shoplens.evaluation.bootstrap import estimate
from shoplens.evaluation.comparison import paired_difference
from shoplens.evaluation.ties import adjusted_p_values


def of(ranking: tuple[Standing, ...]) -> list[tuple[str, int]]:
    return [(s.entry.team, s.rank) for s in ranking]


def chain() -> Board:
    """Of A, B and C only A and C can be told apart."""
    n = 40
    noise = np.where(np.arange(n) % 2, 0.3, -0.3)
    a = np.full(n, 0.6)
    b = a - 0.02 + noise * 0.9
    c = a - 0.05
    return board(entry(1, "A", a), entry(2, "B", b), entry(3, "C", c))


def test_teams_stand_by_their_best_submission() -> None:
    ranking = standings(
        board(
            entry(1, "second", [0.2, 0.4, 0.6, 0.8]),
            entry(2, "first", [0.1, 0.1, 0.1, 0.1]),
            entry(3, "first", [0.5, 0.7, 0.8, 1.0]),
            entry(4, "second", None, verdict="time_limit"),
        )
    )
    assert [s.entry.submission_id for s in ranking] == [3, 1]
    assert [s.place for s in ranking] == [1, 2]
    assert ranking[0].estimate.value == pytest.approx(0.75)
    assert [s.n_submissions for s in ranking] == [2, 2]


def test_a_clear_order_has_no_ties() -> None:
    ranking = standings(board(*(entry(i, f"t{i}", spread(0.8 - 0.1 * i)) for i in range(4))))
    assert of(ranking) == [("t0", 1), ("t1", 2), ("t2", 3), ("t3", 4)]
    assert not any(s.tied for s in ranking)
    assert [s.span for s in ranking] == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_equal_scores_share_a_rank_and_stand_as_they_came() -> None:
    values = [0.3, 0.5, 0.1, 0.9]
    ranking = standings(
        board(entry(7, "late", values, hours=9), entry(9, "early", values, hours=1))
    )
    assert of(ranking) == [("early", 1), ("late", 1)]
    assert all(s.tied and s.span == (1, 2) for s in ranking)
    assert [s.place for s in ranking] == [1, 2]


def test_ties_are_with_the_first_of_the_rank_and_do_not_chain() -> None:
    ranking = standings(chain())
    # B is like A, and C is like B; but C is not like A, so it opens the next rank, its place.
    assert of(ranking) == [("A", 1), ("B", 1), ("C", 3)]
    assert [s.tied for s in ranking] == [True, True, False]
    # What the ranks had to cut the spans show: B and C could stand either way.
    assert [s.span for s in ranking] == [(1, 2), (1, 3), (2, 3)]


def test_few_products_tell_nobody_apart() -> None:
    good, bad = np.full(30, 0.9), np.full(30, 0.1)
    groups = np.arange(30) % 5
    ranking = standings(board(entry(1, "good", good), entry(2, "bad", bad), groups=groups))
    # 2 of 2^5 patterns of swaps are as extreme: p = 0.0625, however many queries there are.
    assert of(ranking) == [("good", 1), ("bad", 1)]


def test_the_interval_is_that_of_evaluate() -> None:
    values, groups = spread(0.5), np.repeat(np.arange(20), 3)
    ranking = standings(board(entry(1, "a", values), groups=groups))
    expected = estimate(values, groups)
    found = ranking[0].estimate
    assert [found.value, found.low, found.high] == pytest.approx(
        [expected.value, expected.low, expected.high], abs=1e-12
    )


def test_queries_without_a_positive_are_left_out() -> None:
    values = np.array([0.2, np.nan, 0.4, 0.6])
    ranking = standings(board(entry(1, "a", values), groups=[5, 6, 5, 9]))
    assert ranking[0].estimate.value == pytest.approx(0.4)
    assert score(entry(1, "a", [np.nan, np.nan])) is None


def test_every_scored_submission_has_an_interval() -> None:
    a_board = board(
        entry(1, "a", spread(0.5)),
        entry(2, "a", spread(0.4)),
        entry(3, "a", None, verdict="crashed"),
    )
    found = estimate_all(a_board)
    assert list(found) == [1, 2]
    assert found[1] == standings(a_board)[0].estimate
    assert found[2].low < found[2].value < found[2].high
    assert estimate_all(board()) == {}


@pytest.mark.parametrize("other", [[0.1, 0.2, 0.3], [0.1, np.nan, 0.3, 0.4]])
def test_submissions_scored_on_other_queries_are_refused(other: list[float]) -> None:
    with pytest.raises(RankingError, match="queries"):
        standings(board(entry(1, "a", [0.1, 0.2, 0.3, 0.4]), entry(2, "b", other)))


def test_an_empty_board_has_no_standings() -> None:
    assert standings(board()) == ()
    assert standings(board(entry(1, "a", None, verdict="crashed"))) == ()


def test_of_the_private_side_only_selected_submissions_count() -> None:
    entries = (
        entry(1, "a", [0.9, 0.9, 0.9, 0.9]),
        entry(2, "a", [0.5, 0.5, 0.5, 0.5], selected=True),
        entry(3, "a", [0.4, 0.4, 0.4, 0.4], selected=True),
        entry(4, "b", [0.6, 0.6, 0.6, 0.6], selected=True),
    )
    assert [s.entry.submission_id for s in standings(board(*entries))] == [1, 4]
    private = standings(board(*entries, side="private", sealed=False))
    assert [s.entry.submission_id for s in private] == [4, 2]


def test_the_shake_up_is_in_places() -> None:
    public = standings(
        board(*(entry(i, f"t{i}", spread(m), selected=True) for i, m in enumerate((0.7, 0.6, 0.5))))
    )
    private = standings(
        board(
            *(entry(i, f"t{i}", spread(m), selected=True) for i, m in enumerate((0.5, 0.6, 0.7))),
            side="private",
            sealed=False,
        ),
        public,
    )
    assert [(s.entry.team, s.shift) for s in private] == [("t2", 2), ("t1", 0), ("t0", -2)]
    assert [shift_words(s) for s in private] == ["+2", "0", "\N{MINUS SIGN}2"]
    assert public[0].shift is None


def test_the_history_holds_each_new_best() -> None:
    values = (0.3, 0.5, None, 0.4, 0.6)
    entries = [entry(i, "a", None if v is None else [v] * 4, hours=i) for i, v in enumerate(values)]
    (standing,) = standings(board(*reversed(entries)))
    assert [(b.submission_id, b.score) for b in standing.history] == [
        (0, pytest.approx(0.3)),
        (1, pytest.approx(0.5)),
        (4, pytest.approx(0.6)),
    ]
    assert standing.history[0].since == START


@given(
    arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 6), st.integers(1, 8)),
        elements=st.floats(0, 1, width=16),
    ),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_ranks_follow_scores_and_lie_in_their_spans(
    values: np.ndarray, data: st.DataObject
) -> None:
    groups = data.draw(arrays.arrays(np.int64, values.shape[1], elements=st.integers(0, 9)))
    ranking = standings(
        board(*(entry(i, f"t{i}", row) for i, row in enumerate(values)), groups=groups)
    )
    scores = [s.estimate.value for s in ranking]
    ranks = [s.rank for s in ranking]
    assert scores == sorted(scores, reverse=True)
    assert ranks[0] == 1
    assert ranks == sorted(ranks)
    for s in ranking:
        assert s.rank <= s.place
        assert s.span[0] <= s.place <= s.span[1]
        assert s.tied == (ranks.count(s.rank) > 1)
        assert ranking[s.rank - 1].rank == s.rank


def test_two_teams_are_judged_as_a_comparison_judges_them() -> None:
    generator = np.random.default_rng(4)
    for n_products in (4, 9, 13):
        groups = np.unique(generator.integers(n_products, size=50), return_inverse=True)[1]
        a, b = generator.random((2, 50))
        p = adjusted_p_values(np.array([a, b]), groups)
        assert p[0, 1] == p[1, 0] == pytest.approx(paired_difference(a, b, groups).p_value)
        assert p[0, 0] == 1


def test_many_teams_make_each_difference_less_certain() -> None:
    generator = np.random.default_rng(5)
    values = np.clip(0.5 + 0.2 * generator.standard_normal((12, 80)), 0, 1)
    groups = np.arange(80) // 2
    p = adjusted_p_values(values, groups)
    alone = paired_difference(values[0], values[1], groups).p_value
    assert p[0, 1] >= alone - 0.01
    assert (p == p.T).all()
    assert p.min() > 0


def test_equal_teams_are_seldom_told_apart() -> None:
    """The promise behind ties: in a field of equals, any two differ at most one time in twenty."""
    generator = np.random.default_rng(6)
    fields, wrong = 200, 0
    for _ in range(fields):
        easiness = generator.random(40)
        values = np.clip(easiness + 0.2 * generator.standard_normal((8, 40)), 0, 1)
        wrong += bool((adjusted_p_values(values, np.arange(40), draws=400) <= 0.05).any())
    # 10 expected at most; 20 or more of 200 would have odds below 1 in 500.
    assert wrong < 20


def test_a_weak_baseline_does_not_blur_the_others() -> None:
    strong = [spread(0.6), spread(0.57) + 0.01 * np.cos(np.arange(60))]
    without = adjusted_p_values(np.array(strong), np.arange(60))[0, 1]
    random = 0.02 * np.random.default_rng(0).random(60)
    within = adjusted_p_values(np.array([*strong, random]), np.arange(60))[0, 1]
    assert without <= 0.05
    assert within <= 0.05


def test_the_json_holds_the_board() -> None:
    values = board_json(chain(), standings(chain()))
    json.dumps(values, allow_nan=False)
    assert values["side"] == "public"
    assert [s["rank"] for s in values["standings"]] == [1, 1, 3]
    first = values["standings"][0]
    assert first["metrics"]["map@1000"]["value"] == pytest.approx(0.6)
    assert first["submitted"].startswith("2026-03-01T10:00:00")
    assert [s["selected"] for s in values["submissions"]] == [None, None, None]


def test_failed_submissions_are_in_the_json_without_numbers() -> None:
    failed = board(entry(1, "a", None, verdict="crashed"))
    (submission,) = board_json(failed, standings(failed))["submissions"]
    assert submission["verdict"] == "crashed"
    assert submission["map@1000"] is submission["seconds"] is submission["peak_memory_mb"] is None


def test_the_csv_has_a_row_a_team_and_no_formulas() -> None:
    hostile = '=HYPERLINK("http://x","y")'
    a_board = board(
        entry(1, hostile, spread(0.6), tags=("x", "y"), label='a,"b"\nc'),
        entry(2, "plain", spread(0.4)),
    )
    text = standings_csv(standings(a_board))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["team"] for row in rows] == ["'" + hostile, "plain"]
    assert rows[0]["label"] == 'a,"b"\nc'
    assert rows[0]["tags"] == "x; y"
    assert rows[0]["tied"] == "false"
    assert float(rows[1]["map@1000"]) == pytest.approx(spread(0.4).mean())
    assert rows[1]["public_rank"] == ""


def printed(a_board: Board, *, public: tuple[Standing, ...] = (), width: int = 80) -> str:
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(Terminal()) as terminal:
        patch.setenv("COLUMNS", str(width))
        print_standings(Results(None), a_board, standings(a_board, public))
    return terminal.text


def test_the_table_fits_80_columns() -> None:
    text = printed(
        board(
            entry(1, "The " + "very " * 30 + "long name", spread(0.6)),
            entry(2, "[red]markup[/red]", spread(0.6), hours=50),
            entry(3, "\x1b[31m\u202eturned", spread(0.2)),
            title="A challenge",
        )
    )
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\\x1b[31m" in text
    assert "\u202e" not in text
    assert "[red]markup[/red]" in text
    assert "1=" in text
    assert "0.6" in text
    assert "0.2" in text
    assert "12 s" in text
    assert "812 MB" in text


def test_the_final_table_shows_the_shake_up_in_80_columns() -> None:
    def side(which: str, means: tuple[float, ...]) -> Board:
        entries = (
            entry(i, f"a team of ordinary length {i}", spread(m), selected=True)
            for i, m in enumerate(means)
        )
        return board(*entries, side=which, sealed=False)  # type: ignore[arg-type]

    public = standings(side("public", (0.3, 0.7, 0.5)))
    text = printed(side("private", (0.8, 0.6, 0.4)), public=public)
    assert max(map(len, text.splitlines())) <= 80
    assert "+2" in text
    for column in ("could be", "public", "moved"):
        assert column in text
    assert "memory" not in text
    wide = printed(side("private", (0.8, 0.6, 0.4)), public=public, width=92)
    assert max(map(len, wide.splitlines())) <= 92
    for column in ("could be", "moved", "time", "memory"):
        assert column in wide


def test_a_program_reads_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    a_board = board(entry(1, "The " + "very " * 30 + "long name", spread(0.6)))
    print_standings(Results(None), a_board, standings(a_board))
    header, row = capsys.readouterr().out.splitlines()
    assert header.split("\t")[-2:] == ["time", "memory"]
    assert row.split("\t")[1] == "The " + "very " * 30 + "long name"


def test_an_empty_table_says_so() -> None:
    assert "no submission has a score yet" in printed(board())


def test_numbers_read_well() -> None:
    assert [duration(s) for s in (0.004, 0.04, 0.4, 4, 9.96, 599.6, 1800, float("nan"))] == [
        "0.004 s", "0.040 s", "0.40 s", "4.0 s", "10 s", "600 s", "1,800 s", "\N{EN DASH}",
    ]  # fmt: skip
    assert [memory(m) for m in (812.2, 999.7, 12_430, float("nan"))] == [
        "812 MB", "1.0 GB", "12.4 GB", "\N{EN DASH}",
    ]  # fmt: skip
    assert [rank_mark(s) for s in standings(chain())] == ["1=", "1=", "3"]
