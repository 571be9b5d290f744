"""Photos tagged with who took them and what they show: a folder tree, or a CSV table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from shoplens.datasets.tagged_table import DOMAINS, read_tagged_table
from shoplens.errors import DataError
from shoplens.records import BoxFrame, Fault, Photo
from shoplens.report.counts import counted
from shoplens.sources.folder import DiskFolder
from shoplens.sources.images import photos_among

Layout = Literal["DOMAIN/PRODUCT", "PRODUCT/DOMAIN", "table"]
"""How a source says who took a photo and what it shows: `user/PRODUCT/...`, `PRODUCT/user/...` or
rows of a CSV table."""


@dataclass(frozen=True, slots=True)
class TaggedPhotos:
    """The photos of a tagged source."""

    layout: str
    """How the source says who took a photo and what it shows: a `Layout`, or the name of one of
    `shoplens.datasets.layouts`."""
    root: Path
    """What names are relative to."""
    photos: tuple[Photo, ...]
    """Numbered from 0 in order of the table, or of their paths. A photo without a box shows its
    product as a whole."""
    rows: tuple[int, ...]
    """Of each photo, the row of its table that names it first; the header is row 1. Empty for a
    folder tree."""
    n_repeated: int
    """Rows left out because they repeat another."""
    strays: tuple[str, ...]
    """Images outside the layout, which belong to no product."""


def read_tagged(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
) -> TaggedPhotos:
    """Read photos tagged user or seller, each with its product.

    Args:
        source: a folder with `user/PRODUCT/...` and `seller/PRODUCT/...`, or with
            `PRODUCT/user/...` and `PRODUCT/seller/...`; or a CSV table with the columns
            `img_path`, `domain`, `product_id` and perhaps a box and `category`, its image paths
            relative to its own folder.
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
        domain = DOMAINS.get(tag.lower())
        if domain is None or len(rest) < 2:
            strays.append(name)
            continue
        photos.append(Photo(len(photos), name, root / name, domain, product_id=product))
    if faults:
        raise DataError(f"{root}: {counted(len(faults), 'folder')} that cannot be read", faults)
    if not photos:
        raise DataError(f"{root} contains no image in a folder of a product ({layout})")
    return TaggedPhotos(layout, root, tuple(photos), (), 0, tuple(strays))


def _recognise(root: Path) -> Layout:
    """Return the layout of a tree, by the position of folders called user and seller."""
    tops = _folders(root)
    first = [name for name in tops if name.lower() in DOMAINS]
    inner = [
        f"{name}/{sub}" for name in tops for sub in _folders(root / name) if sub.lower() in DOMAINS
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
        "PRODUCT/seller/; for other layouts, write a CSV table (img_path, domain, product_id)"
    )


def _folders(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _read_table(path: Path, columns: Mapping[str, str], box_frame: BoxFrame) -> TaggedPhotos:
    table = read_tagged_table(path, columns, box_frame, strict_boxes=True)
    faults = list(table.faults)
    photos: list[Photo] = []
    rows: list[int] = []
    seen: dict[object, tuple[int, str | None]] = {}
    for photo, row in zip(table.photos, table.rows, strict=True):
        # A box that is none is like no other.
        box = row if photo.box is None and photo.problem is not None else photo.box
        first, product = seen.setdefault((photo.path, photo.domain, box), (row, photo.product_id))
        if product != photo.product_id:
            said = f"says another product than row {first} ({product}) of the same photo and box"
            name = columns.get("product_id", "product_id")
            faults.append(Fault(path.name, row, name, photo.product_id or "", said))
        elif first == row:
            photos.append(replace(photo, id=len(photos)))
            rows.append(row)
    if faults:
        faults.sort(key=lambda fault: fault.row)
        raise DataError(f"{path}: {counted(len(faults), 'fault')}", faults)
    if not photos:
        raise DataError(f"{path} has no rows")
    return TaggedPhotos(
        layout="table",
        root=path.parent,
        photos=tuple(photos),
        rows=tuple(rows),
        n_repeated=len(table.photos) - len(photos),
        strays=(),
    )
