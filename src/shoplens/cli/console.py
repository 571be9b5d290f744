"""What the commands print: results on standard output, progress and messages on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoplens.files import write_text
from shoplens.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_INTERVAL = 10.0
"""Seconds between two lines of progress where there is no terminal."""
CLOCKS = frozenset({"run"})
"""Stages that count seconds up to a limit: they have no rate, and need not last that long."""


def printable(text: str) -> str:
    """Show control characters instead of sending them: names of files must not steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def message(text: str) -> None:
    """Tell the user something, on standard error."""
    print(printable(text), file=sys.stderr, flush=True)  # noqa: T201


def results_console(json_file: str | None) -> Console:
    """Return where result tables go: standard output, unless the JSON goes there."""
    from rich.console import Console  # noqa: PLC0415

    # Names of files and products are shown as they are, never read as markup.
    return Console(stderr=json_file == "-", highlight=False, markup=False, emoji=False)


class Results:
    """Where a command's results go: standard output, unless the JSON goes there.

    On a terminal, tables fit its width. Anywhere else a program may read them: a table is one
    header line and one line for each row, with tabs between the cells, and nothing is wrapped.

    Args:
        json_file: the value of `--json`. For `-` the results go to standard error.
    """

    def __init__(self, json_file: str | None) -> None:
        self._stream = sys.stderr if json_file == "-" else sys.stdout
        self._n_tables = 0

    def line(self, text: str) -> None:
        """Print a line. It is never wrapped."""
        print(printable(text), file=self._stream)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        numbers: Collection[str] = (),
        title: str = "",
        note: str = "",
    ) -> None:
        """Print a table.

        Args:
            columns: the names of the columns; all of them different.
            rows: for each row, its cells. None is an empty cell.
            numbers: the columns whose cells stand at the right and are never broken.
            title: what the table shows. Where nobody is at a terminal it is a message.
            note: what a reader must know to understand the cells; likewise.
        """
        cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
        if self._stream.isatty():
            self._draw(columns, cells, numbers, title)
            if note:
                self.line(note)
            return
        if title:
            message(title)
        if self._n_tables:
            self._stream.write("\n")
        self._n_tables += 1
        for row in (columns, *cells):
            self.line("\t".join(_cell(cell) for cell in row))
        if note:
            message(note)

    def _draw(
        self, columns: Sequence[str], rows: list[list[str]], numbers: Collection[str], title: str
    ) -> None:
        # Only here, and not at the top: most runs draw no table, and rich takes time to load.
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        table = Table(title=printable(title) or None, title_justify="left")
        for name in columns:
            if name in numbers:
                table.add_column(name, justify="right", no_wrap=True)
            else:
                table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*map(_cell, row))
        # Names of files and products are shown as they are, never read as markup.
        Console(file=self._stream, highlight=False, markup=False, emoji=False).print(table)


def _cell(text: str) -> str:
    return printable(text).replace("\n", "\\n")


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
    if sys.stderr.isatty():
        from shoplens.cli.bars import progress_bars  # noqa: PLC0415

        with progress_bars() as progress:
            yield progress
    else:
        yield _Lines()


def shown_rate(speed: float) -> str:
    """Return a rate as it is shown: steps of a training take seconds each."""
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
        if stage in CLOCKS:
            message(f"{stage}: {done:,} s, {total:,} s at most")
            return
        # The first report starts the clock (what was there before it took none of this time);
        # a rate over moments would mean nothing.
        rate = (done - before) / (now - started) if now > started + 1 else 0.0
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        shown = f", {shown_rate(rate)}" if rate else ""
        message(f"{stage}: {done:,} of {total:,}{shown}{left}")
