"""The products of gallery photos, to re-ranking methods that need them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoplens.errors import RankingError
from shoplens.vectors.embeddings import Embeddings


def product_numbers(gallery: Embeddings, method: str) -> npt.NDArray[np.int32]:
    """Return (n,) the number of each photo's product, from 0; photos without one have their own.

    Raises `RankingError` if no product is known; it names the method that needs them.
    """
    products = [None] * len(gallery) if gallery.photos is None else gallery.photos.product_ids
    if all(product is None for product in products):
        raise RankingError(
            f"{method} needs the products of gallery photos (product_id), and none is known"
        )
    keys = [(row, "") if product is None else product for row, product in enumerate(products)]
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int32)
