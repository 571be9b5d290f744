"""What the commands print: results on standard output, progress and messages on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shoplens.cli.rates import CLOCKS, shown_rate
from shoplens.files import write_text
from shoplens.progress import Progress

_PLAIN_INTERVAL = 10.0
"""Seconds between two lines of progress where there is no terminal."""


def printable(text: str) -> str:
    """Show control characters instead of sending them: names of files must not steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def message(text: str) -> None:
    """Tell the user something, on standard error."""
    print(printable(text), file=sys.stderr, flush=True)  # noqa: T201


class Results:
    """Where a command's results go: standard output, or standard error for `--json -`.

    On a terminal, tables fit its width. Anywhere else a program may read them: a table is one
    header line and one line for each row, with tabs between the cells, nothing is wrapped, and
    what is not a row goes to standard error.

    Args:
        json_file: the value of `--json`.
    """

    def __init__(self, json_file: str | None) -> None:
        self._stream = sys.stderr if json_file == "-" else sys.stdout
        self._n_tables = 0

    @property
    def on_terminal(self) -> bool:
        """Whether a person reads along."""
        return self._stream.isatty()

    def line(self, text: str) -> None:
        """Print a line that is a result by itself. It is not wrapped."""
        self._stream.write(printable(text) + "\n")

    def note(self, text: str) -> None:
        """Print what explains a table or sums it up."""
        if self.on_terminal:
            self.line(text)
        else:
            message(text)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        numbers: Collection[str] = (),
        shortened: Collection[str] = (),
        title: str = "",
        empty: str = "",
    ) -> None:
        """Print a table.

        Args:
            columns: the names of the columns.
            rows: the cells of each row; None is an empty cell.
            numbers: the columns that are aligned at the right and never broken.
            shortened: where a terminal is too narrow, cut the texts of these columns, and break
                those of no other. Without any, all that are not numbers are broken.
            title: what the table shows.
            empty: what to say when there are no rows.
        """
        cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
        if not cells and empty:
            self.note(empty)
        elif title:
            self.note(title)
        if not self.on_terminal:
            if self._n_tables:
                self._stream.write("\n")
            for row in (columns, *cells):
                self._stream.write("\t".join(map(_cell, row)) + "\n")
        elif cells:
            self._draw(columns, cells, numbers, shortened)
        self._n_tables += 1

    def _draw(
        self,
        columns: Sequence[str],
        rows: list[list[str]],
        numbers: Collection[str],
        shortened: Collection[str],
    ) -> None:
        # Most runs draw no table, and rich takes a while to import.
        from rich.box import SIMPLE_HEAD  # noqa: PLC0415
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for name in columns:
            table.add_column(
                name,
                justify="right" if name in numbers else "left",
                overflow="ellipsis" if name in shortened else "fold",
                no_wrap=name not in shortened if shortened else name in numbers,
            )
        for row in rows:
            table.add_row(*map(_cell, row))
        # Names of files and products are shown as they are, never read as markup.
        Console(file=self._stream, highlight=False, markup=False, emoji=False).print(table)


def _cell(text: str) -> str:
    """Return text in one line, without tabs."""
    return printable(text).replace("\n", "\\n")


def write_json(json_file: str | None, values: Mapping[str, Any], *, mode: int = 0o666) -> None:
    """Write a command's JSON to a file, or to standard output for `-`; nothing for None.

    A file that is made gets the permissions `mode`, less the user's mask.
    """
    if json_file is None:
        return
    text = json.dumps(values, indent=2, allow_nan=False) + "\n"
    if json_file == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(Path(json_file), text, mode=mode)


@contextmanager
def progress_display() -> Iterator[Progress]:
    """Show progress on standard error: bars on a terminal, a line now and then elsewhere."""
    if sys.stderr.isatty():
        from shoplens.cli.bars import progress_bars  # noqa: PLC0415

        with progress_bars() as progress:
            yield progress
    else:
        yield _Lines()


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
