from __future__ import annotations

import pickle
import re
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from shoplens.attributes import Value
from shoplens.catalog.filters import (
    MAX_CHARACTERS,
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_VALUES,
    And,
    Compare,
    Filter,
    IsNull,
    Not,
    OneOf,
    Or,
    matches,
    names_in,
    parse_filter,
    to_text,
)
from shoplens.errors import FilterError

NAMES = st.one_of(
    st.sampled_from(["price", "colour", "product_id", "not", "AND", "Größe", "a`b", "main colour"]),
    st.text(min_size=1, max_size=3),
).filter(lambda name: name != "photo_id")
TEXTS = st.one_of(st.sampled_from(["", "a", 'a"b', "it's", "\\", "é", "1", "true"]), st.text())
NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.0, -0.0, 1.0, 2.5, 2.0**53]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.one_of(NUMBERS, st.booleans(), TEXTS)


@st.composite
def conditions(draw: Any) -> Filter:
    name = draw(NAMES)
    values = TEXTS if name == "product_id" else VALUES
    return draw(  # type: ignore[no-any-return]
        st.one_of(
            st.builds(
                Compare, st.just(name), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), values
            ),
            st.builds(OneOf, st.just(name), st.lists(values, min_size=1, max_size=4).map(tuple)),
            st.builds(IsNull, st.just(name)),
        )
    )


