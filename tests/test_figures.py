from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from shoplens.report.figures import (
    Axis,
    Point,
    Row,
    Series,
    Share,
    bar_chart,
    histogram,
    interval_chart,
    line_chart,
    share_bar,
)

UNIT = Axis("score, 0 to 1", 0, 1)
LINE = Series("ours", [Point(1, 0.2, 0.1, 0.3, "0.20"), Point(10, 0.6), Point(100, 0.9)])
FIGURES = [
    line_chart("Lines", [LINE], Axis("k", 1, 100, log=True), UNIT),
    line_chart("Two", [LINE, Series("theirs", LINE.points)], Axis("k", 1, 100, log=True), UNIT),
    histogram("Bins", [0, 0.5, 1], [3, 0], UNIT, "queries", [(0.25, "mean 0.25")]),
    histogram("Nothing", [0, 1], [0], UNIT, "queries"),
    interval_chart("Rows", [Row("shoes", 0.5, 0.4, 0.6, "0.500")], UNIT, (0.5, "all")),
    bar_chart("Time", [("embed", 7.5, "7.5 s"), ("rank", 0.0, "0.0 s")], Axis("seconds", 0, 7.5)),
    share_bar("Wins", [Share("A better", 3), Share("equal", 5), Share("B better", 0)]),
    share_bar("None", [Share("A better", 0), Share("equal", 0), Share("B better", 0)]),
]


def drawn(figure: Markup) -> ET.Element:
    return ET.fromstring(str(figure))


def texts(figure: Markup) -> list[str]:
    return [e.text or "" for e in drawn(figure).iter("text")]


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_is_sound_and_stays_inside_its_frame(figure: Markup) -> None:
    root = drawn(figure)
    _, _, width, height = (float(v) for v in root.attrib["viewBox"].split())
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"]
    for element in root.iter():
        for name, value in element.attrib.items():
            assert "nan" not in value
            if name in ("x", "x1", "x2", "cx"):
                assert 0 <= float(value) <= width
            if name in ("y", "y1", "y2", "cy"):
                assert 0 <= float(value) <= height
            if name in ("width", "height"):
                assert float(value) >= 0


def test_axes_are_labelled_with_round_values() -> None:
    assert {"k", "1", "10", "100", "0.2"} <= set(texts(FIGURES[0]))
    assert {"score, 0 to 1", "queries", "mean 0.25"} <= set(texts(FIGURES[2]))


def test_series_differ_by_more_than_colour() -> None:
    figure = str(FIGURES[1])
    lines = re.findall(r"<polyline[^>]*>", figure)
    assert ["dasharray" in line for line in lines] == [False, True]
    assert {"ours", "theirs"} <= set(texts(FIGURES[1]))
    markers = re.findall(r'<path d="([^"]*)" fill="#', figure)
    assert len({re.sub(r"[-\d. ]+", "", shape) for shape in markers}) > 1


def test_labels_of_lines_that_end_together_stand_apart() -> None:
    root = drawn(FIGURES[1])
    heights = [float(e.attrib["y"]) for e in root.iter("text") if e.text in ("ours", "theirs")]
    assert abs(heights[0] - heights[1]) >= 12


def test_what_a_figure_shows_is_told_in_words() -> None:
    told = drawn(FIGURES[2]).attrib["aria-label"]
    assert "0 to 0.5: 3" in told


def test_bars_are_as_high_as_their_counts() -> None:
    figure = histogram("Bins", [0, 1, 2, 3], [4, 2, 1], Axis("x", 0, 3), "n")
    heights = [float(e.attrib["height"]) for e in drawn(figure).iter("rect")]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)
    assert heights[0] == pytest.approx(4 * heights[2], abs=0.2)


def test_shares_add_up_to_the_whole() -> None:
    rects = [e for e in drawn(FIGURES[6]) if e.tag == "rect"]
    widths = [float(e.attrib["width"]) for e in rects]
    assert sum(widths) == pytest.approx(436, abs=0.2)
    assert widths[0] / widths[1] == pytest.approx(3 / 5, abs=0.01)
    assert [t.split(" (")[0] for t in texts(FIGURES[6])] == ["A better 3", "equal 5", "B better 0"]


def test_hostile_labels_are_only_text() -> None:
    evil = "<script>alert(1)</script>\"'&"
    rows = [Row(label, 0.5, 0.4, 0.6, evil) for label in (evil, evil * 3)]
    root = drawn(interval_chart(evil, rows, UNIT, (0.5, evil)))
    assert not [e for e in root.iter() if e.tag.endswith("script")]
    assert evil in "".join(e.text or "" for e in root.iter("text"))
    assert evil * 3 in [e.text for e in root.iter("title")]


@pytest.mark.parametrize("chart", ["intervals", "bars"])
def test_long_labels_take_several_lines_that_keep_apart(chart: str) -> None:
    labels = [
        "a category whose name goes on and on",
        "shoes",
        "Very long category name of furniture",
    ]
    if chart == "intervals":
        figure = interval_chart("Rows", [Row(label, 0.5, 0.4, 0.6, "") for label in labels], UNIT)
    else:
        figure = bar_chart("Rows", [(label, 0.5, "") for label in labels], UNIT)
    shown = [e for e in drawn(figure).iter("text") if e.attrib["text-anchor"] == "end"]
    assert [e.text for e in shown] == [
        *("a category whose name", "goes on and on"),
        "shoes",
        *("Very long category", "name of furniture"),
    ]
    heights = [float(e.attrib["y"]) for e in shown]
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 12


def test_labels_of_more_than_three_lines_are_cut_and_told_in_full() -> None:
    label = "a category whose name goes on and on and on without ever coming to an end"
    root = drawn(interval_chart("Rows", [Row(label, 0.5, 0.4, 0.6, "")], UNIT))
    titles = list(root.iter("title"))
    assert [title.text for title in titles] == [label] * 3
    assert (titles[-1].tail or "").endswith("…")


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_round_and_inside(low: float, width: float) -> None:
    axis = Axis("", low, low + width)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 12
    slack = width * 1e-6
    assert all(low - slack <= tick <= low + width + slack for tick in ticks)


@given(st.integers(2, 10**6))
def test_ticks_of_a_log_axis(high: int) -> None:
    ticks = Axis("", 1, high, log=True).ticks()
    assert ticks[0] == 1
    assert ticks[-1] <= high
    assert len(ticks) <= 12


def test_an_axis_places_its_ends_and_keeps_what_lies_outside_at_them() -> None:
    axis = Axis("", 1, 100, log=True)
    assert [axis.place(v) for v in (0, 1, 10, 100, 1000)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert Axis("", 2, 2).place(2) == 0
