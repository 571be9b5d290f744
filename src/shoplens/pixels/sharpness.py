"""How bright and how sharp the region of interest of a photo is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from shoplens.pixels.decoding import Decoded

SIDE = 256
"""The region's longer side in pixels when it is measured."""


def grey_region(photo: Decoded) -> npt.NDArray[np.float64]:
    """Return (h, w) float64, grey 0..255: the region shrunk to a longer side of `SIDE` pixels.

    It is never enlarged.
    """
    image = photo.image
    if photo.box is not None:
        box = photo.box.scaled(photo.scale)
        x0, y0 = int(min(box.x0, image.width - 1)), int(min(box.y0, image.height - 1))
        image = image.crop((x0, y0, max(round(box.x1), x0 + 1), max(round(box.y1), y0 + 1)))
    grey = image.convert("L")
    grey.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(grey, dtype=np.float64)


def sharpness(grey: npt.NDArray[np.float64]) -> float:
    """Return the variance of the Laplacian (4 neighbours; Pech-Pacheco et al., ICPR 2000).

    It is low for blurred regions, and for plain ones; NaN for fewer than 3 pixels a side.
    """
    if min(grey.shape) < 3:
        return float("nan")
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var())
