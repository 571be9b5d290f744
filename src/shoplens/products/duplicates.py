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


def collapse(
    hits: Sequence[Hit],
    vectors: Mapping[int | str, Vector],
    k: int,
    similarity: float = SAME_PICTURE,
) -> list[Hit]:
    """Return the first k hits whose photos do not look like that of a better one.

    Args:
        hits: best first.
        vectors: (d,) of unit length for each of their photos, by id.
        k: how many to return, if there are so many.
        similarity: photos whose vectors are as similar or more show the same picture.

    Returns:
        Them, in their order; `duplicates` has what each stands for.
    """
    if not hits:
        return []
    kept: list[Hit] = []
    hidden: list[list[Duplicate]] = []
    rows = np.empty((min(k, len(hits)), len(vectors[hits[0].photo_id])), dtype=np.float32)
    for hit in hits:
        vector = vectors[hit.photo_id]
        alike = np.flatnonzero(rows[: len(kept)] @ vector >= similarity)
        if len(alike):
            hidden[int(alike[0])].append(
                Duplicate(hit.photo_id, hit.product_id, hit.score, hit.path)
            )
        elif len(kept) < len(rows):
            rows[len(kept)] = vector
            kept.append(hit)
            hidden.append([])
    return [replace(hit, duplicates=tuple(one)) for hit, one in zip(kept, hidden, strict=True)]
