"""Checking a dataset: every fault at once, in tables and photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.datasets.format import TABLE_NAMES
from shoplens.datasets.galleries import find_table, open_dataset, read_gallery_table, read_side
from shoplens.datasets.tables import Table
from shoplens.errors import PhotoError
from shoplens.parallel import parallel_map
from shoplens.pixels.decoding import decode, read_size
from shoplens.progress import Progress, silent
from shoplens.records import BoxFrame, Fault, Photo
from shoplens.sources import read_photo

_PROBE = 64
"""Size in pixels that photos are decoded towards: small, for only their soundness matters."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of checking a dataset."""

    faults: tuple[Fault, ...]
    n_gallery: int
    n_queries: int
    n_clipped: int
    """Boxes partly outside their photo. They are clipped and are not a fault."""
    n_products: int | None
    """Products in the gallery; None when they are not known."""
    n_without_positive: int | None
    """Queries whose product has no gallery photo; None when products are not known."""
    n_others: int
    """Files in a plain folder of images that are not photos and so are left out."""

    @property
    def ok(self) -> bool:
        """Whether there are no faults."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """Return the values as `shoplens check --json` writes them."""
        return {
            "ok": self.ok,
            "faults": [
                {
                    "file": f.file,
                    "row": f.row,
                    "column": f.column,
                    "value": f.value,
                    "problem": f.problem,
                }
                for f in self.faults
            ],
            "n_gallery": self.n_gallery,
            "n_queries": self.n_queries,
            "n_clipped": self.n_clipped,
            "n_products": self.n_products,
            "n_without_positive": self.n_without_positive,
            "n_others": self.n_others,
        }


def check(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
    remote: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> CheckReport:
    """Read every row of a dataset, decode every photo, and list everything that is wrong.

    Args:
        source: a test set; or anything else that `shoplens.read_gallery` takes, checked as a
            gallery alone.
        columns: as in `shoplens.read_dataset`.
        box_frame: as in `shoplens.read_dataset`.
        remote: as in `shoplens.read_dataset`.
        workers: threads that decode; None takes one for each usable core.
        progress: told how many photos are done.

    Raises:
        MissingError: there is nothing at `source`.
    """
    tables: list[Table] = []
    faults: list[Fault] = []
    folder, file = open_dataset(source)
    sides = [side for side in TABLE_NAMES if file is None and find_table(folder, side)]
    if sides:
        for domain, name in TABLE_NAMES.items():
            if domain in sides:
                tables.append(read_side(folder, domain, columns, box_frame, remote=remote))
            else:
                faults.append(Fault(name, 0, "", "", "is not there"))
    else:
        tables.append(read_gallery_table(source, columns, remote=remote))
    total = sum(len(table.photos) for table in tables)
    done = n_clipped = 0
    for table in tables:
        faults.extend([*table.faults, *table.photo_faults])
        if not table.photos and not table.faults:
            faults.append(Fault(table.file, 0, "", "", "contains no photo"))
        places = zip(table.photos, table.rows, strict=True)
        for (photo, row), look in zip(
            places, parallel_map(_look, table.photos, workers), strict=True
        ):
            faults.extend(_photo_faults(table.file, row, photo, look, columns or {}))
            n_clipped += look.clipped
            done += 1
            progress("check", done, total)
        faults.extend(_unlabelled(table, (columns or {}).get("product_id", "product_id")))
    return _report(tables, faults, n_clipped)


@dataclass(frozen=True, slots=True)
class _Look:
    """The result of checking one photo."""

    faults: tuple[tuple[str, PhotoError], ...] = ()
    """What is wrong, and the column that says so."""
    clipped: bool = False


def _look(photo: Photo) -> _Look:
    if photo.problem is not None and photo.problem.reason == "missing":
        return _Look()  # The table's reader has said so.
    faults: list[tuple[str, PhotoError]] = []
    box = photo.box
    try:
        data = read_photo(photo)
        try:
            found = decode(data, box=box, box_frame=photo.box_frame, target=_PROBE)
            return _Look(clipped=found.clipped)
        except PhotoError as error:
            if box is None or error.reason != "outside_box":
                raise
            width, _ = read_size(data, photo.box_frame)
            beside = box.x1 <= 0 or box.x0 >= width
            faults.append(("bbox_x" if beside else "bbox_y", error))
        # A box outside ends the work before the pixels are read: they may be damaged besides.
        decode(data, target=_PROBE)
    except PhotoError as error:
        faults.append(("img_path", error))
    return _Look(tuple(faults))


def _photo_faults(
    file: str, row: int, photo: Photo, look: _Look, columns: Mapping[str, str]
) -> Iterator[Fault]:
    for column, error in look.faults:
        # A photo in a plain folder is not in a table.
        named = columns.get(column, column) if row else ""
        value = photo.name if column == "img_path" else str(photo.box)
        yield Fault(file, row, named, value, f"{error.reason}: {error}")


def _unlabelled(table: Table, column: str) -> Iterator[Fault]:
    """Yield the rows without a product in a table where others have one."""
    if any(photo.product_id is not None for photo in table.photos):
        for photo, row in zip(table.photos, table.rows, strict=True):
            if photo.product_id is None:
                yield Fault(table.file, row, column, "", "is empty, but other rows have one")


def _report(tables: list[Table], faults: list[Fault], n_clipped: int) -> CheckReport:
    gallery = [p for table in tables for p in table.photos if p.domain == "seller"]
    queries = [p for table in tables for p in table.photos if p.domain == "user"]
    products = Counter(p.product_id for p in gallery if p.product_id is not None)
    known = bool(products)
    queries_known = known and any(p.product_id is not None for p in queries)
    return CheckReport(
        faults=tuple(faults),
        n_gallery=len(gallery),
        n_queries=len(queries),
        n_clipped=n_clipped,
        n_products=len(products) if known else None,
        n_without_positive=(
            sum(1 for p in queries if p.product_id not in products) if queries_known else None
        ),
        n_others=sum(table.n_others for table in tables),
    )
