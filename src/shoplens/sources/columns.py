"""Photos in a column of bytes: Parquet, Arrow IPC (Feather) and Lance.

Listing reads the small columns only (ids, names, products, boxes). A photo's bytes are read when
they are asked for, a block of rows at a time, and a few blocks are kept: photos that are read
about in the order of their table are read once, and memory does not grow with the table.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Literal

from shoplens.attributes import Value
from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.sources.file import MAX_BYTES, File, WholeFile, as_whole, too_large
from shoplens.sources.formats import OpenColumns, open_columns

Format = Literal["parquet", "arrow", "lance"]

SUFFIXES: Mapping[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
"""Files that count as parts of a table when a folder is read."""
_MAGIC_BYTES = 8
_MAGIC: Mapping[bytes, Format] = {b"PAR1": "parquet", b"ARROW1": "arrow"}

USUAL_NAMES = ("image", "img", "photo", "picture", "image_bytes", "img_bytes", "bytes", "jpg")
"""Where several columns hold bytes, the first of these is taken."""

_BLOCK_BYTES = 8 * 2**20
_KEPT_BYTES = 64 * 2**20
_LEAST_ROWS = 8
_MOST_ROWS = 1024
_KEPT_ROWS = 64
"""Blocks are kept while they hold fewer bytes or fewer rows than these: threads are a few photos
apart, however large the photos are."""
_KEPT_FILES = 4
_ROW = re.compile("[0-9]{1,18}")
_MARK = re.compile("[0-9]+ [0-9]+ .+ [0-9]{1,18}", re.DOTALL)
"""Size and time of the file, name of the column, row."""


def kind_of_columns(head: bytes) -> Format | None:
    """Return the format of a table of columns by its first bytes, None when it is none."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


@dataclass(frozen=True, slots=True)
class PhotoColumn:
    """The column of a table that holds photos, in one of its files."""

    file: File
    format: Format
    name: str
    stamp: str
    """Distinguishes the file from an earlier one at the same path."""
    block_rows: int


@dataclass(frozen=True, slots=True)
class Cell(WholeFile):
    """A photo in a column."""

    column: PhotoColumn
    group: int
    """Row group, or record batch, of the file."""
    row: int
    """Row in the group."""
    number: int
    """Row in the file."""

    def __str__(self) -> str:
        return f"{self.column.file}, column {self.column.name}, row {self.number}"

    @property
    def path(self) -> Path:
        """A path that names the photo: its file and row."""
        file = self.column.file.path
        return file.with_name(f"{file.name}#{self.number}")

    def read(self) -> bytes:
        """Return the bytes."""
        try:
            data = _KEEPER.read(self)
        except (PhotoError, MissingError):
            raise
        # Arrow and Lance raise OSError, ValueError and errors of their own on damaged data.
        except Exception as error:
            raise PhotoError("unreadable", f"{self}: {_first_line(error)}") from error
        if data is None:
            raise PhotoError("missing", f"{self} is null")
        if len(data) > MAX_BYTES:
            raise too_large(str(self), len(data))
        return data


class ColumnTable:
    """The rows of one or several files with the same columns.

    Args:
        name: what the table is called in messages.
        files: its files, in order.
        image_column: the column of bytes; None takes the only one, or the first of `USUAL_NAMES`.

    Raises:
        DataError: a file is damaged, or its column of bytes cannot be chosen.
        MissingError: a file or the package that reads it is not there.
    """

    def __init__(self, name: str, files: Sequence[File], image_column: str | None = None) -> None:
        self.name = name
        self._parts: list[PhotoColumn] = []
        self.columns: tuple[str, ...] = ()
        """Columns of text, numbers or truth values."""
        for file in files:
            kind = format_of(file)
            if kind is None:
                raise not_columns(file)
            opened = _opened(file, kind)
            image_column = image_column or _only_column_of_bytes(file, opened)
            part = _photo_column(file, kind, image_column, opened)
            columns = opened.value_columns
            if self._parts and set(columns) != set(self.columns):
                raise DataError(
                    f"{file} has other columns ({_listed(columns)}) than the parts before it "
                    f"({_listed(self.columns)})"
                )
            self.columns = columns
            self._parts.append(part)
            opened.close()
        self.image_column = image_column or ""

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[dict[str, Value], Cell, str | None]]:
        """Yield each row's values of `columns`, its photo, and the photo's own name.

        A null or NaN is None. The name is the path beside the bytes, as in datasets of Hugging
        Face, or None.
        """
        for part in self._parts:
            opened = _opened(part.file, part.format)
            number = 0
            for group in range(opened.n_groups):
                values, names = opened.read_values(group, columns, part.name)
                for row, of_row in enumerate(values):
                    name = names[row] if names else None
                    yield of_row, Cell(part, group, row, number), name
                    number += 1
            opened.close()


