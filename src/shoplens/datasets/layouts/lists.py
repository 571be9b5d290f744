"""Lists as datasets of research groups have them: a row a line, its fields between spaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from shoplens.datasets.layouts.published import Collector
from shoplens.files import read_text


def spaced_rows(
    path: Path, columns: Sequence[str], collector: Collector
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a list with their lines, from 1.

    A first line that is only a number counts the rows; a line that starts with the name of the
    first column names the columns. Either may be missing. Empty lines are passed over.

    Args:
        path: the list.
        columns: their names.
        collector: told about lines with other fields, and about a count that is not right.

    Raises `MissingError` when there is no such list, `DataError` when it is not UTF-8 text.
    """
    stated: int | None = None
    n_rows = 0
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        fields = text.split()
        if not fields or fields[0].casefold() == columns[0]:
            continue
        if line == 1 and len(fields) == 1 and fields[0].isdecimal():
            stated = int(fields[0])
            continue
        n_rows += 1
        if len(fields) == len(columns):
            yield line, fields
        else:
            problem = f"has {len(fields)} fields, not {len(columns)}: {', '.join(columns)}"
            collector.fault(path.name, line, text, problem)
    if stated is not None and stated != n_rows:
        collector.note(f"{path.name} says that it has {stated:,} rows, and has {n_rows:,}")
