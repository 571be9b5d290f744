"""The history plot: the best public score of each team over time, laid out for an SVG.

Lines are labelled at their ends, so there is no legend. The colours are those of Okabe and Ito,
which colour-blind readers can tell apart, and each has its own dashes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import count

from shoplens.challenge.leaderboard import Best, Standing

NAMED = 7
"""How many teams have a colour and a name; the others are grey."""

_STYLES = (
    ("#0072b2", ""),
    ("#d55e00", "7 3"),
    ("#009e73", "2 3"),
    ("#cc79a7", "10 3 2 3"),
    ("#8c6900", "5 2"),
    ("#56b4e9", ""),
    ("#000000", "1 3"),
)
_LINE_HEIGHT = 16.0
_SHORTEST = timedelta(minutes=2)
"""Length of the time axis, at least."""
_STEPS = tuple(
    timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 30, 60, 3 * 60, 6 * 60, 12 * 60)
) + tuple(timedelta(days=days) for days in (1, 2, 4, 7, 14, 28, 56, 112, 224))


@dataclass(frozen=True, slots=True)
class Line:
    """A team's line, in pixels of the plot."""

    team: str
    path: str
    colour: str
    dashes: str
    end: tuple[float, float]
    label_y: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """All that the template draws."""

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    """The sides of the area inside the axes."""
    named: tuple[Line, ...]
    others: tuple[str, ...]
    """Paths of the teams that are not named."""
    times: tuple[Tick, ...]
    scores: tuple[Tick, ...]
    label_chars: int
    """How much of a name there is room for."""


def draw_history(
    ranking: Sequence[Standing], until: datetime, width: int, height: int
) -> Plot | None:
    """Lay the plot out; None if no team has a score yet.

    Args:
        ranking: the standings of the public side.
        until: where the time axis ends.
        width: of the plot, in pixels; plots narrower than 600 have shorter names.
        height: of the plot, in pixels.
    """
    if not ranking:
        return None
    label_chars = 22 if width >= 600 else 11
    left, right, top, bottom = 48.0, width - 20 - label_chars * 8.0, 12.0, height - 30.0
    shown, rest = ranking[:NAMED], ranking[NAMED:]
    begin, end = _times(ranking, until)
    low, high, score_step = _scores(shown)

    def x(moment: datetime) -> float:
        return left + (right - left) * ((moment - begin) / (end - begin))

    def y(score: float) -> float:
        return bottom - (bottom - top) * (max(score, low) - low) / (high - low)

    def path(history: Sequence[Best]) -> str:
        parts = [f"M{x(history[0].since):.1f} {y(history[0].score):.1f}"]
        parts += [f"H{x(best.since):.1f}V{y(best.score):.1f}" for best in history[1:]]
        return "".join([*parts, f"H{right:.1f}"])

    ends = [y(standing.history[-1].score) for standing in shown]
    lines = tuple(
        Line(standing.entry.team, path(standing.history), *style, (right, at), label)
        for standing, style, at, label in zip(
            shown, _STYLES, ends, _spread(ends, top, bottom), strict=False
        )
    )
    return Plot(
        width=width,
        height=height,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        named=lines,
        others=tuple(path(standing.history) for standing in rest),
        times=_time_ticks(begin, end, x, 5 if width >= 600 else 3),
        scores=_score_ticks(low, high, score_step, y),
        label_chars=label_chars,
    )


def _times(ranking: Sequence[Standing], until: datetime) -> tuple[datetime, datetime]:
    begin = min(standing.history[0].since for standing in ranking)
    end = max(until, *(standing.history[-1].since for standing in ranking), begin)
    # The axis needs some length, even if everything happened at once.
    return min(begin, end - _SHORTEST), end


def _scores(shown: Sequence[Standing]) -> tuple[float, float, float]:
    """Return the score axis's two ends and the step of its marks, all round numbers."""
    scores = [best.score for standing in shown for best in standing.history]
    low, high = min(scores), max(scores)
    room = max((high - low) / 5, 0.002)
    step = next(
        size
        for power in count(-4)
        for size in (10.0**power, 2 * 10.0**power, 5 * 10.0**power)
        if size >= room
    )
    return (low // step) * step, (high // step + 1) * step, step


def _score_ticks(
    low: float, high: float, step: float, y: Callable[[float], float]
) -> tuple[Tick, ...]:
    digits = max(1, -math.floor(math.log10(step) + 1e-9))
    values = [low + i * step for i in range(round((high - low) / step) + 1)]
    return tuple(Tick(y(value), f"{value:.{digits}f}") for value in values)


def _time_ticks(
    begin: datetime, end: datetime, x: Callable[[datetime], float], most: int
) -> tuple[Tick, ...]:
    epoch = datetime(2001, 1, 1, tzinfo=timezone.utc)
    for step in _STEPS:
        first = -((epoch - begin) // step)
        ticks = [epoch + i * step for i in range(first, (end - epoch) // step + 1)]
        if len(ticks) <= most:
            break
    form = "{0.day} {0:%b} {0:%H:%M}" if step < timedelta(days=1) else "{0.day} {0:%b}"
    return tuple(Tick(x(tick), form.format(tick)) for tick in ticks)


def _spread(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """Move labels apart where they would overlap; they come from the top down."""
    placed: list[float] = []
    for at in wanted:
        placed.append(max(at, placed[-1] + _LINE_HEIGHT) if placed else max(at, top))
    limit = bottom
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - _LINE_HEIGHT
    return placed
