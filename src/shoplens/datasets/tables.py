"""Reading a table of photos: rows to records, with every fault named by row and column.

A table is read to its end before anything is refused, so that every fault is known at once. What
spoils one photo only (a missing file, an empty box) is kept with that photo as its `problem` and
becomes a counted failure later; what makes the table ambiguous or unsafe (a missing column, a
repeated id, a path that leaves the folder) is a fault of the table.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shoplens.attributes import Value, typed_column, uniform_column
from shoplens.datasets.format import (
    BOX_COLUMNS,
    COLUMNS,
    ID_COLUMN,
    ROW_NUMBER,
    check_mapping,
    hint,
    read_box,
)
from shoplens.errors import PhotoError
from shoplens.records import Box, BoxFrame, Domain, Fault, Photo, PhotoColumns, PhotoSet
from shoplens.sources.columns import SUFFIXES, ColumnTable, format_of
from shoplens.sources.file import File, as_whole
from shoplens.sources.folder import Folder
from shoplens.sources.remote import Web, is_url

_PHOTO_ID = "photo_id"
"""The id column of tables of columns, as in files of vectors."""
_PATH = "path"
"""The column of names of tables of columns, where there is no `img_path`."""
ReportFault = Callable[[int, str, str, str], None]
"""Takes a row, a column, a value and what is wrong with it."""
_INTEGER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Table:
    """The result of reading a table: the photos, the row of each, and the faults."""

    file: str
    photos: PhotoColumns
    """All whose file is known. Do not use the ids if there are `faults`."""
    rows: Sequence[int]
    """Row of each photo as a spreadsheet counts (the header is 1, but the first row of a table of
    columns, which has no header); 0 where there is no table."""
    faults: tuple[Fault, ...]
    """What makes the table unusable."""
    photo_faults: tuple[Fault, ...] = ()
    """What spoils one photo: its `problem`, with the column and the value."""
    numbered: bool = False
    """Whether ids only count the rows (see `PhotoSet`)."""
    n_others: int = 0
    """Files in a folder that are not photos, hidden ones not counted."""

    def photo_set(self) -> PhotoSet:
        """Return the photos; raises `DataError` when an id is repeated."""
        return PhotoSet(self.photos, numbered=self.numbered, n_others=self.n_others)


def read_table(
    file: File,
    folder: Folder,
    domain: Domain,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
    *,
    remote: bool = False,
) -> Table:
    """Read one table: CSV, or columns of which one holds the photos themselves.

    Args:
        file: a CSV file (UTF-8, with or without a byte order mark; comma-separated), or a Parquet,
            Arrow or Lance one.
        folder: where its image paths are looked for.
        domain: `seller` reads a gallery, `user` reads queries with boxes.
        columns: as in `read_dataset`.
        box_frame: as in `read_dataset`.
        remote: as in `read_dataset`.

    Raises:
        MissingError: the file is not there, or what reads it is not installed.
        DataError: it cannot be read, or `columns` has a key that is not a column of the format.
    """
    name = file.path.name
    if is_column_table(file):
        return read_column_table(name, [file], domain, columns, box_frame)
    check_mapping(columns)
    reader = _TableReader(name, folder, domain, dict(columns or {}), box_frame, remote)
    reader.read(csv_lines(file, reader.fault))
    return reader.table()


def csv_lines(file: File, fault: ReportFault) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a CSV file, empty ones too, with their rows; the header is row 1.

    Raises `DataError` or `MissingError` when it cannot be read; bytes and quotes that are
    wrong are reported to `fault`.
    """
    try:
        stream = file.open() if file.on_disk else io.BytesIO(file.read())
    except PhotoError as error:
        raise as_whole(file, error) from error
    try:
        with io.TextIOWrapper(stream, newline="", encoding="utf-8-sig") as text:
            yield from enumerate(csv.reader(text, strict=True), start=1)
    except UnicodeDecodeError as error:
        fault(0, "", "", f"is not UTF-8 text ({error.reason} at byte {error.start})")
    except csv.Error as error:
        fault(0, "", "", f"is not a CSV table ({error})")


