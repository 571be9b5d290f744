from __future__ import annotations

import enum
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_catalog_filters import FILTERS, VALUES, without_positions

from shoplens.attributes import Value
from shoplens.catalog.embedded.columns import Columns, Mask
from shoplens.catalog.filters import Compare, Filter, Not, OneOf, matches, names_in, parse_filter
from shoplens.errors import CatalogError

Rows = list[tuple[str | None, dict[str, Value]]]

FEW = st.sampled_from(["a", "b", "", "é", "\ud800", "😀"])
BIG = st.sampled_from(
    [2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63 - 512, -(2**63), 2.0**53, 2.0**63, -(2.0**63),
     1e300, -1e300, 5e-324, 1.7976931348623157e308, 0, -0.0, 0.0, 1, 1.0, 1.5]
)  # fmt: skip
CELLS: dict[str, st.SearchStrategy[Value]] = {
    "whole": st.one_of(BIG.filter(lambda n: isinstance(n, int)), st.integers(-3, 3)),
    "real": st.one_of(BIG.filter(lambda n: isinstance(n, float)), st.floats(-3, 3)),
    "number": BIG,
    "text": FEW,
    "flag": st.booleans(),
    "any": st.one_of(VALUES, BIG, FEW, st.booleans()),
}


def rows(max_size: int = 12) -> st.SearchStrategy[Rows]:
    cells = st.fixed_dictionaries(
        {}, optional={name: st.one_of(st.none(), cell) for name, cell in CELLS.items()}
    )
    return st.lists(st.tuples(st.one_of(st.none(), FEW), cells), max_size=max_size)


@st.composite
def filters(draw: Any) -> Filter:
    """Draw filters on the made columns whose values are likely to be in them."""
    name = draw(st.sampled_from([*CELLS, "never", "product_id"]))
    values = st.one_of(CELLS.get(name, FEW), BIG, FEW, st.booleans())
    ops = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    found: Filter = draw(
        st.one_of(
            st.builds(Compare, st.just(name), ops, values),
            st.builds(OneOf, st.just(name), st.lists(values, max_size=4).map(tuple)),
        )
    )
    return draw(st.sampled_from([found, Not(found)]))


def columns(given_rows: Rows) -> Columns:
    return Columns.build([product for product, _ in given_rows], [row for _, row in given_rows])


def typed(values: Mapping[Value, int]) -> dict[tuple[str, Value], int]:
    return {(type(value).__name__, value): count for value, count in values.items()}


def require_same(found: Columns, expected: Columns) -> None:
    """Check that two say the same of their rows, and keep them in the same form."""
    assert len(found) == len(expected)
    assert set(found.names) == set(expected.names)
    assert found.types() == expected.types()
    assert found.products() == expected.products()
    for name in (*found.names, "product_id"):
        assert typed(found.counts(name)) == typed(expected.counts(name))
    for name, column in expected._columns.items():
        for part, array in column.arrays().items():
            own = found._columns[name].arrays()[part]
            np.testing.assert_array_equal(own, array)
            assert own.dtype == array.dtype


@given(rows(), st.one_of(filters(), FILTERS))
def test_a_mask_is_what_matches_says_of_each_row(given_rows: Rows, where: Filter) -> None:
    mask = columns(given_rows).mask(where)
    assert mask.dtype == np.bool_
    assert mask.flags.writeable
    assert mask.tolist() == [matches(where, row, product) for product, row in given_rows]


