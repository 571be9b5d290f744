"""Some of the vectors of a photo set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from shoplens.records import PhotoSet
from shoplens.vectors.embeddings import Embeddings
from shoplens.vectors.regions import RegionVectors


def rows_of(embeddings: Embeddings, rows: npt.NDArray[np.integer]) -> Embeddings:
    """Return some rows of vectors, in this order, with their photos, regions and failures."""
    place = {row: number for number, row in enumerate(rows.tolist())}
    photos, regions = embeddings.photos, embeddings.regions
    return replace(
        embeddings,
        regions=None if regions is None else _regions_of(regions, rows),
        ids=embeddings.ids[rows],
        vectors=embeddings.vectors[rows],
        failures=tuple(
            replace(failure, row=place[failure.row])
            for failure in embeddings.failures
            if failure.row in place
        ),
        sha256=(),
        photos=None if photos is None else PhotoSet([photos[row] for row in rows.tolist()]),
    )


def _regions_of(regions: RegionVectors, rows: npt.NDArray[np.integer]) -> RegionVectors:
    starts = regions.starts[rows]
    counts = regions.starts[rows + 1] - starts
    ends = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    chosen = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], counts)
    return replace(
        regions, starts=ends, boxes=regions.boxes[chosen], vectors=regions.vectors[chosen]
    )
