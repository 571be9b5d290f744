"""Photos that show the same picture, as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from shoplens.hits import Duplicate, Hit
from shoplens.records import Vector

SAME_PICTURE = 0.95
"""Photos whose vectors are this similar show the same picture, or nearly: so it is with vectors of
the built-in model (docs/experiments.md)."""


def collapse(hits: Sequence[Hit], vectors: Mapping[int | str, Vector]) -> list[Hit]:
    """Return hits without those whose photo looks like that of a better one.

    Args:
        hits: best first.
        vectors: (d,) of unit length for each of their photos, by id.

    Returns:
        The others, in their order; `duplicates` has what each stands for.
    """
    kept: list[Hit] = []
    hidden: list[list[Duplicate]] = []
    rows: list[Vector] = []
    for hit in hits:
        vector = vectors[hit.photo_id]
        alike = np.flatnonzero(np.array([row @ vector for row in rows]) >= SAME_PICTURE)
        if len(alike):
            hidden[int(alike[0])].append(
                Duplicate(hit.photo_id, hit.product_id, hit.score, hit.path)
            )
        else:
            kept.append(hit)
            hidden.append([])
            rows.append(vector)
    return [replace(hit, duplicates=tuple(one)) for hit, one in zip(kept, hidden, strict=True)]
