"""The layout of the test sets that these tools write: two tables, and photos in two folders."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from shoplens.datasets.format import BOX_COLUMNS, TABLE_NAMES
from shoplens.datasets.tagged_table import CATEGORY
from shoplens.files import write_text
from shoplens.records import Box, Domain, Photo

FOLDERS: Mapping[Domain, str] = {"seller": "gallery", "user": "queries"}
"""Where photos lie."""

_ID_COLUMNS: Mapping[Domain, str] = {"seller": "seller_img_id", "user": "user_img_id"}


def write_tables(
    folder: Path,
    sides: Mapping[Domain, Sequence[Photo]],
    names: Mapping[tuple[Domain, int], str],
    *,
    categories: bool = False,
    labels: bool = True,
) -> None:
    """Write `gallery.csv` and `queries.csv`, rows numbered from 0.

    Args:
        folder: the test set's.
        sides: the photos of each table, in order; those of users with a box in upright pixels.
        names: path of each photo in the folder, by its domain and (old) id.
        categories: whether to write the attribute `category`.
        labels: whether to write `product_id`.
    """
    for domain, photos in sides.items():
        header = [_ID_COLUMNS[domain], "img_path", *(BOX_COLUMNS if domain == "user" else ())]
        header += (["product_id"] if labels else []) + ([CATEGORY] if categories else [])
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        for number, photo in enumerate(photos):
            key = photo.domain, photo.id
            row = [str(number), names[key], *([] if photo.box is None else box_fields(photo.box))]
            row += [photo.product_id or ""] if labels else []
            row += [str(photo.attributes.get(CATEGORY) or "")] if categories else []
            writer.writerow(row)
        write_text(folder / TABLE_NAMES[domain], text.getvalue())


def box_fields(box: Box) -> list[str]:
    """Return the fields of a box in a table, in the order of `BOX_COLUMNS`."""
    return [_number(side) for side in (box.x0, box.y0, box.width, box.height)]


def _number(side: float) -> str:
    """Return a coordinate as text, without rounding errors of additions."""
    side = round(side, 6)
    return str(int(side)) if side == int(side) else repr(side)
