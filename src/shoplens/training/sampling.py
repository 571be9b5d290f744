"""Which views share a batch: P products with K views each, user and seller mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shoplens.records import Domain
from shoplens.training.config import Batch
from shoplens.training.photos import Product, TrainingPhoto


class Draw(NamedTuple):
    """A view to be taken into a batch."""

    photo: TrainingPhoto
    as_domain: Domain
    seed: int
    """Of the view's augmentation; non-negative."""
    label: int
    """Row of the product among the training products."""


class ProductSampler:
    """Draws batches; the batch of a step depends on seed and step alone, so a run resumes exactly.

    A share of each batch comes from one category, because look-alikes teach more than strangers
    (cf. batch-hard mining, Hermans et al., 2017). Half of a product's views are as a user, half as
    a seller would take them: from photos of that domain where there are any, made from the other
    domain's otherwise.
    """

    def __init__(self, products: Sequence[Product], settings: Batch, seed: int) -> None:
        self._products = products
        self._settings = settings
        self._seed = seed
        weights = np.array([product.repeat for product in products], dtype=np.float64)
        self._weights = weights / weights.sum()
        categories: dict[str, list[int]] = {}
        for row, product in enumerate(products):
            categories.setdefault(product.category, []).append(row)
        self._categories = {name: np.array(rows) for name, rows in categories.items()}

    def steps_per_epoch(self) -> int:
        """Return the steps that show as many products as there are, repeats counted."""
        total = sum(product.repeat for product in self._products)
        return max(1, total // self._settings.products)

    def batch(self, step: int) -> list[Draw]:
        """Return the draws of a step: P x K, fewer products where there are fewer."""
        rng = np.random.default_rng((self._seed, step))
        n_products = min(self._settings.products, len(self._products))
        chosen = rng.choice(len(self._products), n_products, replace=False, p=self._weights)
        rows = [int(row) for row in chosen]
        # Look-alikes of the first product take the place of the last ones.
        kin = self._categories[self._products[rows[0]].category]
        wanted = min(round(self._settings.look_alikes * n_products), len(kin))
        others = [int(row) for row in rng.choice(kin, wanted, replace=False) if row != rows[0]]
        strangers = [row for row in rows[1:] if row not in others]
        rows = [rows[0], *others, *strangers][:n_products]
        return [draw for row in rows for draw in self._views(row, rng)]

    def _views(self, row: int, rng: np.random.Generator) -> list[Draw]:
        product = self._products[row]
        draws = []
        n_user = (self._settings.views + 1) // 2
        wanted: tuple[tuple[Domain, int], ...] = (
            ("user", n_user),
            ("seller", self._settings.views - n_user),
        )
        for domain, count in wanted:
            photos = product.taken_by(domain) or product.photos
            # Different photos as long as there are any.
            order = np.concatenate([rng.permutation(len(photos)) for _ in range(count)])[:count]
            draws += [
                Draw(photos[int(place)], domain, int(rng.integers(2**31)), row) for place in order
            ]
        return draws