def test_all_rows_are_compared_with_all_values() -> None:
    values: list[Value] = [
        None, True, False, 0, 1, -1, 0.0, 1.0, 0.5, 1.5, "", "a", "b", "1", "true", "Z", "é",
        2**53, 2**53 + 1, 2.0**53, 2.0**53 + 2, 2**63 - 1, 2.0**63, -(2**63), -(2.0**63), 1e300,
    ]  # fmt: skip
    forms = {
        "any": values,
        "whole": [v if type(v) is int else None for v in values],
        "real": [v if type(v) is float else None for v in values],
        "text": [v if type(v) is str else None for v in values],
        "flag": [v if type(v) is bool else None for v in values],
    }
    cells = zip(*forms.values(), strict=True)
    given_rows: Rows = [(None, dict(zip(forms, row, strict=True))) for row in cells]
    made = columns(given_rows)
    for name in forms:
        for other in values[1:]:
            for op in ("=", "!=", "<", "<=", ">", ">="):
                where = Compare(name, op, other)  # type: ignore[arg-type]
                expected = [matches(where, row, None) for _, row in given_rows]
                assert made.mask(where).tolist() == expected, where


@given(rows(), st.data())
def test_counts_types_and_products_are_those_of_the_rows(given_rows: Rows, data: Any) -> None:
    made = columns(given_rows)
    keep = data.draw(
        st.one_of(
            st.none(),
            st.lists(st.booleans(), min_size=len(made), max_size=len(made)),
        )
    )
    mask = None if keep is None else np.array(keep, dtype=np.bool_)
    kept = [row for row, kept in zip(given_rows, keep or [True] * len(made), strict=True) if kept]
    if keep is not None and not any(keep):
        kept = []
    assert made.products(mask) == len({product for product, _ in kept} - {None})
    types = {}
    for name in (*CELLS, "never"):
        values = [row.get(name) for _, row in kept]
        expected: dict[Value, int] = {}
        for value in values:
            expected[value] = expected.get(value, 0) + 1
        assert made.counts(name, mask) == expected
        if found := {type(value).__name__ for value in values} - {"NoneType"}:
            types[name] = found
    assert made.types(mask) == types


def test_equal_values_are_counted_together_and_filtered_apart() -> None:
    values: list[Value] = [True, 1.0, 1, "1", None, False, 0.0, True]
    made = columns([(None, {"a": value}) for value in values])
    assert typed(made.counts("a")) == {
        ("int", 1): 4, ("float", 0.0): 2, ("str", "1"): 1, ("NoneType", None): 1,
    }  # fmt: skip
    assert made.mask(parse_filter("a = 1")).tolist() == [value in (1,) and value is not True
                                                         for value in values]  # fmt: skip
    assert made.mask(parse_filter("a in (true)")).sum() == 2
    assert made.types() == {"a": {"int", "float", "bool", "str"}}


def test_photos_are_found_by_product() -> None:
    made = columns([("p", {}), (None, {}), ("q", {}), ("p", {})])
    assert made.with_products(["p", "r"]).tolist() == [True, False, False, True]
    assert made.with_products([]).tolist() == [False] * 4
    assert (made.products(), made.products(np.array([0, 1, 0, 1], dtype=bool))) == (2, 1)
    assert made.counts("product_id") == {"p": 2, "q": 1, None: 1}
    assert made.names == ()


@given(st.lists(st.tuples(rows(6), st.booleans()), max_size=4), st.data())
def test_columns_joined_are_those_of_all_rows(given_parts: list[Any], data: Any) -> None:
    parts: list[tuple[Columns, Mask | None]] = []
    kept: Rows = []
    for given_rows, whole in given_parts:
        keep = data.draw(
            st.lists(st.booleans(), min_size=len(given_rows), max_size=len(given_rows))
        )
        keep = [True] * len(given_rows) if whole else keep
        parts.append((columns(given_rows), None if whole else np.array(keep, dtype=np.bool_)))
        kept += [row for row, use in zip(given_rows, keep, strict=True) if use]
    require_same(Columns.concatenate(parts), columns(kept))


@given(rows(), filters())
def test_columns_are_saved_and_loaded(
    tmp_path_factory: pytest.TempPathFactory, given_rows: Rows, where: Filter
) -> None:
    folder = tmp_path_factory.mktemp("saved") / "columns"
    made = columns(given_rows)
    made.save(folder)
    require_same(Columns.load(folder), made)
    assert Columns.load(folder).mask(where).tolist() == made.mask(where).tolist()
    assert {path.suffix for path in folder.iterdir()} <= {".npy", ".json"}


