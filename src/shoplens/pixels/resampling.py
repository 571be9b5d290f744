"""Shrinking and stretching pixels, antialiased: the same on every machine, by SIMD where it can be.

`cykooz_resizer` (the Rust crate fast_image_resize) computes the convolutions of Pillow at a fifth
of the cost. It is installed on every platform it has wheels for; elsewhere Pillow does it. Both are
made to go over the rows first, then over the columns: left to themselves they choose (Pillow from
version 13 on), and round otherwise between the two. What remains is a grey level in a pixel in some
hundred (`tests/test_resampling.py`).
"""

from __future__ import annotations

import math
import threading
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from shoplens.records import Box

try:
    import cykooz_resizer as simd
except ImportError:  # No wheel for this platform.
    simd = None

Interpolation = Literal["bicubic", "bilinear", "hamming", "lanczos"]
"""The filter, as Pillow names it; all average over what becomes one pixel (antialiasing).
`hamming` is always computed by Pillow."""

_PILLOW = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
}
_SIMD = {"bicubic": "catmull_rom", "bilinear": "bilinear", "lanczos": "lanczos3"}
_REACH = {"bicubic": 2, "bilinear": 1, "hamming": 1, "lanczos": 3}
"""How many pixels to each side a filter looks at, when it does not shrink."""

_RGB = None if simd is None else simd.PixelType.U8x3

_own = threading.local()
"""A thread's resizer: it keeps its buffers from call to call."""


def resample(
    image: Image.Image, region: Box, size: tuple[int, int], interpolation: Interpolation
) -> npt.NDArray[np.uint8]:
    """Resize a region of an image, antialiased; pixels around the region count at its edges.

    Args:
        image: RGB.
        region: in pixels of `image`, which it does not leave; need not be whole numbers.
        size: width and height of the result in pixels.
        interpolation: the filter.

    Returns:
        (height, width, 3) uint8.
    """
    width, height = size
    # Of other rows nothing is needed, nor of columns.
    reach = _REACH[interpolation]
    left, right = _reached(region.x0, region.x1, width, image.width, reach)
    top, bottom = _reached(region.y0, region.y1, height, image.height, reach)
    part = image.crop((left, top, right, bottom))
    across = (region.x0 - left, 0.0, region.width, float(part.height))
    down = (0.0, region.y0 - top, float(width), region.height)
    if simd is None or interpolation not in _SIMD:
        rows = part.resize((width, part.height), _PILLOW[interpolation], box=_corners(across))
        return np.asarray(rows.resize(size, _PILLOW[interpolation], box=_corners(down)))
    source = simd.ImageData(part.width, part.height, _RGB, part.tobytes())
    rows = _convolve(source, (width, part.height), across, interpolation)
    result = _convolve(rows, size, down, interpolation)
    pixels: npt.NDArray[np.uint8] = np.frombuffer(result.get_buffer(), dtype=np.uint8)
    return pixels.reshape(height, width, 3)


_Region = tuple[float, float, float, float]
"""Left, top, width, height."""


def _convolve(
    source: Any, size: tuple[int, int], region: _Region, interpolation: Interpolation
) -> Any:
    if not hasattr(_own, "resizer"):
        _own.resizer = simd.Resizer()
    result = simd.ImageData(*size, _RGB)
    options = simd.ResizeOptions(
        resize_alg=simd.ResizeAlg.convolution(simd.FilterType[_SIMD[interpolation]]),
        crop_box=simd.CropBox(*region),
    )
    _own.resizer.resize(source, result, options)
    return result


def _corners(region: _Region) -> _Region:
    left, top, width, height = region
    return left, top, left + width, top + height


def _reached(start: float, end: float, length: int, whole: int, reach: int) -> tuple[int, int]:
    """Return the pixels of an axis that a filter looks at, first and past the last."""
    around = reach * max(1.0, (end - start) / length) + 1
    return max(0, math.floor(start - around)), min(whole, math.ceil(end + around))