def complete_rows(
    lines: Iterable[tuple[int, list[str]]], header: Sequence[str], fault: ReportFault
) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines below a header with a field for each column; `fault` gets the others."""
    for row, fields in lines:
        if len(fields) == len(header):
            yield row, fields
        elif fields:
            problem = f"has {len(fields)} fields, the header has {len(header)}"
            fault(row, "", ",".join(fields)[:80], problem)


def read_column_table(
    name: str,
    files: Sequence[File],
    domain: Domain,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
) -> Table:
    """Read the rows of a table whose photos are a column of bytes.

    The id is the column `photo_id` or that of a CSV table; without either, rows are numbered from
    0. A photo's name is its `img_path` or `path`, where there is such a column of text, or the path
    beside its bytes, or the table's name and its row.

    Args:
        name: the table's, for faults.
        files: its parts, in order.
        domain: as in `read_table`; so are the others.
    """
    check_mapping(columns)
    source = ColumnTable(name, files, (columns or {}).get("img_path"))
    mapping = {k: v for k, v in (columns or {}).items() if v != source.image_column}
    reader = _TableReader(name, None, domain, mapping, box_frame, remote=False)
    reader.read_columns(source)
    return reader.table()


def is_column_table(file: File) -> bool:
    """Whether a table is one of columns, of which one holds the photos."""
    suffix = file.path.suffix.lower()
    # The server of a CSV table need not give parts of files.
    asks = file.on_disk or suffix != ".csv"
    return suffix in SUFFIXES or (asks and format_of(file) is not None)


class _TableReader:
    """Goes through one table, collecting photos and faults."""

    def __init__(
        self,
        file: str,
        folder: Folder | None,
        domain: Domain,
        columns: dict[str, str],
        box_frame: BoxFrame,
        remote: bool,
    ) -> None:
        self._file = file
        self._folder = folder
        self._domain = domain
        self._source = columns
        self._box_frame = box_frame
        self._remote = remote
        self._photos = PhotoColumns()
        self._rows = array("q")
        self._faults: list[Fault] = []
        self._photo_faults: list[Fault] = []
        self._row_of_id: dict[int, int] = {}
        self._attributes: dict[str, list[Value]] = {}

    def table(self) -> Table:
        self._photos.set_attributes(self._attributes)
        return Table(
            self._file,
            self._photos,
            self._rows,
            tuple(self._faults),
            tuple(self._photo_faults),
            numbered=self._source.get(self._id_column) == ROW_NUMBER,
        )

    def fault(self, row: int, column: str, value: str, problem: str) -> None:
        self._faults.append(Fault(self._file, row, column, value, problem))

    def read(self, lines: Iterator[tuple[int, list[str]]]) -> None:
        header = [name.strip() for name in next(lines, (1, []))[1]]
        if self._faults or not self._header_is_complete(header):
            return
        position = {name: i for i, name in enumerate(header)}
        further = [(name, position[name]) for name in self._further(header)]
        texts: dict[str, list[str]] = {name: [] for name, _ in further}
        for row, fields in complete_rows(lines, header, self.fault):
            values = {
                ours: fields[position[theirs]]
                for ours, theirs in self._wanted.items()
                if theirs in position
            }
            if self._read_row(row, values):
                for name, i in further:
                    texts[name].append(sys.intern(fields[i].strip()))
        # Only all values of a column together tell its type.
        self._attributes = {name: typed_column(texts.pop(name)) for name, _ in further}

    def read_columns(self, source: ColumnTable) -> None:
        if self._id_column not in self._source:
            known = (name for name in (_PHOTO_ID, self._id_column) if name in source.columns)
            self._source[self._id_column] = next(known, ROW_NUMBER)
        named = [self._source.get("img_path", "img_path"), _PATH]
        self._source["img_path"] = next((n for n in named if n in source.columns), ROW_NUMBER)
        if not self._header_is_complete(list(source.columns)):
            return
        present = {
            ours: theirs for ours, theirs in self._wanted.items() if theirs in source.columns
        }
        further = self._further(source.columns)
        self._attributes = {name: [] for name in further}
        wanted = list(dict.fromkeys([*present.values(), *further]))
        for row, (found, cell, own_name) in enumerate(source.rows(wanted), start=1):
            values = {ours: _text(found[theirs]) for ours, theirs in present.items()}
            name = values.get("img_path") or own_name or cell.path.name
            photo_id = self._read_id(row, values.get(self._id_column))
            self._add(row, photo_id, values, name, cell, None)
            for column in further:
                self._attributes[column].append(found[column])
        self._attributes = {name: uniform_column(v) for name, v in self._attributes.items()}

    @property
    def _id_column(self) -> str:
        return ID_COLUMN[self._domain]

    @property
    def _wanted(self) -> dict[str, str]:
        boxes = BOX_COLUMNS if self._domain == "user" else ()
        ours = (self._id_column, "img_path", *boxes, "product_id")
        return {name: self._source.get(name, name) for name in ours}

    def _further(self, header: Sequence[str]) -> list[str]:
        """Return the columns that are none of the format's: they are the photos' attributes."""
        ours = {*COLUMNS, *self._source.values(), ""}
        if self._folder is None:
            ours |= {_PHOTO_ID, _PATH}
        return [name for name in header if name not in ours]

    def _header_is_complete(self, header: list[str]) -> bool:
        complete = True
        for name in sorted(name for name, n in Counter(header).items() if n > 1 and name):
            self.fault(1, name, "", "appears twice in the header")
            complete = False
        for ours, theirs in self._wanted.items():
            unboxed = ours in BOX_COLUMNS and not self._needs_boxes(header)
            optional = (ours == "product_id" or unboxed) and ours not in self._source
            may_number = ours == self._id_column or self._folder is None
            numbered = may_number and theirs == ROW_NUMBER
            if theirs in header or optional or numbered:
                continue
            self.fault(1, theirs, "", f"column is missing{hint(theirs, header)}")
            complete = False
        return complete

    def _needs_boxes(self, header: Sequence[str]) -> bool:
        """Whether there must be columns of boxes: a table of columns may have none at all."""
        named = {self._source.get(name, name) for name in BOX_COLUMNS}
        return self._folder is not None or not named.isdisjoint(header)

    def _read_row(self, row: int, values: dict[str, str]) -> bool:
        """Return whether the row gives a photo."""
        photo_id = self._read_id(row, values.get(self._id_column))
        name = values["img_path"]
        file, problem = self._find(row, name)
        return self._add(row, photo_id, values, name, file, problem)

    def _add(
        self,
        row: int,
        photo_id: int | None,
        values: dict[str, str],
        name: str,
        file: File | None,
        problem: PhotoError | None,
    ) -> bool:
        box = None
        if self._domain == "user" and BOX_COLUMNS[0] in values:
            box, box_problem = self._read_box(row, values)
            problem = problem or box_problem
        if file is None:
            return False
        photo = Photo(
            id=0 if photo_id is None else photo_id,
            name=name,
            path=file.path,
            domain=self._domain,
            box=box,
            box_frame=self._box_frame,
            product_id=values.get("product_id") or None,
            problem=problem,
            file=None if file.on_disk else file,
        )
        self._photos.append(photo)
        self._rows.append(row)
        return True

    def _read_id(self, row: int, text: str | None) -> int | None:
        if text is None:
            return len(self._rows)
        column = self._wanted[self._id_column]
        text = text.strip()
        if not _INTEGER.fullmatch(text):
            self.fault(row, column, text, "is not an integer")
            return None
        # Python refuses to read thousands of digits.
        number = int(text) if len(text) < 100 else 2**31
        if not -(2**31) <= number < 2**31:
            self.fault(row, column, text[:80], "does not fit 32 bits")
            return None
        first = self._row_of_id.setdefault(number, row)
        if first != row:
            self.fault(row, column, text, f"repeats the id of row {first}")
            return None
        return number

    def _find(self, row: int, name: str) -> tuple[File | None, PhotoError | None]:
        """Return the file that a row names, None where that is a fault, and a photo's problem."""
        folder = Web(self._remote) if is_url(name) or self._folder is None else self._folder
        try:
            file, is_there = folder.locate(name)
        except ValueError as error:
            self.fault(row, self._wanted["img_path"], name, str(error))
            return None, None
        except OSError as error:
            problem = f"cannot be a path here ({error.strerror})"
            self.fault(row, self._wanted["img_path"], name[:80], problem)
            return None, None
        if is_there:
            return file, None
        problem = f"no file {name} in {folder}"
        self._photo_fault(row, "img_path", name, f"missing: {problem}")
        return file, PhotoError("missing", problem)

    def _read_box(self, row: int, values: dict[str, str]) -> tuple[Box | None, PhotoError | None]:
        box, problems, error = read_box(values)
        for column, problem in problems.items():
            self._photo_fault(row, column, values[column], f"bad_box: {problem}")
        return box, error

    def _photo_fault(self, row: int, column: str, value: str, problem: str) -> None:
        fault = Fault(self._file, row, self._wanted[column], value, problem)
        self._photo_faults.append(fault)


def _text(value: Value) -> str:
    return "" if value is None else str(value)
