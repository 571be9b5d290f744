"""A photo as a grid of places, each with a vector of what a network sees there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.boxes.network import FeatureMaps, load_network
from shoplens.looking import photo_bytes
from shoplens.models.views import Views
from shoplens.pixels.decoding import decoding
from shoplens.records import Box, Photo

Similarities = npt.NDArray[np.float32]
"""(p, q) float32: the cosine of each place of a photo and each of another."""

_TINY = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class PatchMap:
    """The places of a photo's region."""

    vectors: npt.NDArray[np.float32]
    """(p, c) float32 of unit length, row by row; p = rows * columns."""
    strengths: npt.NDArray[np.float32]
    """(p,) float32, at least 0: how much each place has of what the network tells things apart
    by. They sum to 1."""
    rows: int
    columns: int
    frame: tuple[float, float, float, float]
    """See `FeatureMaps.frame`: where the region's edges are."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRegion:
    """What the network is shown of a photo."""

    views: Views
    """(1, s, s, 3) uint8."""
    box: Box
    """The region in pixels of the upright photo: the photo's box, or the whole photo."""
    size: tuple[int, int]
    """Width and height of the upright photo."""


def prepare_region(photo: Photo) -> PreparedRegion:
    """Read a photo, and prepare its box, or the whole photo where it has none.

    Raises `PhotoError` if the photo or its box cannot be used.
    """
    network = load_network()
    target, side = network.target
    data = photo_bytes(photo)
    with decoding(
        data, box=photo.box, box_frame=photo.box_frame, target=target, target_side=side
    ) as decoded:
        box = decoded.box or Box(0, 0, *decoded.size)
        return PreparedRegion(network.prepare(decoded), box, decoded.size)


def patch_map(region: PreparedRegion) -> PatchMap:
    """Compute the places of a region; may be called from several threads at once."""
    size = region.box.width, region.box.height
    return _patch_map(load_network().feature_maps(region.views, size))


def patch_map_of(photo: Photo) -> PatchMap:
    """Return the places of a photo's box, or of the whole photo where it has none.

    Raises `PhotoError` if the photo or its box cannot be used.
    """
    return patch_map(prepare_region(photo))


def similarities(a: PatchMap, b: PatchMap) -> Similarities:
    """Return the cosines of the places of `a` and those of `b`."""
    cosines: Similarities = a.vectors @ b.vectors.T
    return cosines


def best_match(query: PatchMap, photo: PatchMap) -> float:
    """Return the mean of the query's places' cosines to their most similar place: -1..1.

    Each place weighs its strength, so that a plain ground says little.
    """
    return float(similarities(query, photo).max(axis=1) @ query.strengths)


def _patch_map(maps: FeatureMaps) -> PatchMap:
    early = maps.early.reshape(len(maps.early), -1).T
    vectors = early / (np.linalg.norm(early, axis=1, keepdims=True) + _TINY)
    strengths = np.linalg.norm(maps.late, axis=0).ravel() + _TINY
    _, rows, columns = maps.late.shape
    return PatchMap(
        np.ascontiguousarray(vectors, dtype=np.float32),
        np.asarray(strengths / strengths.sum(), dtype=np.float32),
        rows,
        columns,
        maps.frame,
    )
