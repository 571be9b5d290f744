"""How far confidences can be trusted: reliability, and what a threshold lets through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.confidence.evidence import Floats
from shoplens.confidence.samples import Samples

N_BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Searches whose first product has a confidence within a tenth."""

    low: float
    high: float
    n: int
    confidence: float
    """Mean of what was said."""
    right: float
    """Share whose first product is right."""


@dataclass(frozen=True, slots=True)
class CategoryMeasured:
    """Searches whose first product is of one category."""

    name: str
    n: int
    confidence: float
    """Mean of what was said."""
    right: float
    """Share whose first product is right."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on products that the estimator had not seen."""

    n_queries: int
    n_products: int
    """Different products of the queries."""
    n_gallery: int
    right: float
    """Share of searches whose first product is right."""
    calibration_error: float
    """ECE: how far confidence and share of right products are apart, in mean over `bins`."""
    log_loss: float
    """Mean of -log of the probability that was given to the truth, over the first products."""
    false_accepts: float
    """Share of searches without the query's product that are no `no_match`."""
    true_matches_kept: float
    """Of the searches whose first product is right, the share that is no `no_match`."""
    bins: tuple[Bin, ...]
    """Those with searches in them."""
    categories: tuple[CategoryMeasured, ...] = ()
    """Those with enough searches, by name; empty where there are no categories."""


def reliability(confidences: Floats, right: Floats, weights: Floats) -> tuple[Bin, ...]:
    """Return the bins of a reliability diagram, of equal width, without empty ones.

    Args:
        confidences: (n,) in 0..1.
        right: (n,) 0 or 1.
        weights: (n,) how much each counts; those of weight 0 are not counted.
    """
    number = np.minimum((confidences * N_BINS).astype(np.int64), N_BINS - 1)
    bins = []
    for bin_ in range(N_BINS):
        rows = (number == bin_) & (weights > 0)
        if rows.any():
            bins.append(
                Bin(
                    low=bin_ / N_BINS,
                    high=(bin_ + 1) / N_BINS,
                    n=int(rows.sum()),
                    confidence=float(np.average(confidences[rows], weights=weights[rows])),
                    right=float(np.average(right[rows], weights=weights[rows])),
                )
            )
    return tuple(bins)


def by_category(
    names: Sequence[str | None], confidences: Floats, right: Floats, weights: Floats, least: int
) -> tuple[CategoryMeasured, ...]:
    """Return what was said and what was right in each category, in order of their names.

    Args:
        names: n categories, None where not known.
        confidences: (n,) in 0..1.
        right: (n,) 0 or 1.
        weights: (n,) how much each counts; those of weight 0 are not counted.
        least: categories with fewer searches are left out.
    """
    known = np.array([name or "" for name in names])
    found = []
    for name in sorted({name for name in names if name}):
        rows = (known == name) & (weights > 0)
        if (n := int(rows.sum())) >= least:
            found.append(
                CategoryMeasured(
                    name=name,
                    n=n,
                    confidence=float(np.average(confidences[rows], weights=weights[rows])),
                    right=float(np.average(right[rows], weights=weights[rows])),
                )
            )
    return tuple(found)


def calibration_error(confidences: Floats, right: Floats, weights: Floats) -> float:
    """Return the expected calibration error (ECE).

    The mean over searches of how far the mean confidence of their bin is from its share of right
    ones (Guo et al., ICML 2017, with 10 bins of equal width).

    Args:
        confidences: (n,) in 0..1.
        right: (n,) 0 or 1.
        weights: (n,) how much each counts.
    """
    number = np.minimum((confidences * N_BINS).astype(np.int64), N_BINS - 1)
    gaps = np.bincount(number, weights * (confidences - right), minlength=N_BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def log_loss(confidences: Floats, right: Floats, weights: Floats) -> float:
    """Return the mean of -log of the probability that was given to the truth."""
    given = np.where(right > 0, confidences, 1 - confidences)
    return float(weights @ -np.log(given.clip(1e-12)) / weights.sum())


def threshold(unmatched: Floats, rate: float) -> float:
    """Return the lowest confidence at which at most a share `rate` of searches is accepted.

    Args:
        unmatched: (n,) confidences of searches without the query's product, n > 0.
        rate: in 0..1.
    """
    allowed = int(rate * len(unmatched) + 1e-9)
    if allowed >= len(unmatched):
        return 0.0
    return float(np.nextafter(np.sort(unmatched)[::-1][allowed], np.inf))


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """The searches of samples, with the confidence of their best product."""

    confidence: Floats
    """(s,) the largest of the search's products."""
    is_open: npt.NDArray[np.bool_]
    """(s,)"""
    right: npt.NDArray[np.bool_]
    """(s,) whether the first product is right."""
    fold: npt.NDArray[np.int64]
    """(s,)"""

    @classmethod
    def of(cls, samples: Samples, probabilities: Floats, folds: npt.NDArray[np.int64]) -> Searches:
        """Gather the rows of each search."""
        numbers, inverse = np.unique(samples.search, return_inverse=True)
        best = np.zeros(len(numbers))
        np.maximum.at(best, inverse, probabilities)
        first = np.flatnonzero(samples.place == 0)
        return cls(best, samples.is_open[first], samples.truth[first] > 0, folds[first])

    def threshold(self, rate: float) -> float:
        """Return the threshold of `no_match` for a rate of false accepts."""
        return threshold(self.confidence[self.is_open], rate)

    def decided(self, rate: float) -> tuple[float, float]:
        """Return the share of false accepts, and of true matches kept.

        Each fold is decided by a threshold that was chosen on the others.
        """
        accepted = np.zeros(len(self.confidence), dtype=np.bool_)
        for fold in np.unique(self.fold).tolist():
            own = self.fold == fold
            bound = threshold(self.confidence[self.is_open & ~own], rate)
            accepted[own] = self.confidence[own] >= bound
        kept = accepted[~self.is_open & self.right]
        return float(accepted[self.is_open].mean()), float(kept.mean()) if len(kept) else 0.0
