"""Figures as SVG, for pages that may be printed in grey or read on a phone.

Series differ by marker and dash as well as by colour (the palette of Okabe and Ito, which colour-
blind readers tell apart), values and series are labelled directly, and a figure is as wide as a
phone, so its text stays legible there. Each figure also has its content as text for screen readers.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

COLOURS = ("#0072b2", "#d55e00", "#007a5a", "#1b1f24", "#a8497f")
"""Blue, vermilion, green, black, purple; the last two darkened for thin lines on white."""
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2")
_WIDTH = 440.0
_HEIGHT = 250.0
_INK, _SOFT, _GRID = "#1b1f24", "#59636e", "#e1e5ea"
_LETTER = 7.0
"""About the width of a letter, to make room for texts."""
_ROW = 24.0
_LINE = 13.0
"""Height of each line of a label that takes several."""
_LONGEST_LINE = 22
"""Letters of a line of a label."""
_MOST_LINES = 3


@dataclass(frozen=True, slots=True)
class Axis:
    """What a direction of a figure means."""

    label: str
    """With the unit."""
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return the position of a value: 0 at `low`, 1 at `high`. Values outside are moved to the
        end."""
        low, high = (math.log(v) if self.log else v for v in (self.low, self.high))
        at = math.log(max(value, self.low)) if self.log else value
        return min(max((at - low) / ((high - low) or 1.0), 0.0), 1.0)

    def ticks(self, about: int = 5) -> list[float]:
        """Return round values within the axis: decades of a log axis, else steps of 1, 2 or 5."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            factors = (1,) if last - first > 2 else (1, 2, 5)
            marks = [f * 10.0**power for power in range(first, last + 1) for f in factors]
            return [mark for mark in marks if self.low <= mark <= self.high]
        rough = ((self.high - self.low) or 1.0) / about
        decade = 10.0 ** math.floor(math.log10(rough))
        step = next(decade * f for f in (1, 2, 5, 10) if decade * f >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a line, with its interval where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    """Written beside it."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart; points with an interval or a note carry a marker."""

    label: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Row:
    """A value with its interval, in a row of its own."""

    label: str
    value: float
    low: float
    high: float
    text: str
    """Written at the end of the row."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole."""

    label: str
    count: int


def line_chart(title: str, series: Sequence[Series], x: Axis, y: Axis) -> Markup:
    """Draw lines over a common x; several series are labelled at their ends."""
    named = len(series) > 1
    right = 14 + (max(_room(s.label) for s in series) + 20 if named else 0)
    plot = _Plot(x, y, left=40.0, right=right, top=24.0, bottom=38.0)
    parts = plot.frame()
    ends = _spread([plot.y(s.points[-1].y) for s in series])
    for number, (one, end) in enumerate(zip(series, ends, strict=True)):
        colour, dash = COLOURS[number % len(COLOURS)], _DASHES[number % len(_DASHES)]
        path = " ".join(f"{plot.x(p.x):.1f},{plot.y(p.y):.1f}" for p in one.points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"'
            + (f' stroke-dasharray="{dash}"' if dash else "")
            + "/>"
        )
        rises = len(one.points) > 1 and one.points[1].y > one.points[0].y
        for position, point in enumerate(one.points):
            parts += plot.marked(point, number, below=rises and position == 0)
        if named:
            # With its marker: where lines run together, the letter alone would not tell.
            at = plot.x(one.points[-1].x) + 14
            parts += [_marker(number, at, end), _text(at + 9, end + 4, one.label, bold=True)]
    told = "; ".join(
        f"{one.label or y.label}: "
        + ", ".join(f"{_number(p.y)} at {_number(p.x)}" for p in one.points if p.note or named)
        for one in series
    )
    return _svg(_HEIGHT, title, told, parts)


