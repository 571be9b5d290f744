"""How much two thumbnails differ after one is aligned with the other.

Trimming a photo by a few per cent, or finding its border a pixel further in, shifts and stretches
its thumbnail by a pixel or two, and then two thumbnails hardly correlate. So the shift and the
stretch along both axes are estimated from the gradients (Lucas & Kanade, 1981) in a few rounds, and
undone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Greys = npt.NDArray[np.uint8]
"""(n, s, s) uint8."""
_Floats = npt.NDArray[np.float32]

_ROUNDS = 4
_HOPELESS = 0.8
"""From this distance on, a small move does not help. Most candidates are farther apart."""
_BLOCK = 128
"""Pairs that are aligned at once: the arrays fit into a processor's cache."""
_EDGE = 2
"""Pixels on each side that are not compared."""
_MOST = 0.1
"""Largest shift, and largest part of a side by which it is stretched or shrunk about the middle."""


def align(first: Greys, second: Greys) -> _Floats:
    """Return how much of the contrast of each pair of thumbnails is different.

    Args:
        first: (n, s, s) uint8.
        second: (n, s, s) uint8, each compared with the one of `first` at its place.

    Returns:
        (n,) float32, 0 for pictures that differ in brightness and contrast alone, up to 1: one
        minus the squared correlation of the best position tried, 1 where they correlate
        negatively.
    """
    fixed, moving = first.astype(np.float32), second.astype(np.float32)
    distances = _distance(fixed, moving)
    for start in range(0, len(distances), _BLOCK):
        hopeful = start + np.flatnonzero(distances[start : start + _BLOCK] < _HOPELESS)
        if len(hopeful):
            aligned = _aligned(fixed[hopeful], moving[hopeful])
            distances[hopeful] = np.minimum(distances[hopeful], aligned)
    return distances


def _aligned(fixed: _Floats, moving: _Floats) -> _Floats:
    """Return the smallest distance of each pair on the way to where they fit best."""
    side = fixed.shape[-1]
    places = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / (side / 2)
    moves = np.zeros((len(fixed), 4), dtype=np.float32)  # Shift, stretch down; the same across.
    best = np.ones(len(fixed), dtype=np.float32)
    moved = moving
    for _ in range(_ROUNDS):
        moves = np.clip(moves + _step(fixed, moved, places), -_MOST, _MOST)
        moved = _moved(moving, moves, places)
        best = np.minimum(best, _distance(fixed, moved))
    return best


def _distance(first: _Floats, second: _Floats) -> _Floats:
    a, b = _standard(_inner(first)), _standard(_inner(second))
    correlation = (a * b).sum(axis=(1, 2))
    distance: _Floats = 1 - np.clip(correlation, 0, 1) ** 2
    return distance


def _inner(greys: _Floats) -> _Floats:
    """Leave out the edge, where a border or what was trimmed shows."""
    inner: _Floats = greys[..., _EDGE:-_EDGE, _EDGE:-_EDGE]
    return inner


def _standard(greys: _Floats) -> _Floats:
    """Return thumbnails of mean 0 and length 1."""
    centred = greys - greys.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    standard: _Floats = centred / np.maximum(length, 1e-6)
    return standard


def _step(fixed: _Floats, moving: _Floats, places: _Floats) -> _Floats:
    """Return the change of shifts and stretches, in half sides, that best explains the difference.

    Brightness and contrast are fitted along with it.
    """
    n, side = moving.shape[:2]
    down, across = np.gradient(moving, 2 / side, axis=(1, 2))
    waves = [down, down * places[:, None], across, across * places, moving, np.ones_like(moving)]
    basis = _inner(np.stack(waves, axis=1)).reshape(n, 6, -1)
    gram = basis @ basis.transpose(0, 2, 1)
    scale = np.trace(gram, axis1=1, axis2=2)[:, None, None]
    gram += np.eye(6, dtype=np.float32) * np.maximum(scale, 1e-6) * 1e-6
    wanted = basis @ _inner(fixed).reshape(n, -1, 1)
    solved = np.linalg.solve(gram, wanted)[:, :, 0]
    # The fit is contrast * (moving + move . gradient): moves come multiplied by the contrast.
    contrast = solved[:, 4:5]
    contrast = np.where(np.abs(contrast) < 0.1, 0.1, contrast)
    step: _Floats = (solved[:, :4] / contrast).astype(np.float32)
    return step


def _moved(greys: _Floats, moves: _Floats, places: _Floats) -> _Floats:
    """Return thumbnails shifted and stretched, between pixels bilinear, edges drawn out."""
    n, side = len(greys), greys.shape[-1]
    half = side / 2
    rows = (places + moves[:, 0:1] + moves[:, 1:2] * places) * half + (side - 1) / 2
    columns = (places + moves[:, 2:3] + moves[:, 3:4] * places) * half + (side - 1) / 2
    rows, columns = (np.clip(x, 0, side - 1) for x in (rows, columns))
    top, left = (np.minimum(x.astype(np.intp), side - 2) for x in (rows, columns))
    down, across = (rows - top)[:, :, None], (columns - left)[:, None, :]
    every = np.arange(n)[:, None, None]
    upper = greys[every, top[:, :, None], :][:, :, 0, :]
    lower = greys[every, top[:, :, None] + 1, :][:, :, 0, :]
    between = upper * (1 - down) + lower * down
    right = np.take_along_axis(between, (left + 1)[:, None, :], axis=2)
    moved: _Floats = np.take_along_axis(between, left[:, None, :], axis=2) * (1 - across)
    moved += right * across
    return moved
