"""Reading galleries and queries: test set folders, other CSV tables, plain folders of images.

A table is read to its end before anything is refused, so that one `DataError` names every fault.
What spoils one photo only (a missing file, an empty box) is kept with that photo as its `problem`
and becomes a counted failure later; what makes the table ambiguous or unsafe (a missing column, a
repeated id, a path that leaves the folder) is refused.
"""

from __future__ import annotations

import csv
import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.records import Box, BoxFrame, Domain, Fault, Photo, PhotoSet

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
)
"""Files that count as images when a plain folder is read."""

ROW_NUMBER = "@row"
"""As a column's name in a mapping for ids: number the rows from 0 instead of reading a column."""

_BOX_COLUMNS = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")
_ID_COLUMN: Mapping[Domain, str] = {"seller": "seller_img_id", "user": "user_img_id"}
TABLE_NAMES: Mapping[Domain, str] = {"seller": "gallery.csv", "user": "queries.csv"}
COLUMNS = ("seller_img_id", "user_img_id", "img_path", *_BOX_COLUMNS, "product_id")
"""Every column name of the format; the keys a column mapping may have."""

_INTEGER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A test set: seller photos to search in, user photos to search with."""

    root: Path
    gallery: PhotoSet
    queries: PhotoSet

    @property
    def has_products(self) -> bool:
        """Whether the ground truth (`product_id`) of every photo is known."""
        return self.gallery.has_products and self.queries.has_products


@dataclass(frozen=True, slots=True)
class Table:
    """What reading a table gave: the photos, the row each stands in, and the faults."""

    file: str
    photos: tuple[Photo, ...]
    rows: tuple[int, ...]
    """Row of each photo as a spreadsheet counts (the header is 1); 0 where there is no table."""
    faults: tuple[Fault, ...]
    """What makes the table unusable. A photo's own trouble is its `problem`."""


def read_dataset(
    folder: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
) -> Dataset:
    """Read a test set folder: `gallery.csv`, `queries.csv` and the images they name.

    Args:
        folder: the folder. An `img_path` not found in it is tried under its `data/` subfolder.
        columns: the tables' own column names, keyed by ours (`{"img_path": "file"}`).
        box_frame: `upright` when boxes count pixels of the photo after its EXIF turn, `stored`
            when they count pixels as stored in the file.

    Returns:
        A `Dataset`, gallery and queries in table order.

    Raises:
        MissingError: the folder or one of its tables is not there.
        DataError: the tables are faulty; every fault is in its `faults`.
    """
    root = _existing_folder(folder)
    gallery = read_table(root / TABLE_NAMES["seller"], "seller", columns, box_frame)
    queries = read_table(root / TABLE_NAMES["user"], "user", columns, box_frame)
    _refuse(str(root), [*gallery.faults, *queries.faults])
    return Dataset(root, PhotoSet(gallery.photos), PhotoSet(queries.photos))


def read_gallery(source: str | Path, *, columns: Mapping[str, str] | None = None) -> PhotoSet:
    """Read seller photos from a test set folder, a CSV file, or any folder of images.

    A folder without `gallery.csv` is walked through (hidden files left out); its images are
    numbered from 0 in order of their paths, and their products are not known.

    Raises:
        MissingError: there is nothing at `source`.
        DataError: the table is faulty, or the folder holds no image.
    """
    table = read_gallery_table(source, columns)
    _refuse(str(source), table.faults)
    return PhotoSet(table.photos)


def read_gallery_table(source: str | Path, columns: Mapping[str, str] | None = None) -> Table:
    """Like `read_gallery`, with the faults returned beside the photos instead of raised."""
    path = Path(source)
    if path.is_file():
        return read_table(path, "seller", columns)
    root = _existing_folder(path)
    if (root / TABLE_NAMES["seller"]).is_file():
        return read_table(root / TABLE_NAMES["seller"], "seller", columns)
    return _read_image_folder(root)


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
            f"{path} is not there. A test set folder holds gallery.csv and queries.csv; "
            "for a plain folder of images use `shoplens search --gallery FOLDER`."
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
        self._folder = _Folder(path.parent)
        self._photos: list[Photo] = []
        self._rows: list[int] = []
        self._faults: list[Fault] = []
        self._row_of_id: dict[int, int] = {}

    def table(self) -> Table:
        return Table(self._path.name, tuple(self._photos), tuple(self._rows), tuple(self._faults))

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
                    ours: fields[position[theirs]].strip()
                    for ours, theirs in self._wanted.items()
                    if theirs in position
                },
            )

    @property
    def _id_column(self) -> str:
        return _ID_COLUMN[self._domain]

    @property
    def _wanted(self) -> dict[str, str]:
        boxes = _BOX_COLUMNS if self._domain == "user" else ()
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
        faults_before = len(self._faults)
        photo_id = self._read_id(row, values.get(self._id_column))
        name = values["img_path"]
        path, problem = self._read_path(row, name)
        box = None
        if self._domain == "user":
            box, box_problem = _read_box(values)
            problem = problem or box_problem
        if len(self._faults) > faults_before or photo_id is None or path is None:
            return
        product = values.get("product_id") or None
        self._photos.append(
            Photo(
                id=photo_id,
                name=name,
                path=path,
                domain=self._domain,
                box=box,
                box_frame=self._box_frame,
                product_id=product,
                problem=problem,
            )
        )
        self._rows.append(row)

    def _read_id(self, row: int, text: str | None) -> int | None:
        if text is None:
            return len(self._rows)
        column = self._wanted[self._id_column]
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
        if not is_there:
            return path, PhotoError("missing", f"no file {name} in {self._folder.root}")
        return path, None


class _Folder:
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


def _read_box(values: Mapping[str, str]) -> tuple[Box | None, PhotoError | None]:
    numbers = []
    for column in _BOX_COLUMNS:
        try:
            numbers.append(float(values[column]))
        except ValueError:
            return None, PhotoError("bad_box", f"{column} {values[column]!r} is not a number")
    try:
        return Box.from_xywh(*numbers), None
    except PhotoError as error:
        return None, error


def _read_image_folder(root: Path) -> Table:
    folder = _Folder(root)
    names = []
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for file in files:
            path = Path(parent, file)
            if path.suffix.lower() in IMAGE_SUFFIXES and not file.startswith("."):
                names.append(path.relative_to(root).as_posix())
    photos: list[Photo] = []
    faults: list[Fault] = []
    for name in sorted(names):
        try:
            path = folder.find(name)
        except ValueError as error:
            faults.append(Fault(root.name, 0, "", name, str(error)))
            continue
        photos.append(Photo(id=len(photos), name=name, path=path, domain="seller"))
    if not names:
        faults.append(
            Fault(
                str(root),
                0,
                "",
                "",
                f"holds neither a gallery.csv nor any image ({', '.join(sorted(IMAGE_SUFFIXES))})",
            )
        )
    return Table(root.name, tuple(photos), (0,) * len(photos), tuple(faults))


def _existing_folder(folder: str | Path) -> Path:
    root = Path(folder)
    if not root.is_dir():
        problem = "is a file, not a folder" if root.exists() else "is not there"
        raise MissingError(f"dataset folder {root} {problem}")
    return root


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


def _refuse(where: str, faults: Iterable[Fault]) -> None:
    faults = tuple(faults)
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise DataError(f"{where}: {count} in the tables (see also `shoplens check`)", faults)
