"""Resizing with antialiasing: the same on every machine, with SIMD where it is available.

`cykooz_resizer` (the Rust crate fast_image_resize) computes the convolutions of Pillow at a fifth
of the cost. It is installed on every platform that it has wheels for; elsewhere Pillow does the
work. Both process the rows first and then the columns. By themselves they would choose an order
(Pillow does from version 13), and the rounding in between would differ. What remains is a grey
level in a pixel in some
hundred (`tests/test_pixels_resampling.py`).
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

_STRIP = 2**22
"""The rows of a region are shrunk so many pixels at a time."""

_own = threading.local()
"""A thread's resizer: it keeps its buffers from call to call."""


def resample(
    image: Image.Image, region: Box, size: tuple[int, int], interpolation: Interpolation
) -> npt.NDArray[np.uint8]:
    """Resize a region of an image, antialiased. Pixels around the region count at its edges.

    Args:
        image: RGB.
        region: in pixels of `image`, which it does not leave; need not be whole numbers.
        size: width and height of the result in pixels.
        interpolation: the filter.

    Returns:
        (height, width, 3) uint8.
    """
    width, height = size
    # Other rows and columns are not needed.
    reach = _REACH[interpolation]
    left, right = _reached(region.x0, region.x1, width, image.width, reach)
    top, bottom = _reached(region.y0, region.y1, height, image.height, reach)
    # Rows do not depend on each other, so a large photo is never copied whole.
    step = max(1, _STRIP // (right - left))
    starts = range(top, bottom, step)
    strips = (image.crop((left, y, right, min(y + step, bottom))) for y in starts)
    across = (region.x0 - left, region.width)
    down = (0.0, region.y0 - top, float(width), region.height)
    if simd is None or interpolation not in _SIMD:
        filter_ = _PILLOW[interpolation]
        parts = [_narrowed(strip, width, across, filter_) for strip in strips]
        rows = (
            parts[0]
            if len(parts) == 1
            else Image.fromarray(np.concatenate([*map(np.asarray, parts)]))
        )
        return np.asarray(rows.resize(size, filter_, box=_corners(down)))
    narrow = [_narrowed_by_simd(strip, width, across, interpolation) for strip in strips]
    joined = narrow[0] if len(narrow) == 1 else _joined(narrow, width, bottom - top)
    result = _convolve(joined, size, down, interpolation)
    pixels: npt.NDArray[np.uint8] = np.frombuffer(result.get_buffer(), dtype=np.uint8)
    return pixels.reshape(height, width, 3)


_Region = tuple[float, float, float, float]
"""Left, top, width, height."""


def _narrowed(
    strip: Image.Image, width: int, across: tuple[float, float], filter_: Image.Resampling
) -> Image.Image:
    start, length = across
    region = _corners((start, 0.0, length, float(strip.height)))
    return strip.resize((width, strip.height), filter_, box=region)


def _narrowed_by_simd(
    strip: Image.Image, width: int, across: tuple[float, float], interpolation: Interpolation
) -> Any:
    start, length = across
    source = simd.ImageData(strip.width, strip.height, _RGB, strip.tobytes())
    region = (start, 0.0, length, float(strip.height))
    return _convolve(source, (width, strip.height), region, interpolation)


def _joined(parts: list[Any], width: int, height: int) -> Any:
    return simd.ImageData(width, height, _RGB, b"".join(part.get_buffer() for part in parts))


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
