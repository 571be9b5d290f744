"""Reading a CSV table of photos: rows to records, with every fault named by row and column.

A table is read to its end before anything is refused, so that every fault is known at once. What
spoils one photo only (a missing file, an empty box) is kept with that photo as its `problem` and
becomes a counted failure later; what makes the table ambiguous or unsafe (a missing column, a
repeated id, a path that leaves the folder) is a fault of the table.
"""

from __future__ import annotations

import csv
import difflib
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.records import Box, BoxFrame, Domain, Fault, Photo

ROW_NUMBER = "@row"
"""As a column's name in a mapping for ids: number the rows from 0 instead of reading a column."""

BOX_COLUMNS = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")
"""Top-left corner and size of a box."""
_ID_COLUMN: Mapping[Domain, str] = {"seller": "seller_img_id", "user": "user_img_id"}
TABLE_NAMES: Mapping[Domain, str] = {"seller": "gallery.csv", "user": "queries.csv"}
COLUMNS = ("seller_img_id", "user_img_id", "img_path", *BOX_COLUMNS, "product_id")
"""Every column name of the format; the keys a column mapping may have."""

_INTEGER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Table:
    """What reading a table gave: the photos, the row each stands in, and the faults."""

    file: str
    photos: tuple[Photo, ...]
    """All whose file is known; ids are good for nothing where there are `faults`."""
    rows: tuple[int, ...]
    """Row of each photo as a spreadsheet counts (the header is 1); 0 where there is no table."""
    faults: tuple[Fault, ...]
    """What makes the table unusable."""
    photo_faults: tuple[Fault, ...] = ()
    """What spoils one photo: its `problem`, with the column and the value."""


def read_table(
    path: Path,
    domain: Domain,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
) -> Table:
    """Read one CSV table; its image paths are relative to the table's own folder.

    Args:
        path: the CSV file (UTF-8, with or without a byte order mark; comma-separated).
        domain: `seller` reads a gallery, `user` reads queries with boxes.
        columns: as in `read_dataset`.
        box_frame: as in `read_dataset`.

    Raises:
        MissingError: the file is not there.
        DataError: `columns` has a key that is no column of the format.
    """
    _check_mapping(columns)
    if not path.is_file():
        raise MissingError(
            f"{path} is not there; a test set folder holds gallery.csv and queries.csv "
            "(a plain folder of images is searched with `shoplens search --gallery FOLDER`)"
        )
    reader = _TableReader(path, domain, dict(columns or {}), box_frame)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader.read(csv.reader(stream, strict=True))
    except UnicodeDecodeError as error:
        reader.fault(0, "", "", f"is not UTF-8 text ({error.reason} at byte {error.start})")
    except csv.Error as error:
        reader.fault(0, "", "", f"is not a CSV table ({error})")
    return reader.table()


class _TableReader:
    """Goes through one table, collecting photos and faults."""

    def __init__(
        self, path: Path, domain: Domain, columns: dict[str, str], box_frame: BoxFrame
    ) -> None:
        self._path = path
        self._domain = domain
        self._source = columns
        self._box_frame = box_frame
        self._folder = Folder(path.parent)
        self._photos: list[Photo] = []
        self._rows: list[int] = []
        self._faults: list[Fault] = []
        self._photo_faults: list[Fault] = []
        self._row_of_id: dict[int, int] = {}

    def table(self) -> Table:
        return Table(
            self._path.name,
            tuple(self._photos),
            tuple(self._rows),
            tuple(self._faults),
            tuple(self._photo_faults),
        )

    def fault(self, row: int, column: str, value: str, problem: str) -> None:
        self._faults.append(Fault(self._path.name, row, column, value, problem))

    def read(self, lines: Iterable[list[str]]) -> None:
        numbered = enumerate(lines, start=1)
        header = [name.strip() for name in next(numbered, (1, []))[1]]
        if not self._header_is_complete(header):
            return
        position = {name: i for i, name in enumerate(header)}
        for row, fields in numbered:
            if not fields:
                continue
            if len(fields) != len(header):
                self.fault(
                    row,
                    "",
                    ",".join(fields)[:80],
                    f"has {len(fields)} fields, the header has {len(header)}",
                )
                continue
            self._read_row(
                row,
                {
                    ours: fields[position[theirs]]
                    for ours, theirs in self._wanted.items()
                    if theirs in position
                },
            )

    @property
    def _id_column(self) -> str:
        return _ID_COLUMN[self._domain]

    @property
    def _wanted(self) -> dict[str, str]:
        boxes = BOX_COLUMNS if self._domain == "user" else ()
        ours = (self._id_column, "img_path", *boxes, "product_id")
        return {name: self._source.get(name, name) for name in ours}

    def _header_is_complete(self, header: list[str]) -> bool:
        complete = True
        for name in sorted({name for name in header if header.count(name) > 1 and name}):
            self.fault(1, name, "", "stands twice in the header")
            complete = False
        for ours, theirs in self._wanted.items():
            optional = ours == "product_id" and ours not in self._source
            numbered = ours == self._id_column and theirs == ROW_NUMBER
            if theirs in header or optional or numbered:
                continue
            self.fault(1, theirs, "", f"column is missing{_hint(theirs, header)}")
            complete = False
        return complete

    def _read_row(self, row: int, values: dict[str, str]) -> None:
        photo_id = self._read_id(row, values.get(self._id_column))
        name = values["img_path"]
        path, problem = self._read_path(row, name)
        box = None
        if self._domain == "user":
            box, box_problem = self._read_box(row, values)
            problem = problem or box_problem
        if path is None:
            return
        photo = Photo(
            id=0 if photo_id is None else photo_id,
            name=name,
            path=path,
            domain=self._domain,
            box=box,
            box_frame=self._box_frame,
            product_id=values.get("product_id") or None,
            problem=problem,
        )
        self._photos.append(photo)
        self._rows.append(row)

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

    def _read_path(self, row: int, name: str) -> tuple[Path | None, PhotoError | None]:
        try:
            path = self._folder.find(name)
            is_there = path.is_file()
        except ValueError as error:
            self.fault(row, self._wanted["img_path"], name, str(error))
            return None, None
        except OSError as error:
            problem = f"cannot be a path here ({error.strerror})"
            self.fault(row, self._wanted["img_path"], name[:80], problem)
            return None, None
        if is_there:
            return path, None
        problem = f"no file {name} in {self._folder.root}"
        self._photo_fault(row, "img_path", name, f"missing: {problem}")
        return path, PhotoError("missing", problem)

    def _read_box(self, row: int, values: dict[str, str]) -> tuple[Box | None, PhotoError | None]:
        box, problems, error = read_box(values)
        for column, problem in problems.items():
            self._photo_fault(row, column, values[column], f"bad_box: {problem}")
        return box, error

    def _photo_fault(self, row: int, column: str, value: str, problem: str) -> None:
        fault = Fault(self._path.name, row, self._wanted[column], value, problem)
        self._photo_faults.append(fault)


