"""Logistic regression: the weights of numbers that tell how likely something is."""

from __future__ import annotations

import numpy as np

from shoplens.confidence.evidence import Floats

_MOST_STEPS = 100
_CONVERGED = 1e-9
_SMALLEST_STEP = 1e-6


def sigmoid(logits: Floats) -> Floats:
    """Return probabilities, 1 / (1 + exp(-logit)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float64)


def fit_logistic(
    columns: Floats, truth: Floats, weights: Floats, *, penalty: Floats, around: Floats
) -> Floats:
    """Return the coefficients under which the truth is most likely, less a penalty.

    This minimises `sum(weights * log-loss) + sum(penalty * (coefficients - around)^2) / 2` by
    Newton's method. The problem is convex, so there is one answer.

    Args:
        columns: (n, c) the numbers; a constant is one of them.
        truth: (n,) 0 or 1.
        weights: (n,) how much each row counts.
        penalty: (c,) positive.
        around: (c,) the coefficients that are not penalised.

    Returns:
        (c,) coefficients.
    """

    def loss(coefficients: Floats) -> float:
        logits = columns @ coefficients
        own = np.logaddexp(0.0, logits) - truth * logits
        return float(weights @ own + penalty @ (coefficients - around) ** 2 / 2)

    found = np.array(around, dtype=np.float64)
    current = loss(found)
    for _ in range(_MOST_STEPS):
        likely = sigmoid(columns @ found)
        gradient = columns.T @ (weights * (likely - truth)) + penalty * (found - around)
        curvature = (columns * (weights * likely * (1 - likely))[:, None]).T @ columns
        step = np.linalg.solve(curvature + np.diag(penalty), gradient)
        length = 1.0
        while (after := loss(found - length * step)) > current and length > _SMALLEST_STEP:
            length /= 2
        if after > current:
            break
        found, current = found - length * step, after
        if np.abs(length * step).max() < _CONVERGED:
            break
    return found
