"""Rows of the store: what they say, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from shoplens.attributes import Value
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId
from shoplens.records import Box, Vectors
from shoplens.vectors.regions import PhotoRegions

COLUMNS = "row, photo_id, product_id, facts, vector, checksum"
"""Of the table of photos."""
FLOAT32 = np.dtype("<f4")
"""How vectors are stored."""


_Corners = tuple[float, float, float, float]


class _Facts(msgspec.Struct, array_like=True):
    """What is stored of an entry beside its ids and its vector."""

    path: str
    source: str
    sha256: str | None
    stamp: str
    box: _Corners | None
    attributes: dict[str, Value]
    regions: tuple[int, list[_Corners]] | None = None
    """How many were asked for, and where they are. Their vectors follow the photo's."""

    @property
    def n_vectors(self) -> int:
        """How many vectors the row has."""
        return 1 if self.regions is None else 1 + len(self.regions[1])


class _FailedFacts(msgspec.Struct, array_like=True):
    path: str
    source: str
    reason: str
    detail: str
    attributes: dict[str, Value]


encode = msgspec.json.Encoder().encode
decode_facts = msgspec.json.Decoder(_Facts).decode
decode_failed = msgspec.json.Decoder(_FailedFacts).decode


@dataclass(frozen=True, slots=True)
class Row:
    """A row and the entry that it holds."""

    row: int
    entry: Entry


@dataclass(frozen=True, slots=True, eq=False)
class RowBlock:
    """What searches need of n rows, by column, in rising order of the rows."""

    rows: npt.NDArray[np.int64]
    """(n,) their numbers."""
    vectors: Vectors
    """(v, d) float32."""
    starts: npt.NDArray[np.int64]
    """(n + 1,) The vectors of row i are those from `starts[i]` up to `starts[i + 1]`: first the
    photo's, then those of its regions."""
    photo_ids: Sequence[PhotoId]
    product_ids: Sequence[str | None]
    attributes: Sequence[Mapping[str, Value]]

    def __len__(self) -> int:
        return len(self.rows)


def checksum(photo_id: PhotoId, product_id: str | None, *blobs: bytes) -> bytes:
    """Return the checksum of a row."""
    digest = xxhash.xxh3_64(f"{type(photo_id).__name__} {photo_id!r} {product_id!r}".encode())
    for blob in blobs:
        digest.update(len(blob).to_bytes(8, "little"))
        digest.update(blob)
    return digest.digest()


def stored_row(entry: Entry) -> tuple[PhotoId, str | None, bytes, bytes, bytes]:
    """Return an entry as a row of the table of photos, without its number."""
    facts = encode(
        _Facts(
            entry.path,
            entry.source,
            entry.sha256,
            entry.stamp,
            None if entry.box is None else _corners(entry.box),
            dict(entry.attributes),
            None
            if entry.regions is None
            else (entry.regions.limit, [_corners(box) for box in entry.regions.boxes]),
        )
    )
    vectors = vector_bytes(entry)
    return (
        entry.photo_id,
        entry.product_id,
        facts,
        vectors,
        checksum(entry.photo_id, entry.product_id, facts, vectors),
    )


def vector_bytes(entry: Entry) -> bytes:
    """Return the vectors of an entry as they are stored."""
    return entry.vectors.astype(FLOAT32, copy=False).tobytes()


def _corners(box: Box) -> _Corners:
    return box.x0, box.y0, box.x1, box.y1


def stored_entry(photo_id: PhotoId, product_id: str | None, facts: bytes, vectors: bytes) -> Entry:
    """Return the entry of a row. Its checksum is not compared."""
    values = decode_facts(facts)
    vector = np.frombuffer(vectors, FLOAT32)
    regions = None
    if values.regions is not None:
        limit, corners = values.regions
        rows = vector.reshape(values.n_vectors, -1)
        vector = rows[0]
        regions = PhotoRegions(limit, tuple(Box(*edges) for edges in corners), rows[1:])
    # By position: a search makes hundreds of these.
    return Entry(
        photo_id,
        vector,
        product_id,
        values.path,
        values.source,
        values.sha256,
        None if values.box is None else Box(*values.box),
        values.attributes,
        values.stamp,
        regions,
    )


def stored_failure(one: FailedPhoto) -> tuple[PhotoId, str | None, bytes, bytes]:
    """Return a record of failure as a row of its table."""
    facts = encode(_FailedFacts(one.path, one.source, one.reason, one.detail, dict(one.attributes)))
    return one.photo_id, one.product_id, facts, checksum(one.photo_id, one.product_id, facts)
