"""Photos tagged with who took them and what they show: a folder tree, or a CSV table."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoplens.datasets.format import BOX_COLUMNS, read_box
from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.files import read_text
from shoplens.records import BoxFrame, Domain, Fault, Photo
from shoplens.report.counts import counted
from shoplens.sources.folders import DiskFolder
from shoplens.sources.images import photos_among

Layout = Literal["DOMAIN/PRODUCT", "PRODUCT/DOMAIN", "table"]
"""How a source says whose a photo is and what it shows: `user/PRODUCT/...`, `PRODUCT/user/...` or
rows of a CSV table."""

COLUMNS = ("img_path", "domain", "product_id", *BOX_COLUMNS, "category")
"""Columns of a table of tagged photos; boxes and `category` may be left out."""

_DOMAINS: Mapping[str, Domain] = {"user": "user", "seller": "seller"}


@dataclass(frozen=True, slots=True)
class TaggedPhotos:
    """What a source of tagged photos holds."""

    layout: Layout
    root: Path
    """What names are relative to."""
    photos: tuple[Photo, ...]
    """Numbered from 0 in order of the table, or of their paths. A photo without a box shows its
    product as a whole."""
    rows: tuple[int, ...]
    """Of each photo, the row of its table that names it first; the header is row 1. Empty for a
    folder tree."""
    categories: tuple[str, ...]
    """Of each photo; empty where none is known."""
    has_categories: bool
    """Whether the source tells categories at all."""
    n_repeated: int
    """Rows left out because another says the same."""
    strays: tuple[str, ...]
    """Images that stand outside of the layout, and so belong to no product."""


def read_tagged(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
) -> TaggedPhotos:
    """Read photos tagged user or seller, each with its product.

    Args:
        source: a folder with `user/PRODUCT/...` and `seller/PRODUCT/...`, or with
            `PRODUCT/user/...` and `PRODUCT/seller/...`; or a CSV table with the `COLUMNS`, its
            image paths relative to its own folder.
        columns: the table's own column names, keyed by ours.
        box_frame: what the pixels of the table's boxes count.

    Raises:
        MissingError: there is nothing at `source`.
        DataError: a folder has neither layout, or could be either; a table is faulty, with every
            fault at once.
    """
    path = Path(source)
    if path.is_dir():
        return _read_tree(path)
    if not path.is_file():
        raise MissingError(f"{path} is not there")
    return _read_table(path, dict(columns or {}), box_frame)


def _read_tree(root: Path) -> TaggedPhotos:
    layout = _recognise(root)
    folder = DiskFolder(root)
    names, faults = folder.listing()
    photos: list[Photo] = []
    strays: list[str] = []
    for name in photos_among(folder, names):
        first, second, *rest = (*name.split("/"), "")
        tag, product = (first, second) if layout == "DOMAIN/PRODUCT" else (second, first)
        domain = _DOMAINS.get(tag.lower())
        if domain is None or len(rest) < 2:
            strays.append(name)
            continue
        photos.append(Photo(len(photos), name, root / name, domain, product_id=product))
    if faults:
        raise DataError(f"{root}: {counted(len(faults), 'folder')} that cannot be read", faults)
    if not photos:
        raise DataError(f"{root} holds no image in a folder of a product ({layout})")
    unknown = ("",) * len(photos)
    return TaggedPhotos(layout, root, tuple(photos), (), unknown, False, 0, tuple(strays))


def _recognise(root: Path) -> Layout:
    """Tell a tree's layout, by where folders called user and seller stand."""
    tops = _folders(root)
    first = [name for name in tops if name.lower() in _DOMAINS]
    inner = [
        f"{name}/{sub}" for name in tops for sub in _folders(root / name) if sub.lower() in _DOMAINS
    ]
    if first and inner:
        raise DataError(
            f"{root} can be read in two ways: {first[0]}/ holds products as in user/PRODUCT/, and "
            f"{inner[0]}/ photos as in PRODUCT/user/. Keep one of the two; a product must not be "
            "called user or seller"
        )
    if first:
        return "DOMAIN/PRODUCT"
    if inner:
        return "PRODUCT/DOMAIN"
    raise DataError(
        f"{root} has neither folders user/PRODUCT/ and seller/PRODUCT/ nor PRODUCT/user/ and "
        "PRODUCT/seller/; a CSV table (img_path, domain, product_id) tags photos that lie otherwise"
    )


