"""Filters: conditions on the attributes of photos, as `category = "shoes" and price < 50`.

The syntax is in docs/filters.md. A filter is either true or false of a photo: a comparison with a
missing value is false, and `not` inverts that.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeVar, cast

from shoplens.attributes import Value
from shoplens.catalog.filter_tokens import KEYWORDS, NAME, Token, tokens
from shoplens.errors import FilterError

Operator = Literal["=", "!=", "<", "<=", ">", ">="]
Operand = str | int | float | bool
"""What an attribute is compared with."""
RESERVED = frozenset({"product_id", "photo_id"})
"""No attribute may have one of these names."""

# What a filter may hold at most, so that one from the network costs little.
MAX_CHARACTERS = 100_000
MAX_CONDITIONS = 256
MAX_VALUES = 5_000
"""In all lists (`in`) of a filter together."""
MAX_DEPTH = 32
"""Parentheses and `not` inside each other."""


@dataclass(frozen=True, slots=True)
class Compare:
    """An attribute compared with a value."""

    name: str
    op: Operator
    value: Operand
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class OneOf:
    """An attribute that has one of several values."""

    name: str
    values: tuple[Operand, ...]
    """At least one."""
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class IsNull:
    """An attribute without a value."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """All of several conditions."""

    parts: tuple[Filter, ...]
    """At least two."""
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of several conditions."""

    parts: tuple[Filter, ...]
    """At least two."""
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition."""

    part: Filter
    position: int = field(default=0, compare=False)


Filter = Compare | OneOf | IsNull | And | Or | Not
"""Filters are equal when they say the same in the same order, wherever they stand in a text
(`position`, in characters from 0)."""


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Raises `FilterError`; it says at which character what was expected.
    """
    return _Parser(text).filter()


def matches(where: Filter, attributes: Mapping[str, Value], product_id: str | None) -> bool:
    """Say whether a photo passes a filter.

    Args:
        where: the filter.
        attributes: of the photo. An attribute that is not there has no value.
        product_id: of the photo; its value for the name `product_id`.
    """
    if isinstance(where, And):
        return all(matches(part, attributes, product_id) for part in where.parts)
    if isinstance(where, Or):
        return any(matches(part, attributes, product_id) for part in where.parts)
    if isinstance(where, Not):
        return not matches(where.part, attributes, product_id)
    value = product_id if where.name == "product_id" else attributes.get(where.name)
    if isinstance(where, IsNull):
        return value is None
    if isinstance(where, OneOf):
        return any(holds(value, "=", each) for each in where.values)
    return holds(value, where.op, where.value)


def holds(value: Value, op: Operator, other: Operand) -> bool:
    """Say whether a comparison is true of the value of an attribute.

    Numbers are compared by value and exactly, texts by code point. A bool equals only a bool and
    has no order. Values of different kinds, and a missing value, are unequal and have no order.
    """
    if op == "!=":
        return not holds(value, "=", other)
    kind = kind_of(value)
    if kind != kind_of(other) or (kind == "bool" and op != "="):
        return False
    return _COMPARISONS[op](value, other)


