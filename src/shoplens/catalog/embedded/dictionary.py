"""The different values of a column, in order, so that a comparison is a range of positions."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from shoplens.attributes import Value
from shoplens.catalog.filters import Operand, Operator, kind_of

Array = npt.NDArray[Any]
_INT64 = (-(2**63), 2**63 - 1)


_NO_INTS: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
_NO_FLOATS: npt.NDArray[np.float64] = np.empty(0, dtype=np.float64)
_NO_BOOLS: npt.NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
_NO_BYTES: npt.NDArray[np.uint8] = np.empty(0, dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Different texts in the order of their code points, kept as UTF-8."""

    data: npt.NDArray[np.uint8] = field(default_factory=lambda: _NO_BYTES)
    """The bytes of all texts, one after another."""
    ends: npt.NDArray[np.int64] = field(default_factory=lambda: _NO_INTS)
    """(n,) int64: where each text ends in `data`."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Keep texts; they are sorted, and repeated ones are dropped."""
        # "surrogatepass": a text may hold what is no character; its order stays that of Python.
        encoded = [text.encode(errors="surrogatepass") for text in sorted(set(texts))]
        return cls(
            np.frombuffer(b"".join(encoded), dtype=np.uint8),
            np.cumsum([len(each) for each in encoded], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, position: int) -> str:
        start = int(self.ends[position - 1]) if position else 0
        data = self.data[start : int(self.ends[position])].tobytes()
        return data.decode(errors="surrogatepass")

    def __iter__(self) -> Iterator[str]:
        data, start = self.data.tobytes(), 0
        for end in self.ends.tolist():
            yield data[start:end].decode(errors="surrogatepass")
            start = end


@dataclass(frozen=True, slots=True, eq=False)
class Dictionary:
    """Different values: whole numbers, then other numbers, bools and texts, each in order.

    The number 1 and the number 1.0 are two values, and equal.
    """

    ints: npt.NDArray[np.int64] = field(default_factory=lambda: _NO_INTS)
    floats: npt.NDArray[np.float64] = field(default_factory=lambda: _NO_FLOATS)
    bools: npt.NDArray[np.bool_] = field(default_factory=lambda: _NO_BOOLS)
    texts: Texts = field(default_factory=Texts)

    @classmethod
    def of(cls, values: Iterable[Value]) -> Dictionary:
        """Keep the different ones of some values; None is passed over."""
        by_type: dict[type, set[Any]] = {int: set(), float: set(), bool: set(), str: set()}
        for value in values:
            if value is not None:
                by_type[type(value)].add(value)
        return cls(
            np.array(sorted(by_type[int]), dtype=np.int64),
            np.array(sorted(by_type[float]), dtype=np.float64),
            np.array(sorted(by_type[bool]), dtype=np.bool_),
            Texts.of(by_type[str]),
        )

    @classmethod
    def union(cls, dictionaries: Sequence[Dictionary]) -> Dictionary:
        """Keep the values of several."""
        return cls(
            np.unique(np.concatenate([each.ints for each in dictionaries])),
            np.unique(np.concatenate([each.floats for each in dictionaries])),
            np.unique(np.concatenate([each.bools for each in dictionaries])),
            Texts.of(text for each in dictionaries for text in each.texts),
        )

    def __len__(self) -> int:
        return len(self.ints) + len(self.floats) + len(self.bools) + len(self.texts)

    def __iter__(self) -> Iterator[Value]:
        return self.at(np.arange(len(self)))

    def at(self, positions: npt.NDArray[np.intp]) -> Iterator[Value]:
        """Yield the values at some positions, which are in order."""
        for start, values in zip(self._starts(), self._kinds(), strict=True):
            first, last = np.searchsorted(positions, [start, start + len(values)])
            own = positions[first:last] - start
            if isinstance(values, Texts):
                yield from (values[position] for position in own.tolist())
            else:
                yield from values[own].tolist()

    def part(self, used: npt.NDArray[np.bool_]) -> Dictionary:
        """Return a dictionary of only those values where `used`, (n,) bool, is true."""
        if used.all():
            return self
        ints, floats, bools, texts = np.split(used, self._starts()[1:])
        return Dictionary(
            self.ints[ints],
            self.floats[floats],
            self.bools[bools],
            Texts.of(self.texts[position] for position in np.flatnonzero(texts).tolist()),
        )

    def positions_of(self, other: Dictionary) -> npt.NDArray[np.intp]:
        """Return where each value of another dictionary, all of which are here, is in this one."""
        ints, floats, bools, texts = self._starts()
        of_text = {text: position for position, text in enumerate(self.texts)}
        return np.concatenate(
            [
                ints + np.searchsorted(self.ints, other.ints),
                floats + np.searchsorted(self.floats, other.floats),
                bools + np.searchsorted(self.bools, other.bools),
                np.array([texts + of_text[text] for text in other.texts], dtype=np.intp),
            ]
        )

    def types(self, used: npt.NDArray[np.bool_] | None = None) -> frozenset[str]:
        """Return the names of the types of the values, or of those where `used`, (n,) bool, is
        true."""
        names = ("int", "float", "bool", "str")
        everything = np.ones(len(self), dtype=np.bool_) if used is None else used
        parts = np.split(everything, self._starts()[1:])
        return frozenset(name for name, part in zip(names, parts, strict=True) if part.any())

    def spans(self, op: Operator, value: Operand) -> list[tuple[int, int]]:
        """Return the positions of which a comparison is true, as half-open ranges, in order.

        `op` is not `!=`.
        """
        ints, floats, bools, texts = self._starts()
        kind = kind_of(value)
        if kind == "number":
            number = cast("int | float", value)
            found = [
                _between(self.ints, int_range(op, number), ints),
                _between(self.floats, float_range(op, number), floats),
            ]
        elif kind == "bool":
            equal = np.flatnonzero(self.bools == value) if op == "=" else ()
            found = [(bools + int(position), bools + int(position) + 1) for position in equal]
        else:
            text = cast(str, value)
            left, right = bisect_left(self.texts, text), bisect_right(self.texts, text)
            first = {"=": left, ">": right, ">=": left}.get(op, 0)
            last = {"=": right, "<": left, "<=": right}.get(op, len(self.texts))
            found = [(texts + first, texts + last)]
        return [(start, stop) for start, stop in found if start < stop]

    def arrays(self) -> dict[str, Array]:
        """Return all arrays by their names; `from_arrays` makes the dictionary of them."""
        return {
            "ints": self.ints,
            "floats": self.floats,
            "bools": self.bools,
            "texts": self.texts.data,
            "ends": self.texts.ends,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Dictionary:
        """Return the dictionary of some arrays; one that is not there is empty."""
        texts = {"data": arrays.get("texts"), "ends": arrays.get("ends")}
        kinds = {name: arrays[name] for name in ("ints", "floats", "bools") if name in arrays}
        given = {name: array for name, array in texts.items() if array is not None}
        return cls(**kinds, texts=Texts(**given))

    def _kinds(self) -> tuple[Array | Texts, ...]:
        return self.ints, self.floats, self.bools, self.texts

    def _starts(self) -> tuple[int, int, int, int]:
        floats = len(self.ints)
        bools = floats + len(self.floats)
        return 0, floats, bools, bools + len(self.bools)


def int_range(op: Operator, number: int | float) -> tuple[int, int]:
    """Return the least and the largest int64 of which a comparison with a number is true.

    The first is larger than the last where it is true of none. `op` is not `!=`.
    """
    least, largest = _INT64
    below, above = math.floor(number), math.ceil(number)
    first = {"=": above, ">": below + 1, ">=": above}.get(op, least)
    last = {"=": below, "<": above - 1, "<=": below}.get(op, largest)
    if first > largest or last < least:
        return largest, least
    return max(first, least), min(last, largest)


def float_range(op: Operator, number: int | float) -> tuple[float, float]:
    """Return the least and the largest float of which a comparison with a number is true.

    The first is larger than the last where it is true of none. `op` is not `!=`.
    """
    below = above = float(number)
    # Not every whole number is a float. Python compares the two exactly.
    if below > number:
        below = math.nextafter(below, -math.inf)
    elif above < number:
        above = math.nextafter(above, math.inf)
    first = {"=": above, ">": math.nextafter(below, math.inf), ">=": above}.get(op, -math.inf)
    last = {"=": below, "<": math.nextafter(above, -math.inf), "<=": below}.get(op, math.inf)
    return first, last


def _between(values: Array, ends: tuple[float, float], start: int) -> tuple[int, int]:
    first, last = ends
    if first > last:
        return start, start
    return (
        start + int(np.searchsorted(values, values.dtype.type(first), "left")),
        start + int(np.searchsorted(values, values.dtype.type(last), "right")),
    )
