"""Vectors like those of a product catalogue, for measuring search.

Categories are clusters, products are clusters in these, and views of a product are close to each
other. They differ in a few directions only, as the vectors of a model do, plus a little noise in
all directions. Vectors that are random in all directions would all be equally far apart, and no
index could find the nearest.

    python bench/made_vectors.py 1000000 256 vectors.npy
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

INTRINSIC = 32
"""Directions in which categories, products and views differ."""
VIEWS = 10
"""Photos of a product."""
_PRODUCTS_IN_CATEGORY = 500
_PRODUCT_SPREAD = 0.7
_VIEW_SPREAD = 0.35
_NOISE = 0.25
"""Length of the noise in all directions, for a vector of length 1."""
_STEP = 50_000


def made_vectors(n: int, d: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return (n, d) float32 vectors of unit length; the views of a product are not neighbours in
    the array."""
    rng = np.random.default_rng([seed, 0])
    products = _products(n, rng)
    return _views(products, max(1, n // VIEWS), d, seed, rng)


def made_products(n: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return (n,) the numbers of the products that the rows of `made_vectors` show."""
    return _products(n, np.random.default_rng([seed, 0]))


def made_shops(n: int, n_shops: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return (n,) the numbers of the shops that sell the products: any shop, anything."""
    shops = np.random.default_rng([seed, 3]).integers(0, n_shops, max(1, n // VIEWS))
    return shops[made_products(n, seed)]


def made_queries(n_queries: int, n: int, d: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return (n_queries, d) float32: further views of products of `made_vectors(n, d, seed)`."""
    rng = np.random.default_rng([seed, 1])
    n_products = max(1, n // VIEWS)
    return _views(rng.integers(0, n_products, n_queries), n_products, d, seed, rng)


def _products(n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return rng.permutation(np.arange(n) % max(1, n // VIEWS))


def _views(
    products: npt.NDArray[np.int64],
    n_products: int,
    d: int,
    seed: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    fixed = np.random.default_rng([seed, 2])
    directions = np.linalg.qr(fixed.standard_normal((d, min(INTRINSIC, d))))[0].T.astype(np.float32)
    inner = len(directions)
    n_categories = max(1, n_products // _PRODUCTS_IN_CATEGORY)
    categories = fixed.standard_normal((n_categories, inner), dtype=np.float32)
    centres = categories[np.arange(n_products) % n_categories]
    centres += _PRODUCT_SPREAD * fixed.standard_normal(centres.shape, dtype=np.float32)
    vectors = np.empty((len(products), d), np.float32)
    for start in range(0, len(products), _STEP):
        part = centres[products[start : start + _STEP]]
        part += _VIEW_SPREAD * rng.standard_normal(part.shape, dtype=np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
        block = part @ directions
        block += _NOISE / np.sqrt(d) * rng.standard_normal(block.shape, dtype=np.float32)
        vectors[start : start + _STEP] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def main() -> None:
    """Write made vectors to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int)
    parser.add_argument("d", type=int)
    parser.add_argument("output", type=Path, help="a .npy file, (n, d) float32")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    np.save(arguments.output, made_vectors(arguments.n, arguments.d, arguments.seed))


if __name__ == "__main__":
    main()
