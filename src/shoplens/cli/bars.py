"""Progress as bars, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from shoplens.cli.rates import CLOCKS, shown_rate
from shoplens.progress import Progress


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show progress on standard error as bars, one for each stage, until the block ends."""
    bars = RichProgress(
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        _LeftColumn(compact=True),
        console=Console(stderr=True),
    )
    with bars:
        yield _Bars(bars)


class _Bars:
    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.description in CLOCKS:
            return Text("s at most")
        speed = task.finished_speed or task.speed
        return Text(shown_rate(speed) if speed else "")


class _LeftColumn(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        return Text() if task.description in CLOCKS else super().render(task)
