"""Hits that are photos to hits that are products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from shoplens.hits import Hit, ProductKey, View
from shoplens.products.scores import ProductScore
from shoplens.products.variants import Variants

Views = Callable[[Sequence[str]], Mapping[str, Sequence[View]]]
"""From product ids to all photos of each that may be found, best first."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """One hit for each product."""

    score: ProductScore | None = None
    """By which products are ordered; None orders them by their best photo and shows no other
    score."""
    variants: Variants | None = None
    """Products that are one hit together; None for none."""

    @property
    def by_best_photo(self) -> bool:
        """Whether the order of products is that of their best photos."""
        return self.score is None or self.score.is_best

    def products(self, hits: Sequence[Hit], views: Views) -> list[Hit]:
        """Return a hit for each product, best first.

        Args:
            hits: photos, best first.
            views: finds the other photos of products. Photos that were not found count in a
                product's score, too.
        """
        groups: dict[ProductKey, list[Hit]] = {}
        for hit in hits:
            key = hit.product_key if self.variants is None else self.variants.key(hit)
            groups.setdefault(key, []).append(hit)
        found = [self._product(group) for group in groups.values()]
        if self.by_best_photo:
            return found
        # Sorting is stable: products of one score stay in the order of their best photos.
        return sorted(self.with_photos(found, views), key=lambda hit: -(hit.product_score or 0.0))

    def _product(self, group: Sequence[Hit]) -> Hit:
        best = group[0]
        if self.variants is None:
            return best
        ids = dict.fromkeys(hit.product_id for hit in group if hit.product_id is not None)
        return replace(best, variants=tuple(ids))

    def with_photos(self, products: Sequence[Hit], views: Views) -> list[Hit]:
        """Return products with all their photos, and with their scores."""
        wanted = [hit for hit in products if hit.photos is None]
        ids = dict.fromkeys(product for hit in wanted for product in _products(hit))
        found = views(list(ids)) if ids else {}
        return [
            hit if hit.photos is not None else self._with_photos(hit, found) for hit in products
        ]

    def _with_photos(self, hit: Hit, found: Mapping[str, Sequence[View]]) -> Hit:
        photos = [view for product in _products(hit) for view in found[product]]
        photos = photos or [View(hit.photo_id, hit.score, hit.path)]
        if self.variants is not None:
            photos.sort(key=lambda view: -view.score)
        score = None if self.score is None else self.score.of([view.score for view in photos])
        return replace(hit, photos=tuple(photos), product_score=score)


def _products(hit: Hit) -> tuple[str, ...]:
    if hit.variants:
        return hit.variants
    return () if hit.product_id is None else (hit.product_id,)
