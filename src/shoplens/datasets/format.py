"""The format of a test set's tables: their names and columns, and how a box is written."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping

from shoplens.errors import DataError, PhotoError
from shoplens.records import Box, Domain
from shoplens.sources.columns import SUFFIXES

ROW_NUMBER = "@row"
"""As a column's name in a mapping for ids: number the rows from 0 instead of reading a column."""

BOX_COLUMNS = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")
"""Top-left corner and size of a box."""
ID_COLUMN: Mapping[Domain, str] = {"seller": "seller_img_id", "user": "user_img_id"}
TABLE_NAMES: Mapping[Domain, str] = {"seller": "gallery.csv", "user": "queries.csv"}
COLUMNS = ("seller_img_id", "user_img_id", "img_path", *BOX_COLUMNS, "product_id")
"""Every column name of the format; the keys a column mapping may have."""
_MOST_LISTED = 20
"""Of so many columns an error names all."""


def table_files(domain: Domain) -> tuple[str, ...]:
    """Return the names that a side's table may have: CSV, or a table of columns."""
    name = TABLE_NAMES[domain]
    stem = name.removesuffix(".csv")
    return (name, *(stem + suffix for suffix in SUFFIXES))


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


def check_mapping(columns: Mapping[str, str] | None) -> None:
    """Raise `DataError` when a column mapping has a key that is not a column of the format."""
    for name in columns or {}:
        if name not in COLUMNS:
            raise DataError(f"column mapping: {name!r} is not a column{hint(name, COLUMNS)}")


def hint(name: str, known: Iterable[str]) -> str:
    """Return words to end an error with that says that the column `name` is not among `known`."""
    known = list(known)
    for separator, plural in ((";", "semicolons"), ("\t", "tabs")):
        if len(known) == 1 and separator in known[0]:
            return f"; the table seems to be separated by {plural}, commas are needed"
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    if not known:
        return "; the file has no header"
    more = f" and {len(known) - _MOST_LISTED:,} more" if len(known) > _MOST_LISTED else ""
    return f"; there are {', '.join(known[:_MOST_LISTED])}{more}"
