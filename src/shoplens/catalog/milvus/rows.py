"""Entries and failures as rows of a collection, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from shoplens.attributes import Value
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId
from shoplens.catalog.milvus.expressions import (
    encoded_attributes,
    encoded_or_empty,
    hexadecimal,
)
from shoplens.catalog.milvus.region_rows import region_rows, regions_of, regions_text
from shoplens.catalog.milvus.schema import (
    ATTRIBUTES,
    CATEGORY,
    CHECKSUM,
    ENTRY,
    FACTS,
    FAILED,
    KIND,
    LONGEST_KEY,
    LONGEST_TEXT,
    MARK,
    PHOTO,
    PRODUCT,
    REGIONS,
    SEQUENCE,
    VECTOR,
)
from shoplens.errors import CatalogError, EntryError
from shoplens.records import Box, Vector

Row = dict[str, Any]
ENTRY_FIELDS = [PHOTO, SEQUENCE, VECTOR, FACTS, CHECKSUM]
"""What `entry_of` needs, and `REGIONS` where there is such a field."""
FAILURE_FIELDS = [PHOTO, FACTS, CHECKSUM]
"""What `failure_of` needs."""


class _Facts(msgspec.Struct):
    photo_id: int | str
    product_id: str | None
    path: str
    source: str
    sha256: str | None
    box: tuple[float, float, float, float] | None
    attributes: dict[str, Value]
    stamp: str


class _FailedFacts(msgspec.Struct):
    photo_id: int | str
    product_id: str | None
    path: str
    source: str
    reason: str
    detail: str
    attributes: dict[str, Value]


_encode = msgspec.json.Encoder().encode
_decode_facts = msgspec.json.Decoder(_Facts).decode
_decode_failed = msgspec.json.Decoder(_FailedFacts).decode


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry, and its place in the order in which entries were put in."""

    sequence: int
    entry: Entry


def key_of(photo_id: PhotoId) -> str:
    """Return the primary key of a photo: its number, or its text in hexadecimal."""
    if isinstance(photo_id, bool) or not isinstance(photo_id, int | str):
        raise CatalogError(f"a photo id is a whole number or a text, not {photo_id!r}")
    return f"i{photo_id}" if isinstance(photo_id, int) else f"t{hexadecimal(photo_id)}"


def id_of(key: str) -> PhotoId:
    """Return the photo id of a primary key."""
    if key.startswith("i"):
        return int(key[1:])
    return bytes.fromhex(key[1:]).decode("utf-8", "surrogatepass")


def row_of(entry: Entry, sequence: int, uri: str) -> Row:
    """Return the row of an entry.

    Raises `EntryError` if a text of it is longer than a server can hold; `uri` begins its
    message.
    """
    box = entry.box
    facts = _Facts(
        entry.photo_id,
        entry.product_id,
        entry.path,
        entry.source,
        entry.sha256,
        None if box is None else (box.x0, box.y0, box.x1, box.y1),
        dict(entry.attributes),
        entry.stamp,
    )
    return _checked(ENTRY, facts, entry.vector, sequence, uri, regions_text(entry.regions))


def rows_of(entry: Entry, sequence: int, uri: str) -> list[Row]:
    """Return the rows of an entry, and of its regions.

    Those of its regions come first: when the photo is acknowledged, they are there.

    Raises `EntryError` as `row_of` does.
    """
    row = row_of(entry, sequence, uri)
    return [*region_rows(entry, row), row]


def row_of_failure(failed: FailedPhoto, dimension: int, uri: str) -> Row:
    """Return the row of a photo that could not be embedded, with a vector of zeros.

    Raises `EntryError` as `row_of` does.
    """
    facts = _FailedFacts(
        failed.photo_id,
        failed.product_id,
        failed.path,
        failed.source,
        failed.reason,
        failed.detail,
        dict(failed.attributes),
    )
    return _checked(FAILED, facts, np.zeros(dimension, np.float32), 0, uri)


def mark_row(dimension: int) -> Row:
    """Return the row that stands for no photo (see `collection.Collection.delete`)."""
    return {
        PHOTO: "mark",
        KIND: MARK,
        SEQUENCE: 0,
        VECTOR: np.zeros(dimension, np.float32),
        PRODUCT: "",
        CATEGORY: "",
        ATTRIBUTES: {},
        FACTS: "",
        CHECKSUM: "",
        REGIONS: "",
    }


