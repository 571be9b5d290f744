"""Photos in a column of bytes: Parquet, Arrow IPC (Feather) and Lance.

Listing reads the small columns only (ids, names, products, boxes). A photo's bytes are read when
they are asked for, a block of rows at a time, and a few blocks are kept: photos that are read
about in the order of their table are read once, and memory does not grow with the table.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoplens.attributes import Value
from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.sources.formats import ColumnFile, open_column_file
from shoplens.sources.places import MAX_BYTES, DiskFile, Place, too_large
from shoplens.sources.remote import as_whole

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


def kind_of_columns(head: bytes) -> Format | None:
    """Return the format of a table of columns by its first bytes, None when it is none."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a table of columns, and the column its photos are in."""

    place: Place
    format: Format
    column: str
    stamp: str
    """Tells apart what was at this place before."""
    block_rows: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A photo in a column."""

    part: Part
    group: int
    """Row group, or record batch, of the file."""
    row: int
    """Row in the group."""
    number: int
    """Row in the file."""

    def __str__(self) -> str:
        return f"{self.part.place}, column {self.part.column}, row {self.number}"

    @property
    def path(self) -> Path:
        """A path that names the photo: its file and row."""
        file = self.part.place.path
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
        places: its files, in order.
        image_column: the column of bytes; None takes the only one, or the first of `USUAL_NAMES`.

    Raises:
        DataError: a file is damaged, or no column of bytes can be told.
        MissingError: a file or the package that reads it is not there.
    """

    def __init__(self, name: str, places: Sequence[Place], image_column: str | None = None) -> None:
        self.name = name
        self._parts: list[Part] = []
        self.columns: tuple[str, ...] = ()
        """Columns of text, numbers or truth values."""
        for place in places:
            kind = _format_of(place)
            file = _opened(place, kind)
            image_column = image_column or _only_column_of_bytes(place, file)
            if image_column not in file.bytes_columns:
                raise DataError(
                    f"{place}: column {image_column!r} holds no bytes; "
                    f"there are {_listed(file.bytes_columns)}"
                )
            columns = file.value_columns
            if self._parts and set(columns) != set(self.columns):
                raise DataError(
                    f"{place} has other columns ({_listed(columns)}) than the parts before it "
                    f"({_listed(self.columns)})"
                )
            self.columns = columns
            mean = max(1, file.mean_bytes(image_column))
            rows = min(max(_BLOCK_BYTES // mean, _LEAST_ROWS), _MOST_ROWS)
            part = Part(place, kind, image_column, _stamp(place), rows)
            self._parts.append(part)
            file.close()
        self.image_column = image_column or ""

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[dict[str, Value], Cell, str | None]]:
        """Yield each row's values of `columns`, its photo, and the photo's own name.

        A null or NaN is None. The name is the path beside the bytes, as in data sets of Hugging
        Face; None where there is none.
        """
        for part in self._parts:
            file = _opened(part.place, part.format)
            number = 0
            for group in range(file.n_groups):
                values, names = file.read_values(group, columns, part.column)
                for row, of_row in enumerate(values):
                    name = names[row] if names else None
                    yield of_row, Cell(part, group, row, number), name
                    number += 1
            file.close()


class _Keeper:
    """The blocks of rows read last, and the files they come from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[Part, tuple[ColumnFile, dict[int, _Cursor]]] = OrderedDict()
        self._blocks: OrderedDict[tuple[Part, int, int], list[bytes | None]] = OrderedDict()
        self._n_bytes = 0
        self._n_rows = 0

    def read(self, cell: Cell) -> bytes | None:
        part = cell.part
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

    def _keep(self, key: tuple[Part, int, int], block: list[bytes | None]) -> None:
        self._blocks[key] = block
        self._n_bytes += _n_bytes(block)
        self._n_rows += len(block)
        while self._n_bytes > _KEPT_BYTES and self._n_rows - len(self._oldest()) >= _KEPT_ROWS:
            _, old = self._blocks.popitem(last=False)
            self._n_bytes -= _n_bytes(old)
            self._n_rows -= len(old)

    def _oldest(self) -> list[bytes | None]:
        return next(iter(self._blocks.values()))

    def _cursor(self, part: Part, group: int, number: int) -> _Cursor:
        if part not in self._files:
            while len(self._files) >= _KEPT_FILES:
                _, (file, _) = self._files.popitem(last=False)
                file.close()
            self._files[part] = (open_column_file(part.place, part.format), {})
        self._files.move_to_end(part)
        file, cursors = self._files[part]
        cursor = cursors.get(group)
        if cursor is None or cursor.next > number or file.seekable:
            while len(cursors) >= _KEPT_FILES:
                cursors.pop(next(iter(cursors)))
            cursor = cursors[group] = _Cursor(file, part, group, number if file.seekable else 0)
        return cursor


class _Cursor:
    """Goes through the blocks of a group in order."""

    def __init__(self, file: ColumnFile, part: Part, group: int, first: int) -> None:
        self.next = first
        self._n = part.block_rows
        self._batches = file.read_bytes(group, part.column, first * self._n, self._n)
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


_KEEPER = _Keeper()


def _n_bytes(block: list[bytes | None]) -> int:
    return sum(len(data) for data in block if data is not None)


def _opened(place: Place, kind: Format) -> ColumnFile:
    try:
        return open_column_file(place, kind)
    except PhotoError as error:
        raise as_whole(place, error) from error


def not_columns(place: Place) -> DataError:
    """Return the error for a file that is named like a table of columns and is none."""
    return DataError(
        f"{place} is no Parquet or Arrow IPC file, though it is named like one (Arrow's stream "
        "format cannot be read in parts: save it as Parquet)"
    )


def _format_of(place: Place) -> Format:
    if isinstance(place, DiskFile) and place.path.is_dir():
        return "lance"
    try:
        head = place.read_range(0, _MAGIC_BYTES)
    except PhotoError as error:
        raise as_whole(place, error) from error
    kind = kind_of_columns(head)
    if kind is None:
        raise not_columns(place)
    return kind


def _stamp(place: Place) -> str:
    try:
        return place.stamp()
    except PhotoError as error:
        raise as_whole(place, error) from error


def _only_column_of_bytes(place: Place, file: ColumnFile) -> str:
    names = file.bytes_columns
    if len(names) == 1:
        return names[0]
    if not names:
        raise DataError(
            f"{place} has no column of image bytes (binary, or a struct with bytes); "
            f"there are {_listed(file.value_columns)}"
        )
    usual = next((name for name in USUAL_NAMES if name in names), None)
    if usual is None:
        raise DataError(
            f"{place} has several columns of bytes ({_listed(names)}); say which holds the photos: "
            f"--column img_path={names[0]}"
        )
    return usual


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _first_line(error: Exception) -> str:
    return re.split(r"[\r\n]", str(error) or type(error).__name__, maxsplit=1)[0]
