"""Which regions of a photo get vectors of their own.

The first are boxes proposed around what stands out (see `shoplens.boxes`). Where there are fewer of
these than asked for, fixed ones follow, from the middle of the photo outwards. A region that is
much like another one, or nearly the whole photo, would say little that is new, so it is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from shoplens.boxes.network import load_network
from shoplens.boxes.proposing import overlap, propose_in
from shoplens.cache import Computed, VectorCache, content_key
from shoplens.errors import PhotoError, ShoplensError
from shoplens.looking import photo_bytes
from shoplens.models.views import Views
from shoplens.pixels.decoding import decoding
from shoplens.records import Box, Photo

MOST = 8
"""Regions of a photo at most."""
ALIKE = 0.4
"""Two regions of which the intersection over union is larger are taken for one."""
NEARLY_ALL = 0.8
"""A region of which the intersection over union with the whole photo is larger is left out."""
CACHE = "chosen-regions-1"
"""The name under which chosen regions are cached. Another way to choose is another name."""
_CENTRE = (0.15, 0.15, 0.7, 0.7)
_CORNERS = tuple((x, y, 0.7, 0.7) for y in (0.0, 0.3) for x in (0.0, 0.3))
_HALVES = tuple((x, y, 0.5, 0.5) for y in (0.25, 0.0, 0.5) for x in (0.25, 0.0, 0.5))
FIXED = (_CENTRE, *_CORNERS, *_HALVES)
"""x, y, width and height of fixed regions, in shares of the photo's sides."""


def choose_regions(photo: Photo, n: int, cache: VectorCache | None = None) -> list[Box]:
    """Choose regions of a photo, the best first.

    Args:
        photo: one without a box. (In one with a box, the region is known already.)
        n: how many, up to `MOST`.
        cache: where regions that were chosen before are found, named `CACHE`.

    Returns:
        Up to n boxes in whole pixels of the upright photo, fewer where no others differ enough.
        Those of a smaller n are the first of those of a larger one.

    Raises:
        PhotoError: the photo cannot be used.
    """
    data = photo_bytes(photo)

    def compute() -> Computed:
        corners = [(box.x0, box.y0, box.x1, box.y1) for box in _chosen(data)]
        return Computed(np.array(corners, dtype=np.float32).ravel())

    if cache is None:
        computed = compute()
    else:
        key = content_key(hashlib.sha256(data).hexdigest(), photo)
        computed, _ = cache.remember(key, compute)
    assert computed.vector is not None
    _whole, *chosen = computed.vector.reshape(-1, 4).tolist()
    return [Box(*corners) for corners in chosen[:n]]


def require_number(n: int) -> None:
    """Raise `ShoplensError` for a number of regions that no photo can have."""
    if not 0 <= n <= MOST:
        raise ShoplensError(f"a photo can have 0 to {MOST} regions, not {n}")


def regions_in(pixels: Views, size: tuple[int, int]) -> list[Box]:
    """Choose regions of a photo that was prepared by `Network.prepare`, the best first.

    Args:
        pixels: the prepared photo.
        size: width and height of the upright photo.

    Returns:
        Up to `MOST` boxes (see `choose_regions`).
    """
    whole = Box(0, 0, *size)
    chosen: list[Box] = []
    proposed = [proposal.box for proposal in propose_in(pixels, size)]
    for box in (*proposed, *_fixed(size)):
        if overlap(box, whole) <= NEARLY_ALL and all(overlap(box, o) <= ALIKE for o in chosen):
            chosen.append(box)
    return chosen[:MOST]


def _chosen(data: bytes) -> list[Box]:
    """Return the whole photo, and then its regions."""
    network = load_network()
    target, side = network.target
    with decoding(data, target=target, target_side=side) as decoded:
        size, pixels = decoded.size, network.prepare(decoded)
    return [Box(0, 0, *size), *regions_in(pixels, size)]


def _fixed(size: tuple[int, int]) -> Iterator[Box]:
    for x, y, w, h in FIXED:
        box = Box.from_relative(x, y, w, h, size)
        rounded = [round(edge) for edge in (box.x0, box.y0, box.x1, box.y1)]
        try:
            yield Box(*rounded)
        except PhotoError:
            continue  # Of a photo of a few pixels nothing is left.