class _Keeper:
    """The blocks of rows read last, and the files they come from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[PhotoColumn, tuple[OpenColumns, dict[int, _Cursor]]] = (
            OrderedDict()
        )
        self._blocks: OrderedDict[tuple[PhotoColumn, int, int], list[bytes | None]] = OrderedDict()
        self._n_bytes = 0
        self._n_rows = 0

    def read(self, cell: Cell) -> bytes | None:
        part = cell.column
        number, row = divmod(cell.row, part.block_rows)
        key = (part, cell.group, number)
        with self._lock:
            block = self._blocks.get(key)
            if block is None:
                try:
                    block = self._cursor(part, cell.group, number).read_to(number)
                except BaseException:
                    self._files.pop(part, None)  # Where its reading stopped is not known.
                    raise
                self._keep(key, block)
            self._blocks.move_to_end(key)
        if row >= len(block):
            raise PhotoError("unreadable", f"{cell}: the file has changed, it has fewer rows")
        return block[row]

    def _keep(self, key: tuple[PhotoColumn, int, int], block: list[bytes | None]) -> None:
        self._blocks[key] = block
        self._n_bytes += _n_bytes(block)
        self._n_rows += len(block)
        while self._n_bytes > _KEPT_BYTES and self._n_rows - len(self._oldest()) >= _KEPT_ROWS:
            _, old = self._blocks.popitem(last=False)
            self._n_bytes -= _n_bytes(old)
            self._n_rows -= len(old)

    def _oldest(self) -> list[bytes | None]:
        return next(iter(self._blocks.values()))

    def _cursor(self, part: PhotoColumn, group: int, number: int) -> _Cursor:
        if part not in self._files:
            while len(self._files) >= _KEPT_FILES:
                _, (opened, _) = self._files.popitem(last=False)
                opened.close()
            self._files[part] = (open_columns(part.file, part.format), {})
        self._files.move_to_end(part)
        opened, cursors = self._files[part]
        cursor = cursors.get(group)
        if cursor is None or cursor.next > number or opened.seekable:
            while len(cursors) >= _KEPT_FILES:
                cursors.pop(next(iter(cursors)))
            cursor = cursors[group] = _Cursor(opened, part, group, number if opened.seekable else 0)
        return cursor


class _Cursor:
    """Goes through the blocks of a group in order."""

    def __init__(self, opened: OpenColumns, part: PhotoColumn, group: int, first: int) -> None:
        self.next = first
        self._n = part.block_rows
        self._batches = opened.read_bytes(group, part.name, first * self._n, self._n)
        self._rest: list[bytes | None] = []

    def read_to(self, number: int) -> list[bytes | None]:
        """Return the block of that number; those before it are passed over."""
        block: list[bytes | None] = []
        while self.next <= number:
            rows = self._rest
            while len(rows) < self._n and (batch := next(self._batches, None)) is not None:
                rows += batch.to_pylist()
            block, self._rest = rows[: self._n], rows[self._n :]
            self.next += 1
        return block


_Cursors = dict[int, _Cursor]
"""By group."""
_KEEPER = _Keeper()


def _n_bytes(block: list[bytes | None]) -> int:
    return sum(len(data) for data in block if data is not None)


def _opened(file: File, kind: Format) -> OpenColumns:
    try:
        return open_columns(file, kind)
    except PhotoError as error:
        raise as_whole(file, error) from error


def not_columns(file: File) -> DataError:
    """Return the error for a file that is named like a table of columns and is none."""
    return DataError(
        f"{file} is not a Parquet or Arrow IPC file, though it is named like one (Arrow's stream "
        "format cannot be read in parts: save it as Parquet)"
    )


def format_of(file: File) -> Format | None:
    """Return the format of a table of columns, None when the file is none.

    Raises `DataError` or `MissingError` when it cannot be read.
    """
    if file.on_disk and file.path.is_dir():
        return "lance"
    try:
        return kind_of_columns(file.read_range(0, _MAGIC_BYTES))
    except PhotoError as error:
        raise as_whole(file, error) from error


def _stamp(file: File) -> str:
    try:
        return file.stamp()
    except PhotoError as error:
        raise as_whole(file, error) from error


def _only_column_of_bytes(file: File, opened: OpenColumns) -> str:
    names = opened.bytes_columns
    if len(names) == 1:
        return names[0]
    if not names:
        raise DataError(
            f"{file} has no column of image bytes (binary, or a struct with bytes); "
            f"there are {_listed(opened.value_columns)}"
        )
    usual = next((name for name in USUAL_NAMES if name in names), None)
    if usual is None:
        raise DataError(
            f"{file} has several columns of bytes ({_listed(names)}); say which holds the photos: "
            f"--column img_path={names[0]}"
        )
    return usual


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _first_line(error: Exception) -> str:
    return re.split(r"[\r\n]", str(error) or type(error).__name__, maxsplit=1)[0]


def mark_of(cell: Cell) -> str:
    """Return what a cell is known by as long as its file is not changed (see `cell_at`)."""
    return f"{cell.column.stamp} {cell.column.name} {cell.number}"


def is_mark(text: str) -> bool:
    """Whether a text can be one that `mark_of` returned for a file on disk."""
    return _MARK.fullmatch(text) is not None


def cell_at(files: Sequence[File], mark: str) -> Cell | None:
    """Return the cell that `mark_of` returned a text for.

    Args:
        files: of the table.
        mark: the text.

    Returns:
        The cell; None if no file has it any more, because it was changed.

    Raises as `ColumnTable`.
    """
    for file in files:
        start = f"{_stamp(file)} "
        name, _, digits = mark.removeprefix(start).rpartition(" ")
        if mark.startswith(start) and _ROW.fullmatch(digits):
            column, groups = _groups(file, name, start[:-1])
            number = int(digits)
            if number < groups[-1]:
                group = bisect_right(groups, number) - 1
                return Cell(column, group, number - groups[group], number)
    return None


@lru_cache(maxsize=256)
def _groups(file: File, name: str, stamp: str) -> tuple[PhotoColumn, tuple[int, ...]]:
    """Return a column of a file, the first row of each group, and the number of all rows."""
    kind = format_of(file)
    if kind is None:
        raise not_columns(file)
    with closing(_opened(file, kind)) as opened:
        column = _photo_column(file, kind, name, opened)
        sizes = (opened.n_rows(group) for group in range(opened.n_groups))
        return replace(column, stamp=stamp), tuple(accumulate(sizes, initial=0))


def _photo_column(file: File, kind: Format, name: str, opened: OpenColumns) -> PhotoColumn:
    if name not in opened.bytes_columns:
        raise DataError(
            f"{file}: column {name!r} is not a column of bytes; "
            f"there are {_listed(opened.bytes_columns)}"
        )
    mean = max(1, opened.mean_bytes(name))
    rows = min(max(_BLOCK_BYTES // mean, _LEAST_ROWS), _MOST_ROWS)
    return PhotoColumn(file, kind, name, _stamp(file), rows)
