"""What the commands print: progress and messages on standard error, results on standard output."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from shoplens.errors import ShoplensWarning
from shoplens.files import write_text
from shoplens.progress import Progress

_PLAIN_INTERVAL = 10.0
"""Seconds between two lines of progress where there is no terminal."""
_CLOCKS = frozenset({"run"})
"""Stages that count seconds up to a limit: they have no rate, and need not last that long."""


def printable(text: str) -> str:
    """Show control characters instead of sending them: names of files must not steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def message(text: str) -> None:
    """Tell the user something, on standard error."""
    print(printable(text), file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def warnings_told() -> Iterator[None]:
    """Tell the library's warnings as messages."""

    say = message  # The name that Python gives the warning hides it below.

    def tell(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, ShoplensWarning):
            say(f"warning: {message}")
        else:
            shown(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        shown = warnings.showwarning
        warnings.simplefilter("always", ShoplensWarning)
        # Pillow warns of damaged metadata and of large photos; what matters becomes a failure.
        warnings.filterwarnings("ignore", module="PIL")
        warnings.showwarning = tell
        yield


def results_console(json_file: str | None) -> Console:
    """Return where result tables go: standard output, unless the JSON goes there."""
    # Names of files and products are shown as they are, never read as markup.
    return Console(stderr=json_file == "-", highlight=False, markup=False, emoji=False)


def write_json(json_file: str | None, values: Mapping[str, Any]) -> None:
    """Write a command's JSON to a file, or to standard output for `-`; nothing for None."""
    if json_file is None:
        return
    text = json.dumps(values, indent=2, allow_nan=False) + "\n"
    if json_file == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(Path(json_file), text)


@contextmanager
def progress_display() -> Iterator[Progress]:
    """Show progress on standard error: bars on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        bars = RichProgress(
            TextColumn("{task.description:>16}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            _LeftColumn(compact=True),
            console=console,
        )
        with bars:
            yield _Bars(bars)
    else:
        yield _Lines()


class _Bars:
    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.description in _CLOCKS:
            return Text("s at most")
        speed = task.finished_speed or task.speed
        return Text(_rate(speed) if speed else "")


class _LeftColumn(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        return Text() if task.description in _CLOCKS else super().render(task)


def _rate(speed: float) -> str:
    # Steps of a training take seconds each.
    return f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s"


class _Lines:
    def __init__(self) -> None:
        self._started: dict[str, tuple[float, int]] = {}
        self._said = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        started, before = self._started.setdefault(stage, (now, done))
        if done < total and now - self._said < _PLAIN_INTERVAL:
            return
        self._said = now
        if done == total:
            del self._started[stage]  # it may come again, as validation does
        if stage in _CLOCKS:
            message(f"{stage}: {done:,} s, {total:,} s at most")
            return
        # The first report starts the clock (what was there before it took none of this time);
        # a rate over moments would mean nothing.
        rate = (done - before) / (now - started) if now > started + 1 else 0.0
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        shown = f", {_rate(rate)}" if rate else ""
        message(f"{stage}: {done:,} of {total:,}{shown}{left}")