def histogram(
    title: str,
    edges: Sequence[float],
    counts: Sequence[int],
    x: Axis,
    y_label: str,
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Draw counts over the bins between `edges`; `marks` are upright lines with a text."""
    y = Axis(y_label, 0, max(*counts, 1) * 1.05)
    plot = _Plot(x, y, left=48.0, right=14.0, top=40.0 if marks else 24.0, bottom=38.0)
    parts = plot.frame()
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        left, top = plot.x(low) + 0.75, plot.y(count)
        if count:
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{plot.x(high) - left - 0.75:.1f}" '
                f'height="{plot.y(0) - top:.1f}" fill="{COLOURS[0]}">'
                f"<title>{_number(low)} to {_number(high)}: {count:,}</title></rect>"
            )
    for value, text in marks:
        at = plot.x(value)
        anchor = "end" if plot.x(value) > _WIDTH - 90 else "middle" if at > 90 else "start"
        more = ' stroke-width="2" stroke-dasharray="5 3"'
        parts.append(_line(at, plot.top - 2, at, plot.y(0), COLOURS[1], more))
        parts.append(_text(at, plot.top - 6, text, anchor, colour=COLOURS[1], bold=True))
    told = ", ".join(
        f"{_number(low)} to {_number(high)}: {count:,}"
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    )
    return _svg(_HEIGHT, title, told, parts)


def interval_chart(
    title: str, rows: Sequence[Row], x: Axis, reference: tuple[float, str] | None = None
) -> Markup:
    """Draw a value and its interval a row, with a dashed line at `reference` (value, text)."""
    top = 22.0 if reference else 8.0
    plot = _RowPlot(x, [row.label for row in rows], [row.text for row in rows], top)
    parts = plot.x_frame()
    if reference is not None:
        at = plot.x(reference[0])
        parts.append(_line(at, top - 4, at, plot.foot, _SOFT, ' stroke-dasharray="4 3"'))
        parts.append(_text(at, top - 8, reference[1], "middle", colour=_SOFT))
    for number, row in enumerate(rows):
        at = plot.middle(number)
        parts += plot.label(number)
        parts.append(
            f'<path d="M{plot.x(row.low):.1f} {at:.1f}H{plot.x(row.high):.1f}'
            f"M{plot.x(row.low):.1f} {at - 4:.1f}v8M{plot.x(row.high):.1f} {at - 4:.1f}v8"
            f'" stroke="{COLOURS[0]}" stroke-width="1.5" fill="none"/>'
        )
        parts.append(_marker(0, plot.x(row.value), at))
        parts.append(_text(plot.right + 10, at + 4, row.text))
    told = "; ".join(f"{row.label}: {row.text}" for row in rows)
    return _svg(plot.foot + 40, title, told, parts)


def bar_chart(title: str, bars: Sequence[tuple[str, float, str]], x: Axis) -> Markup:
    """Draw a bar a row: label, length, and a text at its end."""
    plot = _RowPlot(x, [label for label, _, _ in bars], [text for _, _, text in bars], 8.0)
    parts = plot.x_frame()
    for number, (_, value, text) in enumerate(bars):
        at = plot.middle(number)
        parts += plot.label(number)
        width = plot.x(value) - plot.left
        parts.append(
            f'<rect x="{plot.left:.1f}" y="{at - 8:.1f}" width="{width:.1f}" height="16" '
            f'fill="{COLOURS[0]}"/>'
        )
        parts.append(_text(plot.left + width + 6, at + 4, text))
    told = "; ".join(f"{label}: {text}" for label, _, text in bars)
    return _svg(plot.foot + 40, title, told, parts)


def share_bar(title: str, parts: Sequence[Share]) -> Markup:
    """Draw up to three parts of a whole as one bar: full, empty, hatched."""
    total = sum(part.count for part in parts) or 1
    fills = (COLOURS[0], "#ffffff", "url(#hatch)")
    colours = (COLOURS[0], _SOFT, COLOURS[1])
    drawn = [
        '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><rect width="5" height="5" fill="#fff"/>'
        f'<rect width="2.5" height="5" fill="{COLOURS[1]}"/></pattern></defs>'
    ]
    at = 2.0
    for part, fill, colour in zip(parts, fills, colours, strict=False):
        width = (_WIDTH - 4) * part.count / total
        drawn.append(
            f'<rect x="{at:.1f}" y="4" width="{width:.1f}" height="20" fill="{fill}" '
            f'stroke="{colour}"/>'
        )
        at += width
    places = ((2.0, "start"), (_WIDTH / 2, "middle"), (_WIDTH - 2, "end"))
    for part, colour, (x, anchor) in zip(parts, colours, places, strict=False):
        text = f"{part.label} {part.count:,} ({part.count / total:.0%})"
        drawn.append(_text(x, 42, text, anchor, colour=colour, bold=True))
    told = ", ".join(f"{part.label} {part.count:,}" for part in parts)
    return _svg(50, title, told, drawn)


class _Plot:
    """The rectangle that two axes span, in the figure's coordinates."""

    def __init__(
        self,
        x: Axis,
        y: Axis,
        *,
        left: float,
        right: float,
        top: float,
        bottom: float,
        height: float = _HEIGHT,
    ) -> None:
        self._x, self._y = x, y
        self.left, self.top = left, top
        self._width, self._height = _WIDTH - left - right, height - top - bottom
        self.right, self.foot = left + self._width, top + self._height

    def x(self, value: float) -> float:
        return self.left + self._x.place(value) * self._width

    def y(self, value: float) -> float:
        return self.top + (1 - self._y.place(value)) * self._height

    def frame(self) -> list[str]:
        """Draw both axes with grid lines."""
        parts = [_text(2, 12, self._y.label, colour=_SOFT)]
        for tick in self._y.ticks():
            at = self.y(tick)
            parts.append(_line(self.left, at, self.right, at, _GRID))
            parts.append(_text(self.left - 6, at + 4, _number(tick), "end", colour=_SOFT))
        return [*parts, *self.x_frame()]

    def x_frame(self) -> list[str]:
        """Draw the axis at the foot with its grid lines."""
        foot = self.foot
        parts = []
        for tick in self._x.ticks(max(2, round(self._width / 65))):
            at = self.x(tick)
            parts.append(_line(at, self.top, at, foot + 4, _GRID))
            parts.append(_text(at, foot + 16, _number(tick), "middle", colour=_SOFT))
        parts.append(_line(self.left, foot, self.right, foot, _SOFT))
        middle = self.left + self._width / 2
        return [*parts, _text(middle, foot + 32, self._x.label, "middle", colour=_SOFT)]

    def marked(self, point: Point, number: int, *, below: bool) -> list[str]:
        """Draw a point's interval, marker and note, where it has one.

        The note stands above, or `below` so as not to be crossed by the line.
        """
        if point.low is None and not point.note:
            return []
        at, parts = self.x(point.x), []
        if point.low is not None and point.high is not None:
            low, high = self.y(point.low), self.y(point.high)
            parts.append(
                f'<path d="M{at:.1f} {low:.1f}V{high:.1f}M{at - 4:.1f} {low:.1f}h8'
                f'M{at - 4:.1f} {high:.1f}h8" stroke="{COLOURS[number % len(COLOURS)]}" '
                'stroke-width="1.2" fill="none"/>'
            )
        parts.append(_marker(number, at, self.y(point.y)))
        if point.note:
            over = self.y(point.high if point.high is not None else point.y) - 7
            under = self.y(point.low if point.low is not None else point.y) + 16
            anchor = "middle" if at > self.left + 14 else "start"
            if at > self.right - 14:
                anchor = "end"
            height = under if below or over <= self.top + 6 else over
            parts.append(_text(at, height, point.note, anchor))
        return parts


class _RowPlot(_Plot):
    """Rows one below the other, each with a label at the left and room for a text at the right."""

    def __init__(self, x: Axis, labels: Sequence[str], texts: Sequence[str], top: float) -> None:
        self._labels = labels
        self._lines = [_lines(label) for label in labels]
        self._step = max(_ROW, 6 + _LINE * max(map(len, self._lines)))
        left = max(24.0, 10 + max(_room(line) for lines in self._lines for line in lines))
        right = 12 + max(map(_room, texts))
        height = top + self._step * len(labels) + 40
        y = Axis("", 0, len(labels))
        super().__init__(x, y, left=left, right=right, top=top, bottom=40.0, height=height)

    def middle(self, number: int) -> float:
        """Return the height of the middle of a row."""
        return self.top + self._step * (number + 0.5)

    def label(self, number: int) -> list[str]:
        """Write the label of a row."""
        lines, whole = self._lines[number], self._labels[number]
        hint = whole if lines[-1].endswith("…") else ""
        first = self.middle(number) + 4 - (len(lines) - 1) * _LINE / 2
        return [
            _text(self.left - 8, first + row * _LINE, line, "end", hint=hint)
            for row, line in enumerate(lines)
        ]


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, more: str = "") -> str:
    return (
        f'<line x1="{x0:.1f}" x2="{x1:.1f}" y1="{y0:.1f}" y2="{y1:.1f}" stroke="{colour}"{more}/>'
    )


