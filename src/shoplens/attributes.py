"""Attributes of photos: what further columns of a table say (category, brand, price)."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

Value = str | int | float | bool | None
"""An attribute. None means that the table has no value."""

_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*)")
"""Numbers with leading zeros are codes: as numbers, `007` and `7` would be the same."""
_NUMBER = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUTH = {"true": True, "false": False}
_LONGEST_INT64 = 19


class Attributes(Mapping[str, Value]):
    """The attributes of one photo, by the name of their column. Immutable and hashable."""

    __slots__ = ("_positions", "_values")

    def __init__(self, positions: Mapping[str, int] | None = None, values: Sequence[Value] = ()):
        self._positions = positions or {}
        """Where in `values` each column is; all photos of a table share it."""
        self._values = tuple(values)

    def __getitem__(self, name: str) -> Value:
        return self._values[self._positions[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __repr__(self) -> str:
        return f"Attributes({dict(self)})"


NO_ATTRIBUTES = Attributes()


class AttributeColumns:
    """The attributes of many photos, kept by column."""

    def __init__(self, columns: Mapping[str, Iterable[Value]] | None = None, n_rows: int = 0):
        self._columns = {name: list(column) for name, column in (columns or {}).items()}
        self._positions = {name: i for i, name in enumerate(self._columns)}
        self._n_rows = n_rows

    def __getitem__(self, row: int) -> Attributes:
        if not self._columns:
            return NO_ATTRIBUTES
        return Attributes(self._positions, [column[row] for column in self._columns.values()])

    def append(self, attributes: Mapping[str, Value]) -> None:
        """Add a row at the end; a column that it does not have is None."""
        if new := [name for name in attributes if name not in self._columns]:
            self._columns |= {name: [None] * self._n_rows for name in new}
            # Rows handed out before go on with the columns there were.
            self._positions = {name: i for i, name in enumerate(self._columns)}
        for name, column in self._columns.items():
            value = attributes.get(name)
            column.append(sys.intern(value) if isinstance(value, str) else value)
        self._n_rows += 1


def typed_column(texts: Sequence[str]) -> list[Value]:
    """Return the values of a column of text, all of the same type.

    The whole column decides: 64-bit whole numbers are `int`, numbers are `float`, `true` and
    `false` (in upper or lower case) are `bool`, everything else is `str`. An empty text is None.
    Numbers with leading zeros stay text. Equal values are one object.
    """
    different = set(texts) - {""}
    values: dict[str, Value] = {"": None}
    if all(text.lower() in _TRUTH for text in different):
        values |= {text: _TRUTH[text.lower()] for text in different}
    elif all(_WHOLE.fullmatch(text) for text in different):
        fit = all(_fits_int64(text) for text in different)
        values |= {text: int(text) if fit else text for text in different}
    elif all(_is_number(text) for text in different):
        values |= {text: float(text) for text in different}
    else:
        values |= {text: text for text in different}
    return [values[text] for text in texts]


def uniform_column(values: list[Value]) -> list[Value]:
    """Return the values of a column with one type, where the parts of a table have several.

    Whole numbers among numbers become `float`; any other mixture becomes `str`.
    """
    types = {type(value) for value in values} - {type(None)}
    if len(types) < 2:
        return values
    kind = float if types == {int, float} else str
    return [None if value is None else kind(value) for value in values]


def _fits_int64(text: str) -> bool:
    # Python refuses to read thousands of digits.
    return len(text.lstrip("+-")) <= _LONGEST_INT64 and -(2**63) <= int(text) < 2**63


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))
