"""The labelled set of a challenge: read once, and checked for changes ever after."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shoplens.datasets.dataset import read_dataset
from shoplens.errors import DataError, MissingError
from shoplens.evaluation.scores import require_ground_truth

TABLES = ("gallery.csv", "queries.csv")


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """What a challenge stores of its labelled set; photos stay where they are."""

    folder: Path
    """Absolute."""
    table_hashes: Mapping[str, str]
    """sha256 of each table's bytes."""
    n_queries: int
    n_gallery: int
    positions: npt.NDArray[np.int64]
    """(s,) rows of the queries that are scored, those whose product has a gallery photo."""
    products: npt.NDArray[np.int64]
    """(s,) their products, numbered from 0 in the order of their ids."""


def read_ground_truth(folder: Path) -> GroundTruth:
    """Read a labelled set: a folder with `gallery.csv` and `queries.csv`, both with `product_id`.

    Raises:
        MissingError: the folder or a table is not there.
        DataError: the tables are faulty or hold no labels, or no query has a positive.
    """
    folder = folder.absolute()
    hashes = hash_tables(folder)
    dataset = read_dataset(folder)
    require_ground_truth(dataset)
    with_photo = {photo.product_id for photo in dataset.gallery}
    scored = [
        (row, str(photo.product_id))
        for row, photo in enumerate(dataset.queries)
        if photo.product_id in with_photo
    ]
    # As text, so that the numbers follow from the ids alone.
    numbers = np.unique([product for _, product in scored], return_inverse=True)[1]
    return GroundTruth(
        folder,
        hashes,
        len(dataset.queries),
        len(dataset.gallery),
        np.array([row for row, _ in scored], dtype=np.int64),
        numbers.astype(np.int64),
    )


def hash_tables(folder: Path) -> dict[str, str]:
    """Return the sha256 of the bytes of a labelled set's tables.

    Raises `MissingError` when the folder or one of them is not there.
    """
    hashes = {}
    for name in TABLES:
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise MissingError(
                f"the labelled set {folder} has no {name} that can be read ({error.strerror}): a "
                "challenge needs a folder with gallery.csv and queries.csv"
            ) from error
        hashes[name] = hashlib.sha256(data).hexdigest()
    return hashes


def require_unchanged(folder: Path, expected: Mapping[str, str]) -> None:
    """Check that the tables are the ones that the challenge was made from.

    Raises:
        MissingError: a table is not there any more.
        DataError: one has changed: scores would not compare with the earlier ones.
    """
    changed = [name for name, found in hash_tables(folder).items() if found != expected[name]]
    if changed:
        raise DataError(
            f"the ground truth has changed since the challenge was made: {' and '.join(changed)} "
            f"in {folder} are different. Restore the earlier tables, or create a new challenge"
        )