@pytest.mark.parametrize("n_texts", [255, 256, 65_535, 65_536])
def test_columns_of_any_number_of_texts(n_texts: int) -> None:
    texts = [f"{number:06}" for number in range(n_texts)]
    made = columns([(text, {"a": text}) for text in [*texts, *texts[:3]]] + [(None, {})])
    assert made.mask(parse_filter("a is null")).sum() == 1
    assert made.mask(parse_filter(f"a >= '{texts[1]}'")).sum() == n_texts - 1 + 2
    assert made.mask(parse_filter(f"a = '{texts[-1]}'")).sum() == 1
    assert made.mask(parse_filter(f"a in ('{texts[0]}', '{texts[-1]}')")).sum() == 3
    assert made.products() == n_texts


def test_values_of_derived_types_are_kept_as_plain_ones() -> None:
    class Size(enum.IntEnum):
        SMALL = 1

    made = columns([(None, {"a": np.float64(1.5), "b": Size.SMALL, "c": np.str_("x")})])
    assert made.types() == {"a": {"float"}, "b": {"int"}, "c": {"str"}}
    with pytest.raises(TypeError, match="no value of an attribute"):
        columns([(None, {"a": b"x"})])  # type: ignore[dict-item]


def test_the_names_of_columns_can_be_any_text(tmp_path: Path) -> None:
    names = ["../x", "a/b", "\0", "é", "\ud800", "columns"]
    columns([("p", dict.fromkeys(names, 1))]).save(tmp_path / "columns")
    loaded = Columns.load(tmp_path / "columns")
    assert loaded.names == tuple(names)
    assert all(loaded.counts(name) == {1: 1} for name in names)
    assert list(tmp_path.iterdir()) == [tmp_path / "columns"]


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    made = columns([("p", {"a": 1, "b": "x"}), ("q", {"a": 2, "b": "y"})])
    made.save(tmp_path / "columns")
    for file in (tmp_path / "columns").glob("1-*.npy"):
        file.write_bytes(b"")
    with pytest.raises(CatalogError, match=r"1-\w+\.npy is missing or damaged"):
        Columns.load(tmp_path / "columns")


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed")
def test_columns_stay_readable_when_their_files_are_removed(tmp_path: Path) -> None:
    """As when another process joins segments while this one searches."""
    columns([("p", {"a": 1, "b": "x"}), ("q", {"a": 2, "b": "y"})]).save(tmp_path / "columns")
    loaded = Columns.load(tmp_path / "columns")
    shutil.rmtree(tmp_path / "columns")
    assert loaded.mask(parse_filter("a = 1 and b = 'x'")).tolist() == [True, False]


@pytest.mark.parametrize("written", ["", "[]", "{}", '{"n_rows": 1}', '{"n_rows":1,"columns":3}'])
def test_damaged_columns_are_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(CatalogError, match="missing or damaged"):
        Columns.load(tmp_path)
    (tmp_path / "columns.json").write_text(written)
    with pytest.raises(CatalogError, match="missing or damaged"):
        Columns.load(tmp_path)


def test_a_column_with_too_few_rows_is_refused(tmp_path: Path) -> None:
    columns([(None, {"a": 1})]).save(tmp_path / "columns")
    np.save(tmp_path / "columns" / "0-numbers.npy", np.zeros(2, dtype=np.int64))
    with pytest.raises(CatalogError, match="has no 1 rows"):
        Columns.load(tmp_path / "columns").counts("a")


def test_filters_of_the_documentation_have_columns() -> None:
    where = parse_filter('category = "shoes" and (price < 50 or brand in ("a", "b"))')
    made = columns([("p", {"category": "shoes", "price": 60, "brand": "b"}), ("q", {})])
    assert made.mask(without_positions(where)).tolist() == [True, False]
    assert names_in(where) == set(made.names)