def _marker(number: int, x: float, y: float) -> str:
    shapes = (
        f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0",
        f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z",
        f"M{x:.1f} {y - 5:.1f}l5 9h-10z",
        f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z",
        f"M{x:.1f} {y + 5:.1f}l5 -9h-10z",
    )
    return (
        f'<path d="{shapes[number % len(shapes)]}" fill="{COLOURS[number % len(COLOURS)]}" '
        'stroke="#fff"/>'
    )


def _spread(heights: Sequence[float], least: float = 14.0) -> list[float]:
    """Move labels apart that would cover each other, in their order from the top."""
    placed: dict[int, float] = {}
    last = -math.inf
    for index in sorted(range(len(heights)), key=lambda i: heights[i]):
        last = max(heights[index], last + least)
        placed[index] = last
    return [placed[index] for index in range(len(heights))]


def _svg(height: float, title: str, told: str, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(f"{title}. {told}")}" font-size="12" '
        f'font-family="system-ui, -apple-system, Segoe UI, Roboto, sans-serif">'
        + "".join(parts)
        + "</svg>"
    )


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str = "start",
    *,
    colour: str = _INK,
    bold: bool = False,
    hint: str = "",
) -> str:
    weight = ' font-weight="600"' if bold else ""
    told = f"<title>{escape(hint)}</title>" if hint and hint != text else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>'
        f"{told}{escape(text)}</text>"
    )


def _room(text: str) -> float:
    return len(text) * _LETTER


def _lines(label: str) -> list[str]:
    """Return a label in up to three lines, cut where it is longer."""
    return textwrap.wrap(label, _LONGEST_LINE, max_lines=_MOST_LINES, placeholder="…") or [label]


def _number(value: float) -> str:
    rounded = round(value)
    if abs(value - rounded) < 1e-9:
        return f"{rounded:,}"
    return f"{value:.3g}"
