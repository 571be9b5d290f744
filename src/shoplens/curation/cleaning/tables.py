"""The tables of a dataset, with every row as it is written, and the photos of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shoplens.datasets.format import BOX_COLUMNS, TABLE_NAMES
from shoplens.datasets.tables import Table, csv_lines, read_table
from shoplens.datasets.tagged_table import NEEDED, read_tagged_table
from shoplens.errors import DataError, MissingError
from shoplens.records import BoxFrame, Domain, Fault, Photo
from shoplens.report.counts import counted
from shoplens.sources.file import DiskFile
from shoplens.sources.folder import DiskFolder

_NAMED = ("img_path", "product_id", *BOX_COLUMNS)
"""The columns that cleaning reads or writes."""


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """A CSV table as it is written."""

    name: str
    header: tuple[str, ...]
    rows: Mapping[int, Sequence[str]]
    """The fields of each row; the header is row 1."""
    columns: Mapping[str, str]
    """The table's own names of `img_path`, `product_id` and the columns of boxes."""


@dataclass(frozen=True, slots=True)
class DatasetTables:
    """What is cleaned."""

    root: Path
    """The folder of the tables."""
    tables: tuple[WrittenTable, ...]
    photos: tuple[Photo, ...]
    """Those of all tables, in order; the id of each is its position."""
    places: tuple[tuple[int, int], ...]
    """Of each photo, the position of its table and the row there."""

    @property
    def has_products(self) -> bool:
        """Whether the product of every photo is known."""
        return all(photo.product_id is not None for photo in self.photos)

    def require_products(self) -> None:
        """Raise `DataError` unless the product of every photo is known."""
        for photo, (table, row) in zip(self.photos, self.places, strict=True):
            if photo.product_id is None:
                name = self.tables[table].name
                raise DataError(f"{name}, row {row}: the product is not known; this task needs it")

    def of(self, domain: Domain) -> list[Photo]:
        """Return the photos of one domain, in order."""
        return [photo for photo in self.photos if photo.domain == domain]


def read_tables(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
) -> DatasetTables:
    """Read the tables of a dataset on disk.

    Args:
        source: a folder with `gallery.csv`, `queries.csv` or both; or a CSV table of photos tagged
            user or seller (`img_path`, `domain`, `product_id`).
        columns: as in `shoplens.read_dataset`; so is `box_frame`.

    Raises:
        MissingError: there is nothing at `source`, or a folder has no table.
        DataError: a table is faulty, with every fault at once.
    """
    path = Path(source)
    names = dict(columns or {})
    if path.is_dir():
        root = path
        sides = [side for side in TABLE_NAMES if (path / TABLE_NAMES[side]).is_file()]
        if not sides:
            raise MissingError(f"{path} has neither gallery.csv nor queries.csv")
        files = [path / TABLE_NAMES[side] for side in sides]
        folder = DiskFolder(path)
        read = [
            read_table(DiskFile(file), folder, side, names, box_frame)
            for side, file in zip(sides, files, strict=True)
        ]
    else:
        root, files = path.parent, [path]
        known = {ours: own for ours, own in names.items() if not ours.endswith("_img_id")}
        read = [read_tagged_table(path, known, box_frame, needed=NEEDED)]
    faults = [fault for table in read for fault in table.faults]
    written = tuple(_written(file, names, faults) for file in files)
    if faults:
        raise DataError(f"{source}: {counted(len(faults), 'fault')} in the tables", faults)
    return DatasetTables(root, written, *_photos(read))


def _photos(read: Sequence[Table]) -> tuple[tuple[Photo, ...], tuple[tuple[int, int], ...]]:
    photos: list[Photo] = []
    places: list[tuple[int, int]] = []
    for number, table in enumerate(read):
        for photo, row in zip(table.photos, table.rows, strict=True):
            photos.append(replace(photo, id=len(photos)))
            places.append((number, row))
    return tuple(photos), tuple(places)


def _written(path: Path, names: Mapping[str, str], faults: list[Fault]) -> WrittenTable:
    def fault(row: int, column: str, value: str, problem: str) -> None:
        faults.append(Fault(path.name, row, column, value, problem))

    lines = csv_lines(DiskFile(path), fault)
    header = tuple(name.strip() for name in next(lines, (1, []))[1])
    rows = {row: fields for row, fields in lines if fields}
    return WrittenTable(path.name, header, rows, {name: names.get(name, name) for name in _NAMED})