def several(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[tuple[Filter, ...]]:
    return st.lists(parts, min_size=2, max_size=3).map(tuple)


FILTERS: st.SearchStrategy[Filter] = st.recursive(
    conditions(),
    lambda parts: st.one_of(
        st.builds(And, several(parts)), st.builds(Or, several(parts)), st.builds(Not, parts)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price < 50", Compare("price", "<", 50)),
        ("price>=-1.5e1", Compare("price", ">=", -15.0)),
        ("price = .5", Compare("price", "=", 0.5)),
        ("colour != 'it''s'", Compare("colour", "!=", "it's")),
        ('colour = "say ""hi"""', Compare("colour", "=", 'say "hi"')),
        ('colour = "it\'s \\"', Compare("colour", "=", "it's \\")),
        ("colour = ''", Compare("colour", "=", "")),
        ("sale = TRUE", Compare("sale", "=", True)),
        ("`main ``colour` = false", Compare("main `colour", "=", False)),
        ("`not` Is Null", IsNull("not")),
        ("a IS NOT NULL", Not(IsNull("a"))),
        ("a in (1, 'b', true)", OneOf("a", (1, "b", True))),
        ("a not in (1)", Not(OneOf("a", (1,)))),
        ("größe = 1 and _b=2", And((Compare("größe", "=", 1), Compare("_b", "=", 2)))),
        (
            "a = 1 or b = 2 and not c = 3",
            Or(
                (
                    Compare("a", "=", 1),
                    And((Compare("b", "=", 2), Not(Compare("c", "=", 3)))),
                )
            ),
        ),
        (
            "(a = 1 or b = 2)\n and ((c = 3))",
            And((Or((Compare("a", "=", 1), Compare("b", "=", 2))), Compare("c", "=", 3))),
        ),
        (
            "(a = 1 and b = 2) and c = 3",
            And((And((Compare("a", "=", 1), Compare("b", "=", 2))), Compare("c", "=", 3))),
        ),
        ("not not a = 1", Not(Not(Compare("a", "=", 1)))),
        ('product_id = "7"', Compare("product_id", "=", "7")),
    ],
)
def test_filters_are_read(text: str, expected: Filter) -> None:
    assert repr(without_positions(parse_filter(text))) == repr(expected)


def without_positions(where: Filter) -> Filter:
    if isinstance(where, And | Or):
        return type(where)(tuple(map(without_positions, where.parts)))
    if isinstance(where, Not):
        return Not(without_positions(where.part))
    if isinstance(where, Compare):
        return Compare(where.name, where.op, where.value)
    return IsNull(where.name) if isinstance(where, IsNull) else OneOf(where.name, where.values)


def test_parts_know_where_they_stand() -> None:
    found = parse_filter("a = 1 and not (b is null or c in (2))")
    assert isinstance(found, And)
    negated = found.parts[1]
    assert isinstance(negated, Not)
    assert isinstance(negated.part, Or)
    assert (found.position, negated.position, negated.part.position) == (0, 10, 15)
    assert [part.position for part in negated.part.parts] == [15, 28]


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("", 0, "expected a condition"),
        ("  ", 2, "expected a condition"),
        ("price", 5, "expected =, !=, <, <=, >, >=, in, not in or is after the name price"),
        ("price <", 7, "expected a value"),
        ("price == 5", 6, "write a single ="),
        ("price <> 5", 6, "write !="),
        ("price => 5", 6, "write >="),
        ("a = 1 && b = 2", 6, 'write the word "and"'),
        ("a = 1 || b = 2", 6, 'write the word "or"'),
        ("!a = 1", 0, 'write the word "not"'),
        ("category = shoes", 11, 'put texts in quotes: "shoes"'),
        ("category = “shoes”", 11, "straight quotes"),
        ("colour = null", 7, "write: colour is null"),
        ("colour != NULL", 7, "write: colour is not null"),
        ("colour is true", 10, "write: colour = true"),
        ("colour is not 'x'", 14, "write: colour != 'x'"),
        ("colour in ('a', null)", 16, "write: colour is null"),
        ("colour in 'a'", 10, "a list in parentheses"),
        ("colour in ['a']", 10, "write ( and )"),
        ("colour in ()", 11, "expected a value"),
        ("colour in ('a',)", 15, "expected a value"),
        ("colour in ('a' 'b')", 15, "expected , or )"),
        ("colour in ('a'", 10, "this ( is not closed"),
        ("10 < price", 0, "expected the name of an attribute"),
        ("price > 10 < 50", 11, "price > 10 and price < 50"),
        ("price between 1 and 2", 6, "price >= 1 and price <= 5"),
        ("(a = 1 or b = 2", 0, "this ( is not closed"),
        ("a = 1)", 5, "no ( belongs to this )"),
        ("a = 1 b = 2", 6, 'expected "and" or "or"'),
        ("a = 1 and", 9, "expected the name"),
        ("and = 1", 0, "needs backticks: `and`"),
        ("a not 1", 6, "expected in"),
        ("main-colour = 1", 4, "backticks"),
        ("main colour = 1", 5, "backticks"),
        ("`` = 1", 0, "must not be empty"),
        ("`a = 1", 0, "this ` is not closed"),
        ("a = 'b", 4, "this ' is not closed"),
        ("a = 'b''c", 4, "this ' is not closed"),
        ("a = 007", 4, "put them in quotes"),
        ("a = 12kg", 4, "12kg is not a number"),
        ("a = 1.2.3", 4, "1.2.3 is not a number"),
        ("a = 9223372036854775808", 4, "64 bits"),
        ("a = " + "9" * 5000, 4, "64 bits"),
        ("a = 1e999", 4, "too large"),
        ("a = - 5", 4, "'-' is not expected"),
        ("product_id = 7", 13, 'put it in quotes: "7"'),
        ("product_id in ('7', 7)", 20, 'put it in quotes: "7"'),
        ("photo_id = 7", 0, "cannot look at photo_id"),
    ],
)
def test_an_error_points_at_the_character(text: str, position: int, problem: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    assert problem in caught.value.problem
    assert (caught.value.position, caught.value.text) == (position, text)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a = 1" + " " * MAX_CHARACTERS,
        " or ".join(["a = 1"] * (MAX_CONDITIONS + 1)),
        f"a in ({', '.join(['1'] * (MAX_VALUES + 1))})",
        "(" * (MAX_DEPTH + 1) + "a = 1" + ")" * (MAX_DEPTH + 1),
        "not " * (MAX_DEPTH + 1) + "a = 1",
        "not (" * MAX_DEPTH + "a = 1" + ")" * MAX_DEPTH,
    ],
)
def test_a_filter_has_limits(text: str) -> None:
    with pytest.raises(FilterError, match="at most"):
        parse_filter(text)


@pytest.mark.parametrize(
    "text",
    [
        " or ".join(["a = 1"] * MAX_CONDITIONS),
        f"a in ({', '.join(['1'] * MAX_VALUES)})",
        "(" * MAX_DEPTH + "`not` = 1" + ")" * MAX_DEPTH,
        "not " * MAX_DEPTH + "`not` = 1",
    ],
)
def test_what_is_within_the_limits_is_read(text: str) -> None:
    where = parse_filter(text)
    assert matches(where, {"a": 1, "not": 1}, None)
    assert parse_filter(to_text(where)) == where


@pytest.mark.parametrize("part", ["(", "not ", "'", '""', "a", "`", "1", "-", ".", " ", "a=1 and ",
                                  "a in (1,", "''", "=", "\n", "😀"])  # fmt: skip
@pytest.mark.parametrize("prefix", ["", 'a = "', "a in ("])
def test_hostile_texts_do_not_hang(prefix: str, part: str) -> None:
    with pytest.raises(FilterError):
        parse_filter((prefix + part * MAX_CHARACTERS)[: MAX_CHARACTERS - 1])


