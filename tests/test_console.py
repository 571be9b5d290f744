"""What commands print on a terminal and where a program reads it."""

from __future__ import annotations

from contextlib import redirect_stdout

import pytest
from conftest import Terminal

from shoplens.cli.console import Results, printable

LONG = "photos/" + "x" * 200 + ".jpg"


def show(json_file: str | None = None) -> None:
    results = Results(json_file)
    rows = [(1, 0.5, LONG), (20, None, "tab\tand\nline\x1b[31m")]
    results.table(("rank", "score", "path"), rows, numbers=("rank", "score"), title="two hits")
    results.note("what the score means")


def test_a_program_reads_rows_separated_by_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    show()
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "rank\tscore\tpath",
        f"1\t0.5\t{LONG}",
        "20\t\ttab\\tand\\nline\\x1b[31m",
    ]
    assert err == "two hits\nwhat the score means\n"


def test_results_make_way_for_json_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    show("-")
    out, err = capsys.readouterr()
    assert out == ""
    assert f"1\t0.5\t{LONG}" in err


def test_an_empty_line_stands_between_two_tables(capsys: pytest.CaptureFixture[str]) -> None:
    results = Results(None)
    for name in "ab":
        results.table((name,), [("1",)])
    assert capsys.readouterr().out == "a\n1\n\nb\n1\n"


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with redirect_stdout(Terminal()) as terminal:
        Results(None).table(("name", "size"), [], title="files", empty="no files")
    assert terminal.text == "no files\n"
    Results("-").table(("name", "size"), [], title="files", empty="no files")
    assert capsys.readouterr().err == "no files\nname\tsize\n"


def test_a_terminal_shows_tables_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with redirect_stdout(Terminal()) as terminal:
        show()
    lines = terminal.text.splitlines()
    assert lines[0] == "two hits"
    assert lines[-1] == "what the score means"
    assert all(len(line) <= 80 for line in lines)
    assert "\t" not in terminal.text
    assert "x" * 40 in terminal.text
    assert "…" not in terminal.text


def test_long_texts_are_cut_where_a_table_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with redirect_stdout(Terminal()) as terminal:
        Results(None).table(("team", "state"), [(LONG, "waiting")], shortened=("team",))
    lines = terminal.text.splitlines()
    (row,) = (line for line in lines if "waiting" in line)
    assert "…" in row
    assert len(row) <= 80


def test_control_characters_are_shown_and_not_sent() -> None:
    assert printable("a\x1b]0;b\x07\n") == "a\\x1b]0;b\\x07\n"
