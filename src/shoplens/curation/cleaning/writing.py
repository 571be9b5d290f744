"""Writing what is left of a dataset after cleaning, as a new folder."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

from shoplens.curation.cleaning.changes import Change, Cleaning
from shoplens.curation.cleaning.tables import DatasetTables, WrittenTable
from shoplens.curation.layout import box_fields
from shoplens.curation.placing import Placing, put
from shoplens.datasets.format import BOX_COLUMNS
from shoplens.errors import DataError
from shoplens.files import write_text
from shoplens.folders import writing_folder
from shoplens.progress import Progress, silent
from shoplens.records import Box

CHANGES = "changes.csv"
"""The list of changes beside the tables."""
_COLUMNS = ("table", "row", "img_path", "change", "from", "to", "reason", "beside", "score")


def write_cleaned(
    cleaning: Cleaning,
    folder: str | Path,
    *,
    how: Placing = "copy",
    progress: Progress = silent,
) -> None:
    """Write the dataset without the rows that are left out, and with those that are changed.

    Tables keep their names, columns, ids and the order of rows, and photos keep their paths.
    `changes.csv` lists every change with its reason. What was cleaned stays as it is.

    Args:
        cleaning: what is to be done.
        folder: where to; must be new.
        how: whether photos are copied, or linked (hard links).
        progress: told how many photos are written.

    Raises:
        MissingError: the folder above `folder` is not there.
        DataError: there is something at `folder`, or a table would be empty.
        ShoplensError: a photo cannot be copied or linked.
    """
    tables = cleaning.tables
    by_place = {tables.places[change.photo.id]: change for change in cleaning.changes}
    texts = [_text(number, table, by_place) for number, table in enumerate(tables.tables)]
    with writing_folder(folder) as made:
        for table, text in zip(tables.tables, texts, strict=True):
            write_text(made / table.name, text)
        write_text(made / CHANGES, _changes_text(cleaning))
        _place(
            tables,
            {c.photo.id for c in cleaning.changes if c.kind == "left_out"},
            made,
            how,
            progress,
        )


def _text(number: int, table: WrittenTable, changes: Mapping[tuple[int, int], Change]) -> str:
    """Return a table after cleaning."""
    own = [changes.get((number, row)) for row in table.rows]
    header = list(table.header)
    if any(change is not None and change.kind == "box" for change in own):
        header += [table.columns[name] for name in BOX_COLUMNS if table.columns[name] not in header]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    n_left = 0
    for fields, change in zip(table.rows.values(), own, strict=True):
        if change is None or change.kind != "left_out":
            row = [*fields, *[""] * (len(header) - len(fields))]
            for column, value in _new_values(change):
                row[header.index(table.columns[column])] = value
            writer.writerow(row)
            n_left += 1
    if n_left == 0:
        raise DataError(f"no row of {table.name} would be left, so nothing was written")
    return stream.getvalue()


def _new_values(change: Change | None) -> Sequence[tuple[str, str]]:
    """Return the columns of a row that change, with their new values."""
    if change is None:
        return ()
    if isinstance(change.becomes, Box):
        return tuple(zip(BOX_COLUMNS, box_fields(change.becomes), strict=True))
    return (("product_id", change.becomes or ""),)


def _changes_text(cleaning: Cleaning) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(cleaning.rows())
    return stream.getvalue()


def _place(
    tables: DatasetTables,
    left_out: set[int],
    folder: Path,
    how: Placing,
    progress: Progress,
) -> None:
    """Copy or link the photos of the rows that stay; rows of one file share it."""
    placed: set[Path] = set()
    for done, photo in enumerate(tables.photos, start=1):
        target = folder / posixpath.normpath(photo.name)
        if photo.id not in left_out and target not in placed and photo.path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            put(photo.path, target, how)
            placed.add(target)
        progress(how, done, len(tables.photos))
