"""Regions of photos on a server: where they are kept, and the rows by which a search finds them.

What a photo's row says of its regions is all that is known of them; its checksum covers it. Further
rows, one for each region, hold the same vectors again, so that the index leads from them to the
photo. Whatever such a row holds, scores are computed from the photo's own. So a row that was left
behind by an interrupted call costs a little time, and changes no answer.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from shoplens.catalog.entry import Entry
from shoplens.catalog.milvus.schema import (
    ATTRIBUTES,
    CATEGORY,
    CHECKSUM,
    FACTS,
    KIND,
    PHOTO,
    PRODUCT,
    REGION,
    REGIONS,
    SEQUENCE,
    VECTOR,
)
from shoplens.records import Box
from shoplens.regions.choosing import MOST
from shoplens.vectors.regions import PhotoRegions

_BETWEEN = "/"
"""Between the key of a photo and the number of a region; it is in no photo's key."""
LONGEST_ENDING = 2
"""Characters that the key of a region has more than that of its photo."""


class _Regions(msgspec.Struct):
    limit: int
    boxes: list[tuple[float, float, float, float]]
    vectors: bytes
    """float32, little-endian, region by region."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Regions).decode


def regions_text(regions: PhotoRegions | None) -> str:
    """Return regions as a photo's row holds them; an empty text for none."""
    if regions is None:
        return ""
    boxes = [(box.x0, box.y0, box.x1, box.y1) for box in regions.boxes]
    vectors = regions.vectors.astype("<f4", copy=False).tobytes()
    return _encode(_Regions(regions.limit, boxes, vectors)).decode()


def regions_of(text: str, dimension: int) -> PhotoRegions | None:
    """Return the regions that a photo's row holds, with vectors of this dimension."""
    if not text:
        return None
    known = _decode(text)
    vectors = np.frombuffer(known.vectors, "<f4").reshape(-1, dimension).astype(np.float32)
    return PhotoRegions(known.limit, tuple(Box(*corners) for corners in known.boxes), vectors)


def region_rows(entry: Entry, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows by which the regions of an entry are found.

    Args:
        entry: the entry.
        row: its own row. What filters look at is the same.
    """
    if entry.regions is None:
        return []
    same = {name: row[name] for name in (SEQUENCE, PRODUCT, CATEGORY, ATTRIBUTES)}
    empty = {KIND: REGION, FACTS: "", CHECKSUM: "", REGIONS: ""}
    keys = region_keys(row[PHOTO])
    return [
        {PHOTO: key, VECTOR: vector, **empty, **same}
        for key, vector in zip(keys, entry.regions.vectors, strict=False)
    ]


def region_keys(key: str) -> list[str]:
    """Return the primary keys that rows of a photo's regions may have."""
    return [f"{key}{_BETWEEN}{number}" for number in range(MOST)]


def photo_key(key: str) -> str:
    """Return the primary key of the photo that a row, its own or of a region, belongs to."""
    return key.partition(_BETWEEN)[0]
