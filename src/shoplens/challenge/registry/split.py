"""The split of the queries into a public side, whose scores everybody sees, and a private one."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.errors import DataError


def split_products(
    products: npt.NDArray[np.int64], public_share: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Choose the queries of the public side, whole products at a time.

    Products are shuffled, and as many of the first ones are taken as come closest to the share of
    queries. So no product has queries on both sides, and the number of public queries is off by at
    most half of the largest product's, unless a side would be left without any product.

    Args:
        products: (q,) the product of each query, numbered from 0 without gaps.
        public_share: of the queries, between 0 and 1.
        seed: of the shuffle. The choice depends on how products are numbered, not on the order of
            the queries.

    Returns:
        (q,) bool, True for public queries.

    Raises:
        DataError: the share is not between 0 and 1, or there are fewer than two products.
    """
    if not 0 < public_share < 1:
        raise DataError(f"the public share must be between 0 and 1, got {public_share:g}")
    counts = np.bincount(products)
    if len(counts) < 2:
        raise DataError(
            f"queries of {len(counts)} product cannot be split into a public and a private side: "
            "at least 2 products are needed"
        )
    order = np.random.default_rng(seed).permutation(len(counts))
    # The public queries if the first 1, 2, ..., n - 1 products were taken.
    so_far = np.cumsum(counts[order])[:-1]
    taken = order[: int(np.abs(so_far - public_share * len(products)).argmin()) + 1]
    return np.isin(products, taken)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The scored queries, in the order of `queries.csv`, and the side of each."""

    positions: npt.NDArray[np.int64]
    """(s,) rows in `queries.csv`, from 0."""
    products: npt.NDArray[np.int64]
    """(s,) numbered from 0."""
    is_public: npt.NDArray[np.bool_]
    """(s,)"""


def read_split(connection: sqlite3.Connection) -> Split:
    """Read the split from a challenge's file."""
    rows = connection.execute("SELECT * FROM queries ORDER BY position").fetchall()
    return Split(
        np.array([row["position"] for row in rows], dtype=np.int64),
        np.array([row["product"] for row in rows], dtype=np.int64),
        np.array([row["side"] == "public" for row in rows], dtype=np.bool_),
    )
