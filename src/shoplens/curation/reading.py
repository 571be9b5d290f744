"""The photos of a source, whatever it is: a test set, a gallery, a folder, a training table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from shoplens.curation.tagged import read_tagged
from shoplens.datasets.dataset import read_dataset, read_gallery
from shoplens.datasets.galleries import find_table, open_dataset
from shoplens.files import read_text
from shoplens.records import BoxFrame, Photo


def read_photos(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
    remote: bool = False,
) -> tuple[Photo, ...]:
    """Read the photos of a source, sellers' first where it is a test set.

    Args:
        source: a test set; a table of tagged photos (columns `img_path`, `domain`, `product_id`,
            as training tables have); or anything that `shoplens.read_gallery` takes.
        columns: as in `shoplens.read_dataset`.
        box_frame: as in `shoplens.read_dataset`.
        remote: as in `shoplens.read_dataset`.

    Raises as these do.
    """
    path = Path(source)
    if path.is_file() and _is_tagged(path):
        known = {k: v for k, v in (columns or {}).items() if not k.endswith("_img_id")}
        return read_tagged(path, columns=known, box_frame=box_frame).photos
    folder, table = open_dataset(source)
    if table is None and find_table(folder, "seller") and find_table(folder, "user"):
        data = read_dataset(source, columns=columns, box_frame=box_frame, remote=remote)
        return (*data.gallery, *data.queries)
    return tuple(read_gallery(source, columns=columns, remote=remote))


def _is_tagged(path: Path) -> bool:
    if path.suffix.lower() != ".csv":
        return False
    header = next(csv.reader(io.StringIO(read_text(path), newline="")), [])
    return "domain" in (name.strip() for name in header)