def _folders(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _read_table(table: Path, columns: Mapping[str, str], box_frame: BoxFrame) -> TaggedPhotos:
    reader = csv.DictReader(io.StringIO(read_text(table), newline=""), strict=True)
    header = list(reader.fieldnames or ())
    theirs = {name: columns.get(name, name) for name in COLUMNS}
    _require(table, header, theirs, columns)
    present = {ours: name for ours, name in theirs.items() if name in header}
    rows = _Rows(table, box_frame)
    try:
        for row in reader:
            if None in row or None in row.values():
                rows.fault(reader.line_num, "", "", "has more or fewer fields than the header")
            else:
                values = {ours: row[name].strip() for ours, name in present.items()}
                rows.add(reader.line_num, values, present)
    except csv.Error as error:
        rows.fault(reader.line_num, "", "", f"is not CSV ({error})")
    if rows.faults:
        raise DataError(f"{table}: {counted(len(rows.faults), 'fault')}", rows.faults)
    if not rows.photos:
        raise DataError(f"{table} has no rows")
    return TaggedPhotos(
        "table",
        table.parent,
        tuple(rows.photos),
        tuple(rows.rows),
        tuple(rows.categories),
        "category" in present,
        rows.n_repeated,
        (),
    )


def _require(
    table: Path, header: Sequence[str], theirs: Mapping[str, str], columns: Mapping[str, str]
) -> None:
    needed = {"img_path", "domain", "product_id", *columns}
    if any(theirs[name] in header for name in BOX_COLUMNS):
        needed |= set(BOX_COLUMNS)
    absent = [theirs[name] for name in COLUMNS if name in needed and theirs[name] not in header]
    if absent:
        raise DataError(
            f"{table} lacks the columns {', '.join(absent)}; it has {', '.join(header) or 'none'} "
            "(--column OURS=THEIRS names a column that is called otherwise)"
        )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise DataError(f"{table} has the column {twice[0]!r} twice")


class _Rows:
    """Goes through a table, collecting photos and faults."""

    def __init__(self, table: Path, box_frame: BoxFrame) -> None:
        self.photos: list[Photo] = []
        self.rows: list[int] = []
        self.categories: list[str] = []
        self.faults: list[Fault] = []
        self.n_repeated = 0
        self._table = table
        self._frame: BoxFrame = box_frame
        self._folder = DiskFolder(table.parent)
        self._seen: dict[tuple[str, str, str], tuple[int, str]] = {}

    def fault(self, row: int, column: str, value: str, problem: str) -> None:
        self.faults.append(Fault(self._table.name, row, column, value, problem))

    def add(self, row: int, values: Mapping[str, str], names: Mapping[str, str]) -> None:
        for column in ("img_path", "product_id"):
            if not values[column]:
                self.fault(row, names[column], "", "is empty")
                return
        domain = _DOMAINS.get(values["domain"].lower())
        if domain is None:
            self.fault(row, names["domain"], values["domain"], "is neither user nor seller")
            return
        try:
            file, there = self._folder.locate(values["img_path"])
        except ValueError as error:
            self.fault(row, names["img_path"], values["img_path"], str(error))
            return
        sides = {column: values.get(column, "") for column in BOX_COLUMNS}
        box, problem = None, None
        if any(sides.values()):
            if not self._are_numbers(row, sides, names):
                return
            box, _, problem = read_box(sides)
        if not there:
            problem = PhotoError("missing", f"no file {values['img_path']} in {self._folder}")
        product = values["product_id"]
        # Boxes that are empty have nothing but their text to be told apart by.
        shown = (str(file), domain, repr(box or tuple(sides.values())))
        first, of_first = self._seen.setdefault(shown, (row, product))
        if of_first != product:
            said = f"says another product than row {first} ({of_first}) of the same photo and box"
            self.fault(row, names["product_id"], product, said)
        elif first != row:
            self.n_repeated += 1
        else:
            self.photos.append(
                Photo(
                    len(self.photos),
                    values["img_path"],
                    file.path,
                    domain,
                    box=box,
                    box_frame=self._frame,
                    product_id=product,
                    problem=problem,
                )
            )
            self.rows.append(row)
            self.categories.append(values.get("category", ""))

    def _are_numbers(self, row: int, sides: Mapping[str, str], names: Mapping[str, str]) -> bool:
        """Whether all sides of a box are numbers; those that are not are faults of the table."""
        wrong = [column for column, text in sides.items() if not _is_number(text)]
        for column in wrong:
            problem = "is empty, and other sides of the box are given"
            if sides[column]:
                problem = "is not a finite number"
            self.fault(row, names[column], sides[column], problem)
        return not wrong


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
