"""Labelled searches to an estimator, and to what it would have said of products it never saw."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from shoplens.confidence.estimator import Estimator, Line
from shoplens.confidence.evidence import Floats
from shoplens.confidence.isotonic import fit_isotonic
from shoplens.confidence.logistic import fit_logistic
from shoplens.confidence.samples import Samples

Method = Literal["logistic", "isotonic"]

N_FOLDS = 5
LEAST_OF_CATEGORY = 30
"""A category with fewer right or fewer wrong products has no line of its own."""
_PENALTY = 1.0
"""Of weights of columns that are scaled to a standard deviation of 1."""
_FREE = 1e-3
"""Of the constant: next to nothing, so that it can still be found where all is right."""
_CATEGORY_PENALTY = 10.0
"""Holds a category's line near the common one, as ten doubtful products more would."""


def fit_estimator(samples: Samples, weights: Floats, method: Method) -> Estimator:
    """Fit an estimator to labelled searches.

    Args:
        samples: at least one.
        weights: (n,) how much each row counts; at least one is positive.
        method: the curve from logits to probabilities.
    """
    total = weights.sum()
    centre = weights @ samples.features / total
    spread = np.sqrt(weights @ (samples.features - centre) ** 2 / total)
    scale = np.where(spread > 0, spread, 1.0)
    columns = np.column_stack([(samples.features - centre) / scale, np.ones(len(samples))])
    n = samples.features.shape[1]
    found = fit_logistic(
        columns,
        samples.truth,
        weights,
        penalty=np.array([_PENALTY] * n + [_FREE]),
        around=np.zeros(n + 1),
    )
    slopes = found[:n] / scale
    estimator = Estimator(tuple(slopes.tolist()), float(found[n] - slopes @ centre))
    lines = _category_lines(samples, weights, estimator.logits(samples.features))
    estimator = Estimator(estimator.weights, estimator.constant, lines)
    if method == "logistic":
        return estimator
    logits = estimator.logits(samples.features, samples.categories)
    at, probabilities = fit_isotonic(logits, samples.truth, weights)
    # What was never seen may still happen.
    least = 1 / (2 * max(1, int(np.count_nonzero(weights))))
    probabilities = probabilities.clip(least, 1 - least)
    steps = tuple(zip(at.tolist(), probabilities.tolist(), strict=True))
    return Estimator(estimator.weights, estimator.constant, lines, steps)


def _category_lines(samples: Samples, weights: Floats, logits: Floats) -> dict[str, Line]:
    names = np.array([name or "" for name in samples.categories])
    lines = {}
    for name in sorted({name for name in samples.categories if name}):
        rows = (names == name) & (weights > 0)
        n_right = int(samples.truth[rows].sum())
        if min(n_right, int(rows.sum()) - n_right) < LEAST_OF_CATEGORY:
            continue
        slope, offset = fit_logistic(
            np.column_stack([logits[rows], np.ones(int(rows.sum()))]),
            samples.truth[rows],
            weights[rows],
            penalty=np.full(2, _CATEGORY_PENALTY),
            around=np.array([1.0, 0.0]),
        ).tolist()
        # A falling line would turn the order of products round.
        if slope > 0:
            lines[name] = Line(slope, offset)
    return lines


def folds_by_product(
    samples: Samples, n_folds: int = N_FOLDS, seed: int = 0
) -> npt.NDArray[np.int64]:
    """Return (n,) which fold each row is in; all searches for one product are in one fold."""
    products, inverse = np.unique(samples.group, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(products))
    return np.asarray(order[inverse] % n_folds, dtype=np.int64)


def held_out_probabilities(
    samples: Samples, weights: Floats, method: Method, folds: npt.NDArray[np.int64]
) -> Floats:
    """Return (n,) what an estimator says of each row that was fitted without the row's fold."""
    found = np.empty(len(samples))
    for fold in np.unique(folds).tolist():
        apart = folds == fold
        others = samples.where(~apart)
        estimator = fit_estimator(others, weights[~apart], method)
        held = samples.where(apart)
        found[apart] = estimator.probabilities(held.features, held.categories)
    return found
