"""The columns of a catalogue in a Parquet file.

The first seven are those of every vector file of shoplens. An attribute is a column of its own name
and type, so that other tools find `category` or `price` where they look for them. Where a name is
taken by another column, or one attribute has values of several types, the column's name begins with
a prefix that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoplens.arrow import arrow
from shoplens.vectors.region_columns import REGION_COLUMNS, region_types

VECTOR_COLUMNS = ("photo_id", "product_id", "path", "sha256", "domain", "vector", "failure")
CATALOG_COLUMNS = ("detail", "source", "box", "stamp", "null_attributes", *REGION_COLUMNS)
"""`detail` is the sentence about a failure. `box` holds x0, y0, x1 and y1, null for the whole
photo. `null_attributes` names the attributes that a photo has, but without a value."""
DOMAIN = "seller"
"""All photos of a catalogue are sellers' photos."""
_TAKEN = "attribute:"
"""Before the name of an attribute that another column has."""
_MIXED = "json:"
"""Before the name of an attribute whose values have several types: then each is a JSON text."""
_RESERVED = frozenset({*VECTOR_COLUMNS, *CATALOG_COLUMNS})


def fixed_fields(dimension: int) -> list[tuple[str, Any]]:
    """Return the columns that every catalogue has, with their types."""
    pyarrow = arrow()
    text = pyarrow.string()
    types = dict.fromkeys((*VECTOR_COLUMNS, *CATALOG_COLUMNS), text)
    # Failed photos have zeros: many versions of pyarrow cannot write null fixed-size lists.
    types["vector"] = pyarrow.list_(pyarrow.float32(), dimension)
    types["box"] = pyarrow.list_(pyarrow.float64())
    types["null_attributes"] = pyarrow.list_(text)
    return list({**types, **region_types()}.items())


@dataclass(frozen=True, slots=True)
class AttributeColumn:
    """The column of an attribute."""

    attribute: str
    name: str
    kind: Any
    """Its type in Arrow."""
    mixed: bool
    """Whether its values are JSON."""


def attribute_columns(kinds: Mapping[str, set[type]]) -> list[AttributeColumn]:
    """Return the columns of attributes.

    Args:
        kinds: for each attribute, the types of its values.
    """
    pyarrow = arrow()
    types = {
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
        str: pyarrow.string(),
    }
    columns = []
    for attribute, found in sorted(kinds.items()):
        taken = attribute in _RESERVED or attribute.startswith((_TAKEN, _MIXED))
        name = _TAKEN + attribute if taken else attribute
        mixed = len(found) > 1
        columns.append(
            AttributeColumn(
                attribute,
                _MIXED + name if mixed else name,
                pyarrow.string() if mixed else types[next(iter(found))],
                mixed,
            )
        )
    return columns


def attribute_of(column: str) -> tuple[str, bool] | None:
    """Return the attribute that a column holds, and whether as JSON; None for the columns of
    photos."""
    if column in _RESERVED:
        return None
    name = column.removeprefix(_MIXED)
    return name.removeprefix(_TAKEN), name != column
