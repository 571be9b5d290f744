"""Attributes and products of many photos, kept by column, for filters and facets.

A column of whole numbers or of other numbers holds them as they are. Every other column holds, for
each row, the number of its value in a `Dictionary`. So a comparison looks at each different text
once or less, and at the rows only as small numbers. Columns on disk are mapped into memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from shoplens.attributes import Value
from shoplens.catalog.embedded.dictionary import Dictionary, float_range, int_range
from shoplens.catalog.filters import (
    And,
    Compare,
    Filter,
    IsNull,
    Not,
    OneOf,
    Operand,
    Operator,
    Or,
)
from shoplens.errors import CatalogError

Mask = npt.NDArray[np.bool_]
"""(n,) bool: which rows."""
_Array = npt.NDArray[Any]
_PRODUCTS = "product_id"
"""The column of products; no attribute has this name."""
_FILE = "columns.json"
_TYPES = (bool, int, float, str)
"""A bool is an int, too."""


class Columns:
    """The attributes and products of n rows. Immutable.

    Equal values of different types (1, 1.0 and true are equal in Python, not in filters) stay
    apart, except where a dict is keyed by them (`counts`).
    """

    def __init__(self, n_rows: int, columns: Mapping[str, _Column]) -> None:
        self._n_rows = n_rows
        self._columns = columns
        """By name; each has a value in at least one row."""

    @classmethod
    def build(
        cls, product_ids: Sequence[str | None], attributes: Sequence[Mapping[str, Value]]
    ) -> Columns:
        """Keep the products and attributes of n rows.

        Args:
            product_ids: n; None for a row without a product.
            attributes: n. A name that is not there has no value, as one with None.
        """
        # Only what is there: of thousands of names, a row may have few.
        found: dict[str, tuple[list[int], list[Value]]] = {}
        for row, (product_id, values) in enumerate(zip(product_ids, attributes, strict=True)):
            for name, value in (*values.items(), (_PRODUCTS, product_id)):
                if value is not None:
                    rows, column = found.setdefault(name, ([], []))
                    rows.append(row)
                    column.append(value)
        n_rows = len(product_ids)
        return cls(n_rows, {name: _column(n_rows, *given) for name, given in found.items()})

    @classmethod
    def concatenate(cls, parts: Sequence[tuple[Columns, Mask | None]]) -> Columns:
        """Put the rows of several one below the other.

        Args:
            parts: columns, each with the rows to keep (None for all).
        """
        kept = [columns._n_rows if keep is None else int(keep.sum()) for columns, keep in parts]
        joined = {}
        for name in dict.fromkeys(name for columns, _ in parts for name in columns._columns):
            column = _concatenated(
                [
                    _absent(n_rows) if own is None else own if keep is None else own.take(keep)
                    for (columns, keep), n_rows in zip(parts, kept, strict=True)
                    for own in (columns._columns.get(name),)
                ]
            )
            if column.types(None):
                joined[name] = column
        return cls(sum(kept), joined)

    def __len__(self) -> int:
        return self._n_rows

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes that at least one row has a value of."""
        return tuple(name for name in self._columns if name != _PRODUCTS)

    def types(self, mask: Mask | None = None) -> dict[str, frozenset[str]]:
        """Return the types of the values of each attribute: `int`, `float`, `bool`, `str`.

        Args:
            mask: the rows to look at; None for all. Attributes without a value there are left out.
        """
        found = {name: self._columns[name].types(mask) for name in self.names}
        return {name: types for name, types in found.items() if types}

    def mask(self, where: Filter) -> Mask:
        """Return which rows pass a filter (see `shoplens.catalog.filters.matches`)."""
        if isinstance(where, And | Or):
            join = np.logical_and if isinstance(where, And) else np.logical_or
            found = self.mask(where.parts[0])
            for part in where.parts[1:]:
                join(found, self.mask(part), out=found)
            return found
        if isinstance(where, Not):
            return ~self.mask(where.part)
        if isinstance(where, Compare) and where.op == "!=":
            return ~self.mask(Compare(where.name, "=", where.value))
        column = self._columns.get(where.name)
        if column is None:
            return np.full(self._n_rows, isinstance(where, IsNull))
        if isinstance(where, IsNull):
            return ~column.present()
        if isinstance(where, OneOf):
            return column.one_of(where.values)
        return column.compare(where.op, where.value)

    def with_products(self, product_ids: Sequence[str]) -> Mask:
        """Return which rows are of one of some products."""
        return self.mask(OneOf(_PRODUCTS, tuple(product_ids)))

    def products(self, mask: Mask | None = None) -> int:
        """Return of how many different products the rows are (None: all rows)."""
        column = self._columns.get(_PRODUCTS)
        return 0 if column is None else column.n_different(mask)

    def counts(self, name: str, mask: Mask | None = None) -> dict[Value, int]:
        """Count the rows of each value of an attribute.

        Args:
            name: of the attribute; `product_id` counts the rows of each product.
            mask: the rows to count; None for all.

        Returns:
            Counts by value, none of them 0; None counts the rows without a value. A dict cannot
            hold 1, 1.0 and true apart: where an attribute has several of them, they are counted
            together, under the whole number or else the other number.
        """
        n_rows = self._n_rows if mask is None else int(mask.sum())
        counted: dict[Value, int] = {}
        column = self._columns.get(name)
        for value, count in () if column is None else column.counts(mask):
            counted[value] = counted.get(value, 0) + count
        if without := n_rows - sum(counted.values()):
            counted[None] = without
        return counted

    def save(self, folder: Path) -> None:
        """Write all columns into a new folder, as .npy and JSON.

        Raises `OSError` if that fails.
        """
        folder.mkdir()
        files: dict[str, list[str]] = {}
        for number, (name, column) in enumerate(self._columns.items()):
            arrays = {part: array for part, array in column.arrays().items() if len(array)}
            files[name] = list(arrays)
            for part, array in arrays.items():
                np.save(folder / f"{number}-{part}.npy", array, allow_pickle=False)
        written = json.dumps({"n_rows": self._n_rows, "columns": files})
        (folder / _FILE).write_text(written, encoding="ascii")

    @classmethod
    def load(cls, folder: Path) -> Columns:
        """Open what `save` wrote. The columns stay readable when their files are removed.

        Raises `CatalogError` if a file is missing or damaged.
        """
        try:
            written = json.loads((folder / _FILE).read_text(encoding="ascii"))
            n_rows = int(written["n_rows"])
            files = {str(name): list(parts) for name, parts in written["columns"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CatalogError(f"{folder / _FILE} is missing or damaged: {error}") from error
        return cls(
            n_rows,
            {
                name: _stored(folder, number, parts, n_rows)
                for number, (name, parts) in enumerate(files.items())
            },
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Numbers:
    """A column of whole numbers (int64), or one of other numbers (float64)."""

    numbers: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    """(n,); anything where there is no value."""
    has_value: Mask

    def compare(self, op: Operator, value: Operand) -> Mask:
        first, last = self._range(op, value)
        if first > last:
            return np.zeros(len(self.numbers), dtype=np.bool_)
        of_type = self.numbers.dtype.type
        found: Mask = self.has_value.copy()
        if op not in ("<", "<="):
            np.logical_and(found, self.numbers >= of_type(first), out=found)
        if op not in (">", ">="):
            np.logical_and(found, self.numbers <= of_type(last), out=found)
        return found

    def one_of(self, values: tuple[Operand, ...]) -> Mask:
        ranges = [self._range("=", value) for value in values]
        equal = [first for first, last in ranges if first == last]
        found = np.isin(self.numbers, np.array(equal, dtype=self.numbers.dtype))
        return np.logical_and(found, self.has_value, out=found)

    def _range(self, op: Operator, value: Operand) -> tuple[float, float]:
        if isinstance(value, bool | str):
            return 1, 0
        return int_range(op, value) if self._is_whole else float_range(op, value)

    @property
    def _is_whole(self) -> bool:
        return bool(self.numbers.dtype == np.int64)

    def present(self) -> Mask:
        return self.has_value

    def counts(self, mask: Mask | None) -> Iterator[tuple[Value, int]]:
        different, counts = np.unique(self._values(mask), return_counts=True)
        return zip(different.tolist(), counts.tolist(), strict=True)

    def n_different(self, mask: Mask | None) -> int:
        return len(np.unique(self._values(mask)))

    def types(self, mask: Mask | None) -> frozenset[str]:
        present = self.has_value if mask is None else self.has_value & mask
        if not present.any():
            return frozenset()
        return frozenset(("int" if self._is_whole else "float",))

    def take(self, keep: Mask) -> _Numbers:
        return _Numbers(self.numbers[keep], self.has_value[keep])

    def coded(self) -> _Coded:
        different, inverse = np.unique(self._values(None), return_inverse=True)
        codes = np.zeros(len(self.numbers), dtype=np.int64)
        codes[self.has_value] = inverse + 1
        if self._is_whole:
            return _Coded(codes, Dictionary(ints=different))
        return _Coded(codes, Dictionary(floats=different))

    def arrays(self) -> dict[str, _Array]:
        return {"numbers": self.numbers, "has_value": self.has_value}

    def _values(self, mask: Mask | None) -> _Array:
        return self.numbers[self.has_value if mask is None else self.has_value & mask]


@dataclass(frozen=True, slots=True, eq=False)
class _Coded:
    """A column of texts, bools or values of several types."""

    codes: npt.NDArray[Any]
    """(n,) of an unsigned type: 1 + the position of the value; 0 where there is no value."""
    dictionary: Dictionary

    def compare(self, op: Operator, value: Operand) -> Mask:
        return self._in(self.dictionary.spans(op, value))

    def one_of(self, values: tuple[Operand, ...]) -> Mask:
        return self._in([span for value in values for span in self.dictionary.spans("=", value)])

    def _in(self, spans: Sequence[tuple[int, int]]) -> Mask:
        """Return the rows whose value is at a position in one of some half-open ranges."""
        found: Mask
        code = self.codes.dtype.type
        if not spans:
            found = np.zeros(len(self.codes), dtype=np.bool_)
        elif len(spans) > 1:
            passes = np.zeros(len(self.dictionary) + 1, dtype=np.bool_)
            for start, stop in spans:
                passes[start + 1 : stop + 1] = True
            found = passes[self.codes]
        else:
            [(start, stop)] = spans
            if stop - start == 1:
                found = self.codes == code(stop)
            else:
                # Codes below the first become large: they are unsigned.
                found = (self.codes - code(start + 1)) < code(stop - start)
        return found

    def present(self) -> Mask:
        found: Mask = self.codes != 0
        return found

    def counts(self, mask: Mask | None) -> Iterator[tuple[Value, int]]:
        counts = self._counts(mask)
        found = np.flatnonzero(counts)
        return zip(self.dictionary.at(found), counts[found].tolist(), strict=True)

    def n_different(self, mask: Mask | None) -> int:
        return int(np.count_nonzero(self._counts(mask)))

    def types(self, mask: Mask | None) -> frozenset[str]:
        return self.dictionary.types(None if mask is None else self._counts(mask) > 0)

    def take(self, keep: Mask) -> _Coded:
        kept = _Coded(self.codes[keep], self.dictionary)
        used = kept._counts(None) > 0
        places = np.concatenate([[0], np.cumsum(used)])
        return _Coded(places[kept.codes], self.dictionary.part(used))

    def coded(self) -> _Coded:
        return self

    def arrays(self) -> dict[str, _Array]:
        return {"codes": self.codes, **self.dictionary.arrays()}

    def _counts(self, mask: Mask | None) -> npt.NDArray[np.intp]:
        """Return how many rows each value of the dictionary has."""
        codes = self.codes if mask is None else self.codes[mask]
        return np.bincount(codes, minlength=len(self.dictionary) + 1)[1:]


_Column = _Numbers | _Coded


def _stored(folder: Path, number: int, parts: Sequence[str], n_rows: int) -> _Column:
    """Open a column that was saved."""
    arrays = {}
    for part in parts:
        path = folder / f"{number}-{part}.npy"
        try:
            # A view: slices of memory-mapped arrays of NumPy's own type are slow.
            arrays[part] = open_memmap(path, mode="r").view(np.ndarray)
        except (OSError, ValueError) as error:
            raise CatalogError(f"{path} is missing or damaged: {error}") from error
    rows = arrays.get("numbers", arrays.get("codes"))
    if rows is None or len(rows) != n_rows:
        raise CatalogError(f"{folder} is damaged: column {number} has no {n_rows} rows")
    if "numbers" in arrays:
        return _Numbers(rows, arrays["has_value"])
    return _Coded(rows, Dictionary.from_arrays(arrays))


def _column(n_rows: int, rows: Sequence[int], given: Sequence[Value]) -> _Column:
    """Return a column that has values in some rows."""
    values = given if set(map(type, given)) <= set(_TYPES) else [_plain(value) for value in given]
    types = set(map(type, values))
    if types in ({int}, {float}):
        numbers: _Array = np.zeros(n_rows, dtype=np.int64 if types == {int} else np.float64)
        numbers[rows] = np.array(values, dtype=numbers.dtype)
        has_value = np.zeros(n_rows, dtype=np.bool_)
        has_value[rows] = True
        return _Numbers(numbers, has_value)
    dictionary = Dictionary.of(values)
    # The type is part of the key: 1, 1.0 and True are equal.
    codes_of = {(type(value), value): code for code, value in enumerate(dictionary, start=1)}
    codes = np.zeros(n_rows, dtype=_code_type(dictionary))
    codes[rows] = [codes_of[type(value), value] for value in values]
    return _Coded(codes, dictionary)


def _plain(value: Value) -> Value:
    """Return a value of one of the four types, where it is of a type derived from them."""
    for kind in _TYPES:
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"no value of an attribute: {value!r}")


def _concatenated(columns: Sequence[_Column]) -> _Column:
    """Return one column of several, in the form that `_column` gives its values."""
    types = frozenset[str]().union(*(column.types(None) for column in columns))
    coded = [column.coded() for column in columns]
    dictionary = Dictionary.union([column.dictionary for column in coded])
    codes = np.concatenate(
        [
            np.concatenate([[0], dictionary.positions_of(column.dictionary) + 1])[column.codes]
            for column in coded
        ]
    )
    if types not in ({"int"}, {"float"}):
        return _Coded(codes.astype(_code_type(dictionary)), dictionary)
    has_value = codes > 0
    values = dictionary.ints if types == {"int"} else dictionary.floats
    return _Numbers(np.where(has_value, values[codes - 1], values.dtype.type(0)), has_value)


def _absent(n_rows: int) -> _Coded:
    return _Coded(np.zeros(n_rows, dtype=np.uint8), Dictionary())


def _code_type(dictionary: Dictionary) -> npt.DTypeLike:
    return np.min_scalar_type(len(dictionary))