def entry_of(row: Mapping[str, Any], uri: str) -> Placed:
    """Return the entry of a row.

    Raises `CatalogError` if it is damaged; `uri` begins its message.
    """
    vector = vector_of(row)
    facts = _decode_facts(_sound(row, vector, uri))
    entry = Entry(
        photo_id=facts.photo_id,
        vector=vector,
        product_id=facts.product_id,
        path=facts.path,
        source=facts.source,
        sha256=facts.sha256,
        box=None if facts.box is None else Box(*facts.box),
        attributes=facts.attributes,
        stamp=facts.stamp,
        regions=regions_of(row.get(REGIONS, ""), len(vector)),
    )
    return Placed(int(row[SEQUENCE]), entry)


def failure_of(row: Mapping[str, Any], dimension: int, uri: str) -> FailedPhoto:
    """Return the failure of a row.

    Raises `CatalogError` if it is damaged; `uri` begins its message.
    """
    facts = _decode_failed(_sound(row, np.zeros(dimension, np.float32), uri))
    return FailedPhoto(
        facts.photo_id,
        facts.path,
        facts.source,
        facts.reason,
        facts.detail,
        facts.product_id,
        facts.attributes,
    )


def attributes_of(row: Mapping[str, Any]) -> tuple[str | None, dict[str, Value]]:
    """Return product id and attributes from the facts of an entry's row."""
    facts = _decode_facts(row[FACTS])
    return facts.product_id, facts.attributes


def derived_of(facts: str) -> Row:
    """Return the columns that repeat something of the facts."""
    known = msgspec.json.decode(facts)
    attributes: dict[str, Value] = known["attributes"]
    return {
        PHOTO: key_of(known["photo_id"]),
        PRODUCT: encoded_or_empty(known["product_id"]),
        CATEGORY: encoded_or_empty(attributes.get("category")),
        ATTRIBUTES: encoded_attributes(attributes),
    }


def vector_of(row: Mapping[str, Any]) -> Vector:
    """Return the vector of a row, (d,) float32."""
    return np.asarray(row[VECTOR], dtype=np.float32)


def checksum(facts: str, vector: npt.NDArray[np.float32], regions: str) -> str:
    """Return the checksum of what is known of a photo, of its vector and of its regions."""
    digest = xxhash.xxh3_128(facts.encode())
    # No text in JSON holds this byte.
    digest.update(b"\0")
    digest.update(vector.astype("<f4", copy=False).tobytes())
    digest.update(regions.encode())
    return digest.hexdigest()


def _checked(
    kind: int,
    facts: _Facts | _FailedFacts,
    vector: Vector,
    sequence: int,
    uri: str,
    regions: str = "",
) -> Row:
    where = f"{uri}: photo {facts.photo_id!r}"
    text = _encode(facts).decode()
    row = {
        KIND: kind,
        SEQUENCE: sequence,
        VECTOR: vector,
        FACTS: text,
        CHECKSUM: checksum(text, vector, regions),
        REGIONS: regions,
        **derived_of(text),
    }
    for field, name in ((PHOTO, "id"), (PRODUCT, "product id"), (CATEGORY, "category")):
        if len(row[field]) > LONGEST_KEY:
            raise EntryError(f"{where}: its {name} is longer than 4,096 bytes")
    for size, name in (
        (len(text.encode()), "facts, attributes included, take"),
        (len(_encode(row[ATTRIBUTES])), "attributes take, as they are stored for filters,"),
        (len(regions), "regions take"),
    ):
        if size > LONGEST_TEXT:
            raise EntryError(
                f"{where}: its {name} {size:,} bytes; a Milvus server holds {LONGEST_TEXT:,}"
            )
    return row


def _sound(row: Mapping[str, Any], vector: Vector, uri: str) -> str:
    """Return the facts of a row, if they are what was stored."""
    facts: str = row[FACTS]
    if checksum(facts, vector, row.get(REGIONS, "")) != row[CHECKSUM]:
        raise CatalogError(
            f"{uri}: photo {id_of(row[PHOTO])!r} is damaged: what is stored does not match its "
            f"checksum. `shoplens catalog verify {uri}` lists all that is; index such photos again"
        )
    return facts
