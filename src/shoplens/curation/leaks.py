"""Leaks: photos and products that a training set and a test set have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shoplens.curation.duplicates import THRESHOLD, find_shared, same_pictures, sketch_photos
from shoplens.errors import PhotoError
from shoplens.progress import Progress, silent
from shoplens.records import Photo
from shoplens.report.findings import SamePicture


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What two sets share."""

    n_train: int
    n_test: int
    leaks: tuple[SamePicture, ...]
    """Pairs of a training photo and a test photo, closest first."""
    shared_products: tuple[str, ...] | None
    """Product ids in both sets; None if a set's products are not known, or were not to be
    compared."""
    failures: tuple[tuple[Photo, PhotoError], ...]
    """Photos that could not be compared."""

    @property
    def ok(self) -> bool:
        """Whether nothing is shared."""
        return not self.leaks and not self.shared_products

    @property
    def n_by_kind(self) -> dict[str, int]:
        """How many leaks there are of each kind."""
        return dict(Counter(leak.kind for leak in self.leaks))

    @property
    def n_test_photos(self) -> int:
        """How many photos of the test set the training set shows."""
        return len({leak.second for leak in self.leaks})

    @property
    def n_contradicting(self) -> int | None:
        """Pairs that show one picture under two products; None where products were not compared."""
        if self.shared_products is None:
            return None
        return sum(leak.contradicts for leak in self.leaks)

    def to_json(self) -> dict[str, Any]:
        """Return the values as `shoplens dataset leaks --json` writes them."""
        shared = self.shared_products
        return {
            "ok": self.ok,
            "n_train": self.n_train,
            "n_test": self.n_test,
            "n_pairs": len(self.leaks),
            "n_by_kind": self.n_by_kind,
            "n_test_photos": self.n_test_photos,
            "n_contradicting": self.n_contradicting,
            "n_shared_products": None if shared is None else len(shared),
            "shared_products": None if shared is None else list(shared),
            "failures": dict(Counter(error.reason for _, error in self.failures)),
            "pairs": [leak.to_json("train", "test") for leak in self.leaks],
        }


def find_leaks(
    train: Sequence[Photo],
    test: Sequence[Photo],
    *,
    products: bool = True,
    threshold: float = THRESHOLD,
    mirrored: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> LeakReport:
    """Look for photos and products of a test set in a training set.

    Args:
        train: photos that a model learns from.
        test: photos that it is scored on.
        products: whether to compare product ids. Equal ids mean nothing if two catalogues each
            count their products from 1.
        threshold: largest distance of near-duplicates.
        mirrored: whether to look for mirror images as well.
        workers: threads that decode; None takes one for each usable core.
        progress: told how far the work is.
    """
    of_train, train_failed = sketch_photos(
        train, workers=workers, progress=progress, stage="training photos"
    )
    of_test, test_failed = sketch_photos(
        test, workers=workers, progress=progress, stage="test photos"
    )
    pairs = find_shared(
        of_train, of_test, threshold=threshold, mirrored=mirrored, progress=progress
    )
    return LeakReport(
        len(train),
        len(test),
        same_pictures(pairs, of_train, of_test),
        _shared_products(train, test) if products else None,
        (*train_failed, *test_failed),
    )


def _shared_products(train: Sequence[Photo], test: Sequence[Photo]) -> tuple[str, ...] | None:
    sides = [{p.product_id for p in photos if p.product_id is not None} for photos in (train, test)]
    return tuple(sorted(sides[0] & sides[1])) if all(sides) else None
