"""Tables of photos tagged with who took them and what they show, users' and sellers' in one."""

from __future__ import annotations

import math
import sys
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from shoplens.attributes import Value, typed_column
from shoplens.datasets.format import BOX_COLUMNS, ID_COLUMN, read_box
from shoplens.datasets.tables import Table, complete_rows, csv_lines
from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.records import BoxFrame, Domain, Fault, Photo, PhotoColumns
from shoplens.sources.file import DiskFile
from shoplens.sources.folder import DiskFolder

NEEDED = ("img_path", "domain", "product_id")
"""The columns of every table of tagged photos."""
CATEGORY = "category"
COLUMNS = (*NEEDED, *BOX_COLUMNS, CATEGORY)
"""The columns that mean something here, those that may be left out too."""
DOMAINS: Mapping[str, Domain] = {"user": "user", "seller": "seller"}


def read_tagged_table(
    path: Path,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
    *,
    needed: Sequence[str] = NEEDED,
    strict_boxes: bool = False,
) -> Table:
    """Read a CSV table with the columns `NEEDED`; its image paths are relative to its own folder.

    A row without a box shows its product in the whole photo. Further columns are attributes;
    `category` and those that are `needed` stay text.

    Args:
        path: the table.
        columns: the table's own column names, keyed by ours.
        box_frame: what the pixels of its boxes count.
        needed: columns that every row must fill.
        strict_boxes: whether a side of a box that is not a number is a fault of the table,
            instead of a problem of one photo.

    Returns:
        The photos, numbered from 0, with the faults beside them.

    Raises:
        MissingError: there is no such table.
        DataError: it lacks a column.
    """
    if not path.is_file():
        raise MissingError(f"{path} is not there")
    reader = _Reader(path, box_frame, needed, strict_boxes)
    reader.read(dict(columns or {}))
    return reader.table()


class _Reader:
    """Goes through one table, collecting photos and faults."""

    def __init__(
        self, path: Path, box_frame: BoxFrame, needed: Sequence[str], strict_boxes: bool
    ) -> None:
        self._path = path
        self._box_frame = box_frame
        self._needed = needed
        self._strict_boxes = strict_boxes
        self._folder = DiskFolder(path.parent)
        self._photos = PhotoColumns()
        self._rows = array("q")
        self._faults: list[Fault] = []
        self._attributes: dict[str, list[Value]] = {}
        self._names: dict[str, str] = {}
        """The table's own names of the columns that are read here."""

    def table(self) -> Table:
        self._photos.set_attributes(self._attributes)
        return Table(self._path.name, self._photos, self._rows, tuple(self._faults), numbered=True)

    def fault(self, row: int, column: str, value: str, problem: str) -> None:
        name = self._names.get(column, column)
        self._faults.append(Fault(self._path.name, row, name, value, problem))

    def read(self, columns: Mapping[str, str]) -> None:
        lines = csv_lines(DiskFile(self._path), self.fault)
        header = [name.strip() for name in next(lines, (1, []))[1]]
        if self._faults:
            return
        ours = dict.fromkeys((*self._needed, *COLUMNS, *columns))
        self._names = {name: columns.get(name, name) for name in ours}
        self._require(header, {*self._needed, *columns})
        place = {name: header.index(own) for name, own in self._names.items() if own in header}
        named = dict(enumerate(header)) | {i: name for name, i in place.items()}
        format_columns = {"", *NEEDED, *BOX_COLUMNS, *ID_COLUMN.values()}
        further = {name: i for i, name in named.items() if name not in format_columns}
        texts: dict[str, list[str]] = {name: [] for name in further}
        for row, fields in complete_rows(lines, header, self.fault):
            values = {name: fields[i].strip() for name, i in place.items()}
            if self._add(row, values):
                for name, i in further.items():
                    texts[name].append(sys.intern(fields[i].strip()))
        for name, column in texts.items():
            is_text = name == CATEGORY or name in self._needed
            self._attributes[name] = (
                [text or None for text in column] if is_text else typed_column(column)
            )

    def _require(self, header: Sequence[str], needed: set[str]) -> None:
        if any(self._names[name] in header for name in BOX_COLUMNS):
            needed |= set(BOX_COLUMNS)
        absent = [own for name, own in self._names.items() if name in needed and own not in header]
        if absent:
            raise DataError(
                f"{self._path} lacks the columns {', '.join(absent)}; it has "
                f"{', '.join(header) or 'none'} (--column OURS=THEIRS names a column that is "
                "called otherwise)"
            )
        twice = [name for name, count in Counter(header).items() if count > 1]
        if twice:
            raise DataError(f"{self._path} has the column {twice[0]!r} twice")

    def _add(self, row: int, values: Mapping[str, str]) -> bool:
        """Return whether a row gives a photo."""
        for column in self._needed:
            if not values[column] and column != "domain":
                self.fault(row, column, "", "is empty")
                return False
        domain = DOMAINS.get(values["domain"].lower())
        if domain is None:
            self.fault(row, "domain", values["domain"], "is neither user nor seller")
            return False
        name = values["img_path"]
        try:
            file, is_there = self._folder.locate(name)
        except (ValueError, OSError) as error:
            self.fault(row, "img_path", name[:80], str(error))
            return False
        sides = {column: values.get(column, "") for column in BOX_COLUMNS}
        if self._strict_boxes and any(sides.values()) and not self._are_numbers(row, sides):
            return False
        box, _, problem = read_box(sides) if any(sides.values()) else (None, {}, None)
        if not is_there:
            problem = PhotoError("missing", f"no file {name} in {self._folder}")
        self._photos.append(
            Photo(
                len(self._photos),
                name,
                file.path,
                domain,
                box=box,
                box_frame=self._box_frame,
                product_id=values["product_id"],
                problem=problem,
            )
        )
        self._rows.append(row)
        return True

    def _are_numbers(self, row: int, sides: Mapping[str, str]) -> bool:
        """Whether all sides of a box are numbers; those that are not are faults of the table."""
        wrong = [column for column, text in sides.items() if not _is_number(text)]
        for column in wrong:
            problem = "is empty, and other sides of the box are given"
            if sides[column]:
                problem = "is not a finite number"
            self.fault(row, column, sides[column], problem)
        return not wrong


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