@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(
                ["a", "`b c`", "=", "!=", "<", "(", ")", ",", "in", "is", "not", "null", "and",
                 "or", "true", "'x'", '"y"', "1", "-2.5", "photo_id", "product_id", "'", "!"]
            )
        ).map(" ".join),
    )
)  # fmt: skip
def test_any_text_is_a_filter_or_a_filter_error(text: str) -> None:
    try:
        where = parse_filter(text)
    except FilterError as error:
        assert 0 <= error.position <= len(text)  # noqa: PT017
    else:
        assert parse_filter(to_text(where)) == where


@given(FILTERS)
def test_a_filter_that_is_written_is_read_again(where: Filter) -> None:
    assert repr(without_positions(parse_filter(to_text(where)))) == repr(where)


ROW: dict[str, Value] = {
    "price": 50,
    "weight": 1.5,
    "large": 2**53 + 1,
    "brand": "b",
    "sale": True,
    "off": False,
    "none": None,
}


@pytest.mark.parametrize(
    "text",
    [
        "price = 50",
        "price = 50.0",
        "price > 49.5 and price < 5e1 or price <= 50",
        "weight > 1 and weight < 2",
        "large > 9007199254740992.0",
        "large != 9007199254740992.0",
        "large = 9007199254740993",
        "brand = 'b' and brand > 'a' and brand < 'ba' and brand > 'Z' and brand < 'é'",
        "brand in (1, 'b')",
        "brand not in ('B')",
        "sale = true and off = false",
        "sale != 1 and not sale = 1 and not sale in (1, 1.0, 'true')",
        "price != '50' and price != true",
        "none is null and never is null and price is not null",
        "none != 1 and never != 'x'",
        "not none = 1 and not none < 1 and not none >= 1",
        "not none in (1) and none not in ('x')",
        "product_id = '007' and product_id in ('007') and product_id < '01'",
    ],
)
def test_what_passes(text: str) -> None:
    assert matches(parse_filter(text), ROW, "007")


@pytest.mark.parametrize(
    "text",
    [
        "price = '50'",
        "price = true",
        "sale = 1",
        "off = 0",
        "sale > false",
        "sale >= true",
        "sale < 2",
        "brand < 5",
        "brand >= 5",
        "none = 1",
        "none < 1",
        "none in (1)",
        "never = 'x'",
        "brand = 'B'",
        "large = 9007199254740992.0",
        "product_id is null",
    ],
)
def test_what_does_not_pass(text: str) -> None:
    assert not matches(parse_filter(text), ROW, "007")
    assert matches(parse_filter(f"not ({text})"), ROW, "007")


def test_a_photo_without_a_product_passes_as_one_without_a_value() -> None:
    assert matches(parse_filter("product_id is null and product_id != '1'"), {}, None)


@given(st.builds(Compare, NAMES, st.just("="), VALUES), st.one_of(st.none(), VALUES))
def test_unequal_is_the_opposite_of_equal(equal: Compare, value: Value) -> None:
    unequal = Compare(equal.name, "!=", equal.value)
    row = {equal.name: value}
    assert matches(unequal, row, "p") == matches(Not(equal), row, "p")
    assert matches(OneOf(equal.name, (equal.value,)), row, "p") == matches(equal, row, "p")


def test_the_names_in_a_filter() -> None:
    where = parse_filter("a = 1 and (b is null or not `c d` in (1)) and a != 2")
    assert names_in(where) == {"a", "b", "c d"}


def test_the_page_on_filters_shows_what_there_is() -> None:
    page = (ROOT / "docs" / "filters.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    parse_filter(blocks[0])
    rows = re.findall(
        r"^\| (`[^|]*`)[^|`]* \| ", page.partition("## What is equal")[0], re.MULTILINE
    )
    examples = [row.strip("`").split("`")[0] for row in rows]
    assert len(examples) == 13
    for example in examples:
        parse_filter(re.sub(r"\b([AB])\b", r"\1 = 1", example))
    with pytest.raises(FilterError) as caught:
        parse_filter("price < 50 and category = shoes")
    assert str(caught.value) == blocks[-1].rstrip("\n")
    for limit in (MAX_CHARACTERS, MAX_CONDITIONS, MAX_VALUES, MAX_DEPTH):
        assert f"| {limit:,} |" in page


def test_the_page_on_filters_shows_what_its_code_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (ROOT / "docs" / "filters.md").read_text(encoding="utf-8")
    [code, shown] = re.findall(r"```(?:python|text)\n(from.*?|True.*?)```", page, re.DOTALL)[:2]
    exec(code, {})
    assert capsys.readouterr().out == shown
