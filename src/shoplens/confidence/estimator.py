"""What turns evidence into a probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from shoplens.confidence.evidence import Floats
from shoplens.confidence.logistic import sigmoid


@dataclass(frozen=True, slots=True)
class Line:
    """A logit becomes `slope * logit + offset`."""

    slope: float
    offset: float


@dataclass(frozen=True, slots=True)
class Estimator:
    """Evidence to a logit, the logit by category, and the logit to a probability."""

    weights: tuple[float, ...]
    """One for each of `FEATURES`."""
    constant: float
    categories: dict[str, Line] = field(default_factory=dict)
    """By category, how its logits differ; only categories with enough data."""
    steps: tuple[tuple[float, float], ...] = ()
    """Isotonic: logits and their probabilities, both rising, between which is interpolated. Empty
    for a logistic curve."""

    def logits(self, features: Floats, categories: Sequence[str | None] | None = None) -> Floats:
        """Return the logit of each row: (n, 5) to (n,).

        Args:
            features: the columns of `FEATURES`.
            categories: n categories, None where not known; None if no row has one.
        """
        # Row by row: the rounding of a matrix product depends on the other rows.
        logits = (features * np.array(self.weights)).sum(axis=1) + self.constant
        if categories is None or not self.categories:
            return np.asarray(logits, dtype=np.float64)
        lines = [self.categories.get(name or "", _SAME) for name in categories]
        slopes, offsets = np.array([(line.slope, line.offset) for line in lines]).reshape(-1, 2).T
        return np.asarray(logits * slopes + offsets, dtype=np.float64)

    def probabilities(
        self, features: Floats, categories: Sequence[str | None] | None = None
    ) -> Floats:
        """Return the probability of each row, (n,) in 0..1 (see `logits`)."""
        logits = self.logits(features, categories)
        if not self.steps:
            return sigmoid(logits)
        at, probabilities = np.array(self.steps).T
        return np.asarray(np.interp(logits, at, probabilities), dtype=np.float64)


_SAME = Line(1.0, 0.0)