def kind_of(value: Value) -> Literal["number", "bool", "str"] | None:
    """Return the kind of a value; only values of one kind can be equal. None for a missing one."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "bool"
    return "str" if isinstance(value, str) else "number"


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def names_in(where: Filter) -> frozenset[str]:
    """Return the names of the attributes that a filter looks at."""
    if isinstance(where, And | Or):
        return frozenset().union(*(names_in(part) for part in where.parts))
    return names_in(where.part) if isinstance(where, Not) else frozenset((where.name,))


def to_text(where: Filter) -> str:
    """Write a filter so that `parse_filter` reads the same one."""
    if isinstance(where, And):
        return " and ".join(_inside(part, And, Or) for part in where.parts)
    if isinstance(where, Or):
        return " or ".join(_inside(part, Or) for part in where.parts)
    if isinstance(where, Not):
        part = where.part
        if isinstance(part, OneOf):
            return f"{_name_text(part.name)} not in {_list_text(part.values)}"
        if isinstance(part, IsNull):
            return f"{_name_text(part.name)} is not null"
        return f"not {_inside(part, And, Or)}"
    name = _name_text(where.name)
    if isinstance(where, IsNull):
        return f"{name} is null"
    if isinstance(where, OneOf):
        return f"{name} in {_list_text(where.values)}"
    return f"{name} {where.op} {_value_text(where.value)}"


def _inside(part: Filter, *in_parentheses: type[Filter]) -> str:
    return f"({to_text(part)})" if isinstance(part, in_parentheses) else to_text(part)


def _name_text(name: str) -> str:
    if NAME.fullmatch(name) and name.lower() not in KEYWORDS:
        return name
    return "`{}`".format(name.replace("`", "``"))


def _list_text(values: tuple[Operand, ...]) -> str:
    return f"({', '.join(map(_value_text, values))})"


def _value_text(value: Operand) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"{}"'.format(value.replace('"', '""'))
    return repr(value)


_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_Several = TypeVar("_Several", And, Or)


class _Parser:
    """Reads a filter by recursive descent. A method reads what it is named after.

    ::

        any        = all ("or" all)*
        all        = one ("and" one)*
        one        = "not" one | "(" any ")" | condition
        condition  = name operator value | name ["not"] "in" list | name "is" ["not"] "null"
        list       = "(" value ("," value)* ")"
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARACTERS:
            raise FilterError(
                text[:MAX_CHARACTERS],
                MAX_CHARACTERS,
                f"a filter has at most {MAX_CHARACTERS:,} characters; this one has {len(text):,}",
            )
        self._text = text
        self._tokens = tokens(text)
        self._token = next(self._tokens)
        self._n_conditions = 0
        self._n_values = 0

    def filter(self) -> Filter:
        if self._at_end():
            self._fail('expected a condition, as price < 50 or category = "shoes"')
        found = self._any(depth=0)
        if self._token.source == ")":
            self._fail("no ( belongs to this )")
        if not self._at_end():
            self._fail_behind_condition()
        return found

    def _any(self, depth: int) -> Filter:
        position = self._token.position
        parts = [self._all(depth)]
        while self._take("or"):
            parts.append(self._all(depth))
        return _joined(Or, parts, position)

    def _all(self, depth: int) -> Filter:
        position = self._token.position
        parts = [self._one(depth)]
        while self._take("and"):
            parts.append(self._one(depth))
        return _joined(And, parts, position)

    def _one(self, depth: int) -> Filter:
        token = self._token
        if depth == MAX_DEPTH and token.kind in ("keyword", "sign") and token.value in ("not", "("):
            self._fail(f"a filter has at most {MAX_DEPTH} parentheses and nots inside each other")
        if self._take("not"):
            return Not(self._one(depth + 1), token.position)
        if not self._take("("):
            return self._condition()
        found = self._any(depth + 1)
        if not self._take(")"):
            if self._at_end():
                self._fail("this ( is not closed", token)
            self._fail_behind_condition()
        return found

    def _condition(self) -> Filter:
        if self._n_conditions == MAX_CONDITIONS:
            self._fail(
                f"a filter has at most {MAX_CONDITIONS} conditions; for many values of one "
                "attribute, write: name in (value, value)"
            )
        self._n_conditions += 1
        token = self._token
        name = self._name()
        if self._take("in"):
            return OneOf(name, self._list(name), token.position)
        if self._take("is"):
            return self._null(name, token)
        if self._take("not"):
            if not self._take("in"):
                self._fail("expected in: name not in (value, value)")
            return Not(OneOf(name, self._list(name), token.position), token.position)
        operator = self._token
        if operator.kind != "sign" or operator.value not in _OPERATORS:
            self._fail_behind_name(token)
        self._advance()
        if self._token.value == "null" and self._token.kind == "keyword":
            negated = " not" if operator.value == "!=" else ""
            self._fail(f"write: {_name_text(name)} is{negated} null", operator)
        value = self._value(name)
        return Compare(name, cast(Operator, operator.value), value, token.position)

    def _name(self) -> str:
        token = self._token
        if token.kind == "keyword":
            self._fail(
                f"expected the name of an attribute; one named {token} needs backticks: `{token}`"
            )
        if token.kind == "value":
            self._fail(
                "expected the name of an attribute; it is written without quotes, before the value"
            )
        if token.kind != "name":
            self._fail("expected the name of an attribute")
        name = str(token.value)
        if name == "photo_id":
            self._fail("a filter cannot look at photo_id; give the ids themselves")
        self._advance()
        return name

    def _null(self, name: str, start: Token) -> Filter:
        negated = self._take("not")
        if not self._take("null"):
            if self._token.kind == "value" or self._token.source.lower() in ("true", "false"):
                equal = "!=" if negated else "="
                self._fail(
                    f"expected null; to compare, write: {_name_text(name)} {equal} {self._token}"
                )
            self._fail("expected null" if negated else "expected null or not null")
        found = IsNull(name, start.position)
        return Not(found, start.position) if negated else found

    def _list(self, name: str) -> tuple[Operand, ...]:
        opening = self._token
        if not self._take("("):
            self._fail("expected a list in parentheses: (value, value)")
        values = []
        while True:
            if self._n_values == MAX_VALUES:
                self._fail(f"a filter has at most {MAX_VALUES:,} values in its lists")
            self._n_values += 1
            if self._token.kind == "keyword" and self._token.value == "null":
                self._fail(f"null cannot be in a list; write: {_name_text(name)} is null")
            values.append(self._value(name))
            if self._take(")"):
                return tuple(values)
            if not self._take(","):
                if self._at_end():
                    self._fail("this ( is not closed", opening)
                self._fail("expected , or ) in a list")

    def _value(self, name: str) -> Operand:
        token = self._token
        value: Operand
        if token.kind == "keyword" and token.value in ("true", "false"):
            value = token.value == "true"
        elif token.kind == "value":
            value = token.value
        elif token.kind == "name":
            self._fail("expected a value; put texts in quotes: " + _value_text(str(token.value)))
        else:
            self._fail("expected a value: a text in quotes, a number, true or false")
        if name == "product_id" and not isinstance(value, str):
            self._fail(f'the id of a product is a text; put it in quotes: "{token}"')
        self._advance()
        return value

    def _at_end(self) -> bool:
        return self._token.kind == "end"

    def _take(self, word: str) -> bool:
        """Go on behind a keyword or a sign, if it is next."""
        if self._token.kind not in ("keyword", "sign") or self._token.value != word:
            return False
        self._advance()
        return True

    def _advance(self) -> None:
        self._token = next(self._tokens)

    def _fail_behind_name(self, name: Token) -> NoReturn:
        word = self._token.source.lower()
        if self._token.kind == "name" and word == "between":
            self._fail(f"write a range as: {name} >= 1 and {name} <= 5")
        self._fail(
            f"expected =, !=, <, <=, >, >=, in, not in or is after the name {name}; a name with "
            "other characters is put in backticks, and a text in quotes"
            if self._token.kind in ("name", "value")
            else f"expected =, !=, <, <=, >, >=, in, not in or is after the name {name}"
        )

    def _fail_behind_condition(self) -> NoReturn:
        if self._token.kind == "sign" and self._token.value in _OPERATORS:
            self._fail('expected "and" or "or"; write a range as: price > 10 and price < 50')
        self._fail('expected "and" or "or"')

    def _fail(self, problem: str, token: Token | None = None) -> NoReturn:
        raise FilterError(self._text, (token or self._token).position, problem)


def _joined(kind: type[_Several], parts: list[Filter], position: int) -> Filter:
    return parts[0] if len(parts) == 1 else kind(tuple(parts), position)
