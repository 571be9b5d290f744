"""Filters as expressions: nothing of a user's text is in them, and the order of values is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.attributes import Value
from shoplens.catalog.filters import (
    And,
    Compare,
    Filter,
    IsNull,
    Not,
    OneOf,
    Operand,
    Or,
    holds,
    kind_of,
)
from shoplens.catalog.milvus.expressions import encoded, encoded_attributes, expression
from shoplens.catalog.milvus.rows import id_of, key_of

WORD = r"and|or|not|exists|in|product|category|kind|attributes|0"
TEXT = r'"(?:[0-9a-f]+|[nbs][0-9a-f]*|[co-t])?"'
EXPRESSION = re.compile(rf"(?:{WORD}|{TEXT}|==|<=|>=|<|>|[()\[\], ])*")

numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, float(2**63), 5e-324]),
)
operands: st.SearchStrategy[Operand] = st.one_of(st.text(), st.booleans(), numbers)
names = st.one_of(
    st.text(min_size=1),
    st.sampled_from(["product_id", "category", "kind", 'x"] == "" or kind == 0 or attributes["']),
)
conditions = st.one_of(
    st.builds(Compare, names, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), operands),
    st.builds(OneOf, names, st.lists(operands, min_size=1, max_size=4).map(tuple)),
    st.builds(IsNull, names),
)
filters: st.SearchStrategy[Filter] = st.recursive(
    conditions,
    lambda parts: st.one_of(
        st.builds(And, st.lists(parts, min_size=2, max_size=4).map(tuple)),
        st.builds(Or, st.lists(parts, min_size=2, max_size=4).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=12,
)


@given(where=filters)
def test_an_expression_holds_nothing_of_the_text(where: Filter) -> None:
    text = expression(where)
    assert EXPRESSION.fullmatch(text)
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        assert depth >= 0
    assert depth == 0


@given(value=operands, other=operands)
def test_texts_are_in_the_order_of_their_values(value: Operand, other: Operand) -> None:
    assert (encoded(value) == encoded(other)) == holds(value, "=", other)
    if kind_of(value) == kind_of(other) != "bool":
        assert (encoded(value) < encoded(other)) == holds(value, "<", other)


@given(value=st.integers(), other=numbers)
def test_integers_of_any_size_can_be_compared_with(value: int, other: float) -> None:
    assert (encoded(value) == encoded(other)) == (value == other)
    assert (encoded(value) > encoded(other)) == (value > other)


@pytest.mark.parametrize("value", [10**400, 2**1024, 10**308 * 17, float("inf")])
def test_what_is_larger_than_all_floats(value: float) -> None:
    assert encoded(value) > encoded(1.7976931348623157e308)
    assert encoded(-value) < encoded(-1.7976931348623157e308)


@given(st.dictionaries(st.text(min_size=1), st.one_of(st.none(), operands), max_size=5))
def test_a_missing_value_is_not_stored(attributes: Mapping[str, Value]) -> None:
    stored = encoded_attributes(attributes)
    assert len(stored) == sum(value is not None for value in attributes.values())


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(min_size=1)))
def test_a_key_gives_its_photo_id_back(photo_id: int | str) -> None:
    assert id_of(key_of(photo_id)) == photo_id
    assert type(id_of(key_of(photo_id))) is type(photo_id)
    assert re.fullmatch(r"i-?[0-9]+|t[0-9a-f]+", key_of(photo_id))
