"""Read and write Lance datasets on disk. A dataset is written completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shoplens.arrow import arrow, lance
from shoplens.errors import MissingError, RankingError, ShoplensError
from shoplens.folders import writing_folder

SUFFIX = ".lance"


def require_lance(path: Path) -> None:
    """Check that a dataset can be written to `path`, before the work for it begins.

    Raises `MissingError` if the extra or the parent folder is missing, and `ShoplensError` if
    something else is at `path` or it cannot be written.
    """
    lance()
    if not path.parent.is_dir():
        raise MissingError(f"cannot write {path}: the folder {path.parent} does not exist")
    if path.exists() and not (path / "_versions").is_dir():
        raise ShoplensError(f"cannot write {path}: it exists and is not a Lance dataset")
    if not os.access(path.parent, os.W_OK):
        raise ShoplensError(f"cannot write {path}: no permission, or a read-only disk")


def write_lance(batches: Iterator[Any], path: Path) -> None:
    """Write Arrow record batches as a Lance dataset, replacing an earlier one.

    Rows keep their order, and the schema keeps its metadata. Memory holds one batch at a time.
    After a kill at any moment, `path` holds the new dataset or the earlier one. For the moment
    between two renames, the earlier one is beside it as `.NAME.*.old`.

    Args:
        batches: at least one, which may have no rows.
        path: the folder of the dataset.

    Raises the errors of `require_lance`, and what `batches` raises.
    """
    require_lance(path)
    first = next(batches)
    reader = arrow().RecordBatchReader.from_batches(first.schema, _all(first, batches))
    with writing_folder(path, replace=True) as made:
        lance().write_dataset(reader, str(made), mode="create")


def read_lance(path: Path) -> Any:
    """Return a Lance dataset as an Arrow table.

    Raises `MissingError` if the extra is missing, and `RankingError` if it cannot be read.
    """
    module = lance()
    try:
        return module.dataset(str(path)).to_table()
    except (OSError, ValueError) as error:
        raise RankingError(f"{path} is not a Lance dataset: {error}") from error


def _all(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
