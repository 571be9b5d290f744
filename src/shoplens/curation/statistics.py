"""A dataset in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplens.curation.duplicates import find_duplicates, same_pictures
from shoplens.curation.layout import FOLDERS
from shoplens.curation.measuring import Measured, measure
from shoplens.errors import PhotoError
from shoplens.progress import Progress, silent
from shoplens.records import Domain, Photo
from shoplens.report.findings import SamePicture
from shoplens.sources import file_of

QUANTITIES: Mapping[str, tuple[str, Callable[[Measured], float | None]]] = {
    "longer_side": ("longer side, pixels", lambda one: one.longer_side),
    "aspect": ("width / height", lambda one: one.aspect),
    "kilobytes": ("file size, kB", lambda one: one.n_bytes / 1000),
    "brightness": ("brightness, 0..255", lambda one: one.brightness),
    "sharpness": ("sharpness", lambda one: one.sharpness),
    "box_share": ("box / photo area", lambda one: one.box_share),
    "box_aspect": ("box width / height", lambda one: one.box_aspect),
}
"""What is measured of every photo, by its name in JSON: a label, and the value."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How a quantity is spread over photos."""

    n: int
    low: float
    """The smallest value."""
    quarter: float
    median: float
    three_quarters: float
    high: float
    """The largest value."""

    def to_json(self) -> dict[str, float]:
        """Return the values as JSON names them."""
        return {
            "n": self.n,
            "min": round(self.low, 4),
            "q25": round(self.quarter, 4),
            "median": round(self.median, 4),
            "q75": round(self.three_quarters, 4),
            "max": round(self.high, 4),
        }


@dataclass(frozen=True, slots=True)
class Side:
    """The photos of one domain."""

    n_photos: int
    measured: tuple[Measured, ...]
    """Those that can be used."""
    failed: tuple[tuple[Photo, PhotoError], ...]

    def values(self, quantity: str) -> list[float]:
        """Return the known values of one of `QUANTITIES`."""
        of = QUANTITIES[quantity][1]
        known = (of(one) for one in self.measured)
        return [value for value in known if value is not None and not np.isnan(value)]

    def spread(self, quantity: str) -> Spread | None:
        """Return how one of `QUANTITIES` is spread; None where no photo has it."""
        values = self.values(quantity)
        if not values:
            return None
        return Spread(len(values), *np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist())

    @property
    def formats(self) -> dict[str, int]:
        """How many photos there are of each format."""
        return dict(Counter(one.format for one in self.measured).most_common())

    @property
    def orientations(self) -> dict[str, int]:
        """How many photos there are of each EXIF orientation."""
        counted = Counter(one.orientation for one in self.measured)
        return {str(turn): counted[turn] for turn in sorted(counted)}

    @property
    def n_clipped(self) -> int:
        """Boxes partly outside their photo."""
        return sum(one.clipped for one in self.measured)

    @property
    def failures(self) -> dict[str, int]:
        """How many photos cannot be used, by reason."""
        return dict(Counter(error.reason for _, error in self.failed).most_common())

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON names them."""
        spreads = {name: self.spread(name) for name in QUANTITIES}
        return {
            "n_photos": self.n_photos,
            "n_failed": len(self.failed),
            "failures": self.failures,
            "failed_photos": [
                {"id": p.id, "path": p.name, "reason": error.reason, "detail": str(error)}
                for p, error in self.failed
            ],
            "formats": self.formats,
            "orientations": self.orientations,
            "n_clipped": self.n_clipped,
            **{name: spread and spread.to_json() for name, spread in spreads.items()},
        }


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a dataset is like."""

    sides: Mapping[Domain, Side]
    per_product: Mapping[Domain, tuple[int, ...]] | None
    """Photos of each product that has any, by domain; None where products are not known."""
    n_products: int | None
    n_without_positive: int | None
    """Queries whose product has no seller photo."""
    n_distractor_products: int | None
    """Products without a user photo."""
    alike: tuple[SamePicture, ...]
    """Closest first."""

    @property
    def n_contradicting(self) -> int:
        """Pairs that show one picture under two products."""
        return sum(pair.contradicts for pair in self.alike)

    @property
    def n_crossing(self) -> int:
        """Pairs of a user's photo and a seller's: a query that finds itself."""
        return sum(pair.crosses for pair in self.alike)

    def to_json(self) -> dict[str, Any]:
        """Return the values as `shoplens dataset statistics --json` writes them."""
        per_product = self.per_product
        return {
            "gallery": self.sides["seller"].to_json(),
            "queries": self.sides["user"].to_json(),
            "n_products": self.n_products,
            "n_without_positive": self.n_without_positive,
            "n_distractor_products": self.n_distractor_products,
            "photos_per_product": None
            if per_product is None
            else {
                name: {str(n): count for n, count in sorted(Counter(per_product[domain]).items())}
                for domain, name in FOLDERS.items()
            },
            "near_duplicates": {
                "n_pairs": len(self.alike),
                "n_by_kind": dict(Counter(pair.kind for pair in self.alike)),
                "n_crossing": self.n_crossing,
                "n_contradicting": self.n_contradicting,
                "pairs": [pair.to_json() for pair in self.alike],
            },
        }


def survey(
    photos: Sequence[Photo], *, workers: int | None = None, progress: Progress = silent
) -> Statistics:
    """Look at every photo of a dataset.

    Several rows may name one file with different boxes. Such rows are not listed as pairs.

    Args:
        photos: of both domains, or of one.
        workers: threads that decode; None takes one for each usable core.
        progress: told how far the work is.
    """
    measured, failed = measure(photos, workers=workers, progress=progress)
    sides: dict[Domain, Side] = {
        domain: Side(
            sum(photo.domain == domain for photo in photos),
            tuple(one for one in measured if one.photo.domain == domain),
            tuple(pair for pair in failed if pair[0].domain == domain),
        )
        for domain in FOLDERS
    }
    sketches = [one.sketch for one in measured]
    found = same_pictures(find_duplicates(sketches, progress=progress), sketches, sketches)
    alike = tuple(one for one in found if file_of(one.first) != file_of(one.second))
    sold, searched = (
        Counter(p.product_id for p in photos if p.domain == domain) for domain in FOLDERS
    )
    if not photos or any(photo.product_id is None for photo in photos):
        return Statistics(sides, None, None, None, None, alike)
    return Statistics(
        sides,
        {"seller": tuple(sold.values()), "user": tuple(searched.values())},
        len(sold.keys() | searched.keys()),
        sum(count for product, count in searched.items() if product not in sold),
        len(sold.keys() - searched.keys()),
        alike,
    )
