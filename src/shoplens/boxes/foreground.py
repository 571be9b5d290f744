"""Which places of a photo belong to the product.

Two hints are averaged:

- Where the last feature map is strong, something is that the network was trained to tell apart
  (selective convolutional descriptor aggregation: Wei, Luo, Wu and Zhou, IEEE Transactions on Image
  Processing, 2017).
- Places that are alike belong together. The strong places near the centre say what the product
  looks like, the others what is around it, and each place goes to the one it is more like. This is
  one step of clustering, on features of an earlier stage.

Where no place is much stronger than the others, nothing stands out, and products are supposed to be
in the middle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens.boxes.network import FeatureMap, FeatureMaps

Map = npt.NDArray[np.float64]
"""(rows, columns) float64."""

_LOW, _HIGH = 20, 95
"""Percentiles of a map that become 0 and 1."""
_CONTRAST = 2.2
"""How many times as strong as the low ones the high ones are at least, if something stands out.
Plain grounds, gradients and noise reach 2.1; of 180 renders of rooms the least has 3.9."""
_CENTRE = 0.3
"""Standard deviation of where products are, in shares of the photo's sides."""
_UNCERTAIN = 0.5
"""The largest value where nothing stands out."""


def foreground(maps: FeatureMaps, n: int) -> Map:
    """Return how likely each place belongs to the product.

    Args:
        maps: of a photo.
        n: how many places the result has on either side, whatever the shape of the photo.

    Returns:
        (n, n), 0..1, from the photo's top left corner.
    """
    places = (np.arange(n) + 0.5) / n
    strength = np.linalg.norm(maps.late.astype(np.float64), axis=0)
    low, high = np.percentile(strength, (_LOW, _HIGH))
    if high < _CONTRAST * low:
        return _UNCERTAIN * np.outer(_bell(places), _bell(places))
    strength = _stretched(strength)
    left, top, right, bottom = maps.frame
    rows, columns = strength.shape
    y = (np.arange(rows) + 0.5 - top) / (bottom - top)
    x = (np.arange(columns) + 0.5 - left) / (right - left)
    centre = np.outer(_bell(y), _bell(x))
    likeness = _stretched(_likeness(maps.early, strength * centre))
    down = sampling(rows, top + places * (bottom - top))
    across = sampling(columns, left + places * (right - left))
    sampled: Map = down @ ((strength + likeness) / 2) @ across.T
    return sampled


def _likeness(features: FeatureMap, inside: Map) -> Map:
    """Return how much more each place is like those inside than like those outside.

    Args:
        features: of the places.
        inside: 0..1 for each place.
    """
    unit = features / (np.linalg.norm(features, axis=0) + 1e-6)
    product = _direction(unit, inside**2)
    around = _direction(unit, (1 - inside) ** 2)
    likeness: Map = np.tensordot(product - around, unit, axes=1)
    return likeness


def _direction(unit: FeatureMap, weights: Map) -> npt.NDArray[np.float64]:
    mean = np.tensordot(unit, weights, axes=2)
    direction: npt.NDArray[np.float64] = mean / (np.linalg.norm(mean) + 1e-6)
    return direction


def _stretched(values: Map) -> Map:
    low, high = np.percentile(values, (_LOW, _HIGH))
    stretched: Map = np.clip((values - low) / (high - low + 1e-6), 0, 1)
    return stretched


def _bell(position: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    bell: npt.NDArray[np.float64] = np.exp(-0.5 * ((position - 0.5) / _CENTRE) ** 2)
    return bell


def sampling(n_places: int, at: npt.NDArray[np.float64]) -> Map:
    """Return (len(at), n_places) weights that interpolate between the centres of places."""
    position = np.clip(at - 0.5, 0, n_places - 1)
    weights: Map = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(n_places)))
    return weights
