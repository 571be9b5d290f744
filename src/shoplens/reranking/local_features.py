"""Local features of printed surfaces: corners, and whether those of two photos lie in one plane.

OpenCV (extra `shoplens[verify]`) finds and compares them. ORB was chosen by measurement: on photos
of printed surfaces it tells right ones from wrong ones more clearly than SIFT, in a tenth of the
time (docs/experiments.md).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from shoplens.errors import MissingError
from shoplens.looking import decoded_photo
from shoplens.pixels.decoding import Decoded
from shoplens.records import Photo

_SIDE = 640
"""Pixels of the longer side of a region in which corners are looked for."""
_CORNERS = 1000
_RATIO = 0.8
"""A match counts if its distance is at most so many times that of the second best (Lowe 2004)."""
_LEAST_MATCHES = 8
_LEAST_SIDE = 32
"""Pixels: ORB looks at what is around a corner, and finds none in a smaller region."""
_TOLERANCE = 4.0
"""Pixels by which a corner may miss its place: what MAGSAC takes as its largest noise."""
_CELL = 16
"""Corners less than so many pixels apart may count once: a letter has several."""
_NO_POINTS = np.empty((0, 2), dtype=np.float32)
_NO_DESCRIPTORS = np.empty((0, 32), dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class LocalFeatures:
    """The corners of a photo's region."""

    points: npt.NDArray[np.float32]
    """(m, 2) float32: x and y in the region, whose longer side is at most 640 pixels here."""
    descriptors: npt.NDArray[np.uint8]
    """(m, 32) uint8: 256 bits of what is around each corner."""
    size: tuple[int, int]
    """Width and height of the region in the same pixels."""


def opencv() -> Any:
    """Return OpenCV's module.

    Raises `MissingError` when it is not installed.
    """
    try:
        return importlib.import_module("cv2")
    except ImportError:
        raise MissingError("verify needs OpenCV: pip install 'shoplens[verify]'") from None


def local_features(photo: Photo) -> LocalFeatures:
    """Return the corners of a photo's box, or of the whole photo where it has none.

    Raises:
        PhotoError: the photo or its box cannot be used.
        MissingError: OpenCV is not installed.
    """
    cv2 = opencv()
    with decoded_photo(photo, _SIDE) as decoded:
        grey = _grey(decoded)
    if min(grey.size) < _LEAST_SIDE:
        return LocalFeatures(_NO_POINTS, _NO_DESCRIPTORS, grey.size)
    keypoints, descriptors = cv2.ORB_create(_CORNERS).detectAndCompute(np.asarray(grey), None)
    points = np.array([point.pt for point in keypoints], dtype=np.float32).reshape(-1, 2)
    return LocalFeatures(points, _NO_DESCRIPTORS if descriptors is None else descriptors, grey.size)


def n_verified(query: LocalFeatures, photo: LocalFeatures) -> int:
    """Return how many places of the query one homography finds in the photo.

    0 where there is none, or where it would show the query's region mirrored or folded.
    """
    cv2 = opencv()
    if min(len(query.points), len(photo.points)) < _LEAST_MATCHES:
        return 0
    pairs = _matches(cv2, query, photo)
    if len(pairs) < _LEAST_MATCHES:
        return 0
    starts, ends = query.points[pairs[:, 0]], photo.points[pairs[:, 1]]
    homography, mask = cv2.findHomography(
        starts, ends, cv2.USAC_MAGSAC, _TOLERANCE, maxIters=2000, confidence=0.999
    )
    if homography is None or not _keeps_shape(cv2, homography, query.size):
        return 0
    agreeing = starts[mask.ravel() > 0]
    return len(np.unique((agreeing // _CELL).astype(np.int64), axis=0))


def _grey(decoded: Decoded) -> Image.Image:
    image = decoded.image
    if decoded.box is not None:
        box = decoded.box.scaled(decoded.scale)
        right, bottom = max(box.x1, box.x0 + 1), max(box.y1, box.y0 + 1)
        image = image.crop((int(box.x0), int(box.y0), round(right), round(bottom)))
    grey = image.convert("L")
    grey.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    return grey


def _matches(cv2: Any, query: LocalFeatures, photo: LocalFeatures) -> npt.NDArray[np.int64]:
    """Return (m, 2) the numbers of corners that match; each corner of the photo is taken once."""
    matcher = cv2.BFMatcher(cv2.NORM_HAMMING)
    best: dict[int, Any] = {}
    for first, second in matcher.knnMatch(query.descriptors, photo.descriptors, k=2):
        if first.distance <= _RATIO * second.distance:
            known = best.get(first.trainIdx)
            if known is None or first.distance < known.distance:
                best[first.trainIdx] = first
    pairs = [(match.queryIdx, match.trainIdx) for match in best.values()]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _keeps_shape(cv2: Any, homography: Any, size: tuple[int, int]) -> bool:
    """Whether the region stays convex, and is not mirrored."""
    width, height = size
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], dtype=np.float32)
    found = cv2.perspectiveTransform(corners, homography)[0]
    sides = np.roll(found, -1, axis=0) - found
    following = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
    return bool((turns > 0).all())
