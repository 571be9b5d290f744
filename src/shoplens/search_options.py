"""What every search can be asked for, whatever it searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shoplens.confidence.calibration import Calibration
from shoplens.products.listing import Listing
from shoplens.reranking import NO_STEPS, Chain


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How many hits there are, what is one, how sure they are, and their order.

    The fields are arguments of `shoplens.search`, which explains them.
    """

    k: int = 20
    group_by: str | None = None
    product_score: str | None = None
    variants: str | None = None
    collapse: bool | float = False
    confidence: Calibration | None = None
    chain: Chain = NO_STEPS
    """What re-ranks, with gallery-side steps: `rerank`, read."""

    def arguments(self) -> dict[str, Any]:
        """Return the options as keyword arguments of `Catalog.search`, without `rerank`: a
        catalogue has a chain of its own where none is named."""
        return {
            "k": self.k,
            "group_by": self.group_by,
            "product_score": self.product_score,
            "variants": self.variants,
            "collapse": self.collapse,
            "confidence": self.confidence,
        }

    def listing(self) -> Listing:
        """Return how the hits are listed.

        Raises `RankingError` if something does not exist, or does not fit.
        """
        return Listing.of(
            self.k,
            group_by=self.group_by,
            product_score=self.product_score,
            variants=self.variants,
            collapse=self.collapse,
            temperature=None if self.confidence is None else self.confidence.temperature,
        )
