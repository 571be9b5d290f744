"""The network of a built-in model, asked for the feature maps inside it."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.models import BASE_MODEL
from shoplens.models.model_folder import read_model
from shoplens.models.outputs import with_outputs
from shoplens.models.sessions import OnnxRuntimeSession
from shoplens.models.views import Views, decode_target, views_of
from shoplens.pixels.decoding import Decoded

FeatureMap = npt.NDArray[np.float32]
"""(c, rows, columns) float32: c features of each place of a photo."""

_LATE, _EARLY = "/stages.8/Clip_output_0", "/stages.6/stages.6.3/Add_output_0"


@dataclass(frozen=True, slots=True)
class FeatureMaps:
    """What the network finds at the places of a photo; the padding around it is cut off."""

    late: FeatureMap
    """What the vector is pooled from: 1,280 features."""
    early: FeatureMap
    """Two stages before that, of the same places: 192 features."""
    frame: tuple[float, float, float, float]
    """The photo's left, top, right and bottom edge in places, whose corners are whole numbers. The
    edges may lie within a place."""


class Network:
    """The network of lite0-products with its feature maps as outputs.

    Always the same one, whichever model embeds the photos: its maps are what was measured.
    """

    def __init__(self) -> None:
        weights, self.recipe = read_model(BASE_MODEL)
        self.target = decode_target(self.recipe, "user")
        """`target` and `target_side` for decoding."""
        self._session = OnnxRuntimeSession(with_outputs(weights, (_LATE, _EARLY)), None)

    def prepare(self, photo: Decoded) -> Views:
        """Return the whole photo, padded, as (1, s, s, 3) uint8."""
        return views_of(photo, "user", self.recipe)

    def feature_maps(self, pixels: Views, size: tuple[float, float]) -> FeatureMaps:
        """Compute the maps; may be called from several threads at once.

        Args:
            pixels: what `prepare` made of a photo.
            size: width and height of the region that is shown: the upright photo, or its box.
        """
        _, late, early = (output[0] for output in self._session.run_all(pixels))
        n_places = late.shape[1]
        width, height = (n_places * side / max(size) for side in size)
        columns, rows = (_inner(length, n_places) for length in (width, height))
        left, top = ((n_places - length) / 2 for length in (width, height))
        x, y = left - columns.start, top - rows.start
        return FeatureMaps(
            late[:, rows, columns], early[:, rows, columns], (x, y, x + width, y + height)
        )


def _inner(length: float, n_places: int) -> slice:
    """Return the places that a photo of this length, which is centred, lies in."""
    start = math.floor((n_places - length) / 2)
    return slice(start, n_places - start)


@functools.cache
def load_network() -> Network:
    """Return the network, loaded once."""
    return Network()