def read_box(
    values: Mapping[str, str],
) -> tuple[Box | None, dict[str, str], PhotoError | None]:
    """Read the box of a row.

    Args:
        values: text by column; those of `BOX_COLUMNS` are read.

    Returns:
        The box, or None with what is wrong, by column, and the photo's problem.
    """
    sides = []
    problems = {}
    for column in BOX_COLUMNS:
        try:
            side = float(values[column])
        except ValueError:
            side = math.nan
        sides.append(side)
        if not math.isfinite(side):
            problems[column] = "is not a finite number"
        elif side <= 0 and column in ("bbox_w", "bbox_h"):
            problems[column] = "must be positive: the box is empty"
    if problems:
        told = (f"{column} {values[column]!r} {problem}" for column, problem in problems.items())
        return None, problems, PhotoError("bad_box", "; ".join(told))
    try:
        return Box.from_xywh(*sides), {}, None
    except PhotoError as error:  # Numbers so large that their sum is none, or adds nothing.
        return None, {"bbox_x": str(error)}, error


class Folder:
    """Turns `img_path`s into files and refuses those that leave the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real_root = os.path.realpath(root)
        self._inside: dict[str, bool] = {}

    def find(self, name: str) -> Path:
        """Return the file `name` means; raises ValueError when it is unsafe or empty."""
        if not name:
            raise ValueError("is empty")
        if "\0" in name:
            raise ValueError("holds a NUL character")
        if name.startswith(("/", "\\")) or PureWindowsPath(name).drive:
            raise ValueError("is absolute; write it relative to the table's folder")
        relative = os.path.normpath(name)
        if relative.startswith(os.pardir + os.sep) or relative == os.pardir:
            raise ValueError("leaves the folder through '..'")
        if relative == os.curdir:
            raise ValueError("is the folder itself")
        path = self.root / relative
        if not os.path.lexists(path) and os.path.lexists(self.root / "data" / relative):
            path = self.root / "data" / relative
        if not self._is_inside(path):
            raise ValueError("leaves the folder through a symbolic link")
        return path

    def _is_inside(self, path: Path) -> bool:
        if path.is_symlink():
            return self._contains(os.path.realpath(path))
        # Thousands of photos share a few folders: the costly part is done once for each.
        parent = str(path.parent)
        if parent not in self._inside:
            self._inside[parent] = self._contains(os.path.realpath(parent))
        return self._inside[parent]

    def _contains(self, real: str) -> bool:
        return os.path.commonpath([self._real_root, real]) == self._real_root


def _check_mapping(columns: Mapping[str, str] | None) -> None:
    for name in columns or {}:
        if name not in COLUMNS:
            raise DataError(f"column mapping: {name!r} is no column{_hint(name, COLUMNS)}")


def _hint(name: str, known: Iterable[str]) -> str:
    known = list(known)
    for separator, plural in ((";", "semicolons"), ("\t", "tabs")):
        if len(known) == 1 and separator in known[0]:
            return f"; the table seems to be separated by {plural}, commas are needed"
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(known)}" if known else "; the file has no header"
