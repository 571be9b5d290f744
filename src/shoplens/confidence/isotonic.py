"""Isotonic regression: the rising steps that are nearest to the truth."""

from __future__ import annotations

import numpy as np

from shoplens.confidence.evidence import Floats


def fit_isotonic(values: Floats, truth: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the nearest rising function by least squares, as points to interpolate between.

    Neighbouring blocks whose means do not rise are pooled until all do (pool adjacent violators:
    Ayer et al., Annals of Mathematical Statistics 26, 1955).

    Args:
        values: (n,) in any order; equal ones are one point.
        truth: (n,) what they should become.
        weights: (n,) how much each counts; rows that count nothing are left out.

    Returns:
        For each of the b blocks (b,) the mean of its values, rising, and (b,) the mean of its
        truth, rising up to rounding.
    """
    kept = weights > 0
    points, inverse = np.unique(values[kept], return_inverse=True)
    n_points = len(points)
    mass = np.bincount(inverse, weights[kept], minlength=n_points)
    sums = np.bincount(inverse, weights[kept] * truth[kept], minlength=n_points)
    blocks: list[tuple[float, float, float]] = []
    """Of each: its weight, and the weighted sums of values and truth."""
    for own, place, total in zip(mass, mass * points, sums, strict=True):
        block = (float(own), float(place), float(total))
        while blocks and blocks[-1][2] * block[0] >= block[2] * blocks[-1][0]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    return (
        np.array([place / own for own, place, _ in blocks]),
        np.array([total / own for own, _, total in blocks]),
    )
