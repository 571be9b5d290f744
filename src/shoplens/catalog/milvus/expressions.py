"""Filters in the language of a Milvus server.

Attributes are stored a second time, as texts that can be compared: a letter for the kind, and then
hexadecimal digits whose order is that of the values. So every comparison is one of texts, and its
answer does not depend on how a server reads numbers in JSON. Integers of 64 bits and floats are
compared exactly. Nothing that a user wrote is ever part of an expression except as such digits.

A missing value is not stored. Servers disagree on whether comparisons with it are false or unknown,
so each comparison also asks whether the value exists.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence

from shoplens.attributes import Value
from shoplens.catalog.filters import And, Compare, Filter, IsNull, Not, OneOf, Operand, Or, kind_of
from shoplens.catalog.milvus.schema import (
    ATTRIBUTES,
    CATEGORY,
    ENTRY,
    FAILED,
    KIND,
    PHOTO,
    PRODUCT,
    REGION,
    SEQUENCE,
)

ENTRIES = f"{KIND} == {ENTRY}"
FAILURES = f"{KIND} == {FAILED}"
PHOTOS = f"{KIND} in [{ENTRY}, {FAILED}]"
REGION_ROWS = f"{KIND} == {REGION}"
SEARCHED = f"{KIND} in [{ENTRY}, {REGION}]"
"""Entries, and the rows by which their regions are found."""

_LETTERS = {"bool": "b", "number": "n", "str": "s"}
_COLUMNS = {"product_id": PRODUCT, "category": CATEGORY}
"""What is a column of its own, where a missing value is an empty text."""
_NOTHING = f"({KIND} < 0)"
_OPERATORS = {"<": "<", "<=": "<=", ">": ">", ">=": ">="}


def encoded(value: Operand) -> str:
    """Return a value as a text. Texts of one kind have the order of their values."""
    kind = kind_of(value)
    if isinstance(value, bool):
        digits = "1" if value else "0"
    elif isinstance(value, str):
        digits = hexadecimal(value)
    else:
        digits = _number(value)
    return _LETTERS[str(kind)] + digits


def encoded_attributes(attributes: Mapping[str, Value]) -> dict[str, str]:
    """Return attributes as they are stored for filters."""
    return {
        hexadecimal(name): encoded(value) for name, value in attributes.items() if value is not None
    }


def encoded_or_empty(value: Value) -> str:
    """Return a value as a text, and a missing one as an empty text."""
    return "" if value is None else encoded(value)


def hexadecimal(text: str) -> str:
    """Return the UTF-8 bytes of a text in hexadecimal: in the order of its code points."""
    return text.encode("utf-8", "surrogatepass").hex()


def passing(where: Filter | None, rows: str = ENTRIES) -> str:
    """Return the expression for entries that pass a filter, or for other rows."""
    return rows if where is None else _joined("and", [f"({rows})", expression(where)])


def passing_of(where: Filter | None, product_ids: Iterable[str]) -> str:
    """Return the expression for entries of some products that pass a filter."""
    products = f"({PRODUCT} in {_list(map(encoded, product_ids))})"
    return _joined("and", [f"({passing(where)})", products])


def between(where: Filter | None, after: int, last: int) -> str:
    """Return the expression for entries that pass a filter and came in after one, up to another."""
    return f"({passing(where)}) and ({SEQUENCE} > {after}) and ({SEQUENCE} <= {last})"


def keys_expression(keys: Sequence[str]) -> str:
    """Return the expression for rows with these primary keys."""
    return f"{PHOTO} in {_list(keys)}"


def expression(where: Filter) -> str:
    """Return the expression for photos that pass a filter."""
    if isinstance(where, And):
        return _joined("and", [expression(part) for part in where.parts])
    if isinstance(where, Or):
        return _joined("or", [expression(part) for part in where.parts])
    if isinstance(where, Not):
        return f"(not {expression(where.part)})"
    column = _COLUMNS.get(where.name)
    operand = column or f'{ATTRIBUTES}["{hexadecimal(where.name)}"]'
    missing = f'({operand} == "")' if column else f"(not (exists {operand}))"
    if isinstance(where, IsNull):
        return missing
    if isinstance(where, OneOf):
        condition = f"({operand} in {_list(map(encoded, where.values))})"
    elif where.op == "!=":
        return f"(not {expression(Compare(where.name, '=', where.value))})"
    elif where.op == "=":
        condition = f'({operand} == "{encoded(where.value)}")'
    elif isinstance(where.value, bool):
        return _NOTHING
    else:
        condition = _ordered(operand, where)
    return condition if column else f"((exists {operand}) and {condition})"


def _ordered(operand: str, where: Compare) -> str:
    """Return the expression for values of the same kind on one side of a value."""
    value = encoded(where.value)
    side = f'({operand} {_OPERATORS[where.op]} "{value}")'
    first, behind = value[0], chr(ord(value[0]) + 1)
    same_kind = (
        f'({operand} >= "{first}")' if where.op.startswith("<") else f'({operand} < "{behind}")'
    )
    return f"({side} and {same_kind})"


def _joined(word: str, parts: Sequence[str]) -> str:
    """Join parts as a balanced tree: servers limit the depth of an expression."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_joined(word, parts[:middle])} {word} {_joined(word, parts[middle:])})"


def _list(texts: Iterable[str]) -> str:
    quoted = [f'"{text}"' for text in texts]
    return f"[{', '.join(quoted)}]"


def _number(value: int | float) -> str:
    """Return digits in the order of numbers: the next lower float, and how far above it."""
    above = 0
    try:
        below = float(value)
    except OverflowError:
        # No stored number is as large.
        below = math.inf if value > 0 else -math.inf
    if isinstance(value, int) and math.isfinite(below):
        if below > value:
            below = math.nextafter(below, -math.inf)
        # Stored integers have 64 bits, so they are less than 2^11 above a float.
        above = min(value - int(below), 0xFFFF) if math.isfinite(below) else 0xFFFF
    # Adding 0 makes 0.0 of -0.0.
    (bits,) = struct.unpack(">Q", struct.pack(">d", below + 0.0))
    ordered = bits ^ (2**64 - 1 if bits >> 63 else 2**63)
    return f"{ordered:016x}{above:04x}"
