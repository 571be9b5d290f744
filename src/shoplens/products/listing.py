"""How a search lists what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shoplens.errors import RankingError
from shoplens.hits import Hit
from shoplens.products.duplicates import SAME_PICTURE, collapse
from shoplens.products.grouping import Grouping, Views
from shoplens.products.scores import ProductScore
from shoplens.products.variants import Variants
from shoplens.records import Vector

_FIRST_OVERFETCH = 4
"""To list k products, the best 4 k photos are looked at first."""
_SCORED_PHOTOS = 200
"""Where other photos than the best count, at least so many are looked at."""


@dataclass(frozen=True, slots=True)
class Listing:
    """How many hits there are, and what is one."""

    k: int
    grouping: Grouping | None = None
    """None where each photo is a hit."""
    same_picture: float | None = None
    """Photos whose vectors are as similar or more show the same picture and are one hit; None where
    each is a hit."""

    @classmethod
    def of(
        cls,
        k: int,
        *,
        group_by: str | None = None,
        product_score: str | None = None,
        variants: str | None = None,
        collapse: bool | float = False,
        temperature: float | None = None,
    ) -> Listing:
        """Read what a search was asked for.

        Args:
            k: how many hits to list.
            group_by: `product` or None.
            product_score: a name of `ProductScore`; needs `group_by`.
            variants: a text of `Variants`; needs `group_by`.
            collapse: whether photos that show the same picture are one hit; or from which
                similarity of their vectors on they do.
            temperature: of `logsum` where `product_score` names none.

        Raises `RankingError` if something does not exist, or does not fit.
        """
        if k < 1:
            raise RankingError(f"k must be at least 1, got {k}")
        if group_by not in (None, "product"):
            raise RankingError(f"group_by must be 'product', got {group_by!r}")
        if group_by is None:
            if product_score is not None or variants is not None:
                raise RankingError("product_score and variants need group_by='product'")
            return cls(k, None, _same_picture(collapse))
        score = None if product_score is None else ProductScore.parse(product_score, temperature)
        grouping = Grouping(score, None if variants is None else Variants.parse(variants))
        return cls(k, grouping, _same_picture(collapse))

    @property
    def collapses(self) -> bool:
        """Whether photos that show the same picture are one hit."""
        return self.same_picture is not None

    @property
    def is_plain(self) -> bool:
        """Whether the first k photos are the hits."""
        return self.grouping is None and not self.collapses

    @property
    def n_photos(self) -> int:
        """How many photos to look at first."""
        if self.is_plain:
            return self.k
        asked = _FIRST_OVERFETCH * self.k + 1
        if self.grouping is None or self.grouping.by_best_photo:
            return asked
        return max(asked, _SCORED_PHOTOS)

    def require_similarities(self) -> None:
        """Refuse what is computed from similarities, where re-ranking has changed the scores.

        Raises `RankingError`.
        """
        if self.grouping is not None and not self.grouping.by_best_photo:
            raise RankingError(
                f"product_score {self.grouping.score} is of similarities, which re-ranking changes:"
                " use one without the other (`none` is for no re-ranking)"
            )

    def chosen(
        self, hits: Sequence[Hit], views: Views, vectors: Mapping[int | str, Vector]
    ) -> list[Hit]:
        """Return the hits that are listed, as far as these photos tell; k at most.

        Args:
            hits: photos, best first.
            views: finds the other photos of products.
            vectors: of the photos, by id; may be empty if nothing is collapsed.
        """
        found = list(hits) if self.grouping is None else self.grouping.products(hits, views)
        if self.same_picture is not None:
            found = collapse(found, vectors, self.k, self.same_picture)
        return found[: self.k]

    def is_settled(self, chosen: Sequence[Hit], last: float) -> bool:
        """Whether photos with scores below `last` cannot change what is listed.

        A product whose best photo is below has no higher mean. (Its log-sum may be a little higher.
        The products of the photos that were looked at are those that are listed.)
        """
        if len(chosen) < self.k:
            return False
        score = chosen[-1].product_score
        return score is None or score >= last

    def finished(self, chosen: Sequence[Hit], views: Views) -> tuple[Hit, ...]:
        """Return the hits with their ranks, and products with all their photos."""
        hits = chosen if self.grouping is None else self.grouping.with_photos(chosen, views)
        return tuple(replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1))


def _same_picture(collapse: bool | float) -> float | None:
    if isinstance(collapse, bool):
        return SAME_PICTURE if collapse else None
    if not 0 < collapse <= 1:
        raise RankingError(
            f"collapse must be true, false, or a similarity above 0 and at most 1; got {collapse}"
        )
    return collapse
