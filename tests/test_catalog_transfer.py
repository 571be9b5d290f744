"""Export, import, copy and restore: nothing is lost or changed on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalog_engines import DIMENSION, MODEL, Engine, axis, make_engine, shop, units
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens import Box, CatalogError, DataError, MissingError, open_catalog
from shoplens.catalog import Catalog, Entry, FailedPhoto, ModelStamp, restore
from shoplens.catalog.entry import photo_id_of
from shoplens.catalog.filters import RESERVED
from shoplens.catalog.transfer import copy_catalog, export_catalog, import_catalog
from shoplens.errors import ModelError
from shoplens.records import REASONS

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

__all__ = ["make_engine"]

FAILED = FailedPhoto(99, "torn.jpg", "photos", "truncated", "it ends early", "p1", {"size": 37.5})


def make(
    folder: Path, entries: Sequence[Entry] = (), failed: Sequence[FailedPhoto] = ()
) -> Catalog:
    catalog = open_catalog(folder, create=True)
    catalog.set_model(MODEL)
    catalog.upsert(entries)
    catalog.record_failures(failed)
    return catalog


def held(catalog: Catalog) -> tuple[object, ...]:
    """Return all that a catalogue holds, stamps and failures too."""
    return (
        catalog.model,
        [(entry.facts(), entry.stamp, entry.vector.tobytes()) for entry in catalog.entries()],
        [(failed, attribute_types(failed)) for failed in catalog.failures()],
    )


def attribute_types(failed: FailedPhoto) -> dict[str, type]:
    return {name: type(value) for name, value in failed.attributes.items()}


def rewritten(file: Path, change: Callable[[Any], Any]) -> Path:
    """Write a Parquet file anew, with its table changed."""
    parquet.write_table(change(parquet.read_table(file)), file)
    return file


def with_column(table: Any, name: str, values: Any) -> Any:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)


# Export and import.


def test_an_import_restores_what_was_exported(tmp_path: Path) -> None:
    entries = shop(5000)  # Several row groups.
    with make(tmp_path / "shop", entries, [FAILED]) as catalog:
        failed = FAILED.photo_id in {entry.photo_id for entry in entries}
        written = export_catalog(catalog, tmp_path / "shop.parquet")
        before = held(catalog)
    assert (written.n_photos, written.n_failed) == (5000 - failed, 1)
    with open_catalog(tmp_path / "again", create=True) as again:
        put_in = import_catalog(tmp_path / "shop.parquet", again)
        assert held(again) == before
    assert put_in.to_json() == {
        "n_added": 4999,
        "n_changed": 0,
        "n_unchanged": 0,
        "n_failed": 1,
    }


texts = st.text(st.characters(codec="utf-8"), max_size=8)
ids = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    texts.filter(bool),
    st.sampled_from(["007", "-0", "9223372036854775808", "+1", "1.0", "a/b.jpg", "é"]),
).map(photo_id_of)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
names = st.one_of(
    texts.filter(lambda name: name and name not in RESERVED),
    st.sampled_from(["category", "path", "vector", "source", "failure", "domain", "attributes"]),
    st.sampled_from(["json:category", "attribute:path", "json:attribute:path", "null_attributes"]),
)
attributes = st.dictionaries(names, values, max_size=4)
boxes = st.one_of(
    st.none(),
    st.tuples(*[st.floats(0.01, 1e6)] * 4).map(lambda v: Box.from_xywh(*v)),
)


@st.composite
def contents(draw: st.DrawFn) -> tuple[list[Entry], list[FailedPhoto]]:
    """Entries and failures of which no two have one id."""
    chosen = draw(st.lists(ids, unique=True, min_size=1, max_size=6))
    n_entries = draw(st.integers(0, len(chosen)))
    vectors = units(n_entries, draw(st.integers(0, 99)))
    entries = [
        Entry(
            photo_id,
            vector,
            draw(st.none() | texts),
            draw(texts),
            draw(texts),
            draw(st.none() | texts),
            draw(boxes),
            draw(attributes),
            draw(texts),
        )
        for photo_id, vector in zip(chosen, vectors, strict=False)
    ]
    failed = [
        FailedPhoto(
            photo_id,
            draw(texts),
            draw(texts),
            draw(st.sampled_from(sorted(REASONS))),
            draw(texts.filter(bool)),
            draw(st.none() | texts),
            draw(attributes),
        )
        for photo_id in chosen[n_entries:]
    ]
    return entries, failed


@given(contents=contents())
@settings(max_examples=40)  # Each writes three catalogues to disk.
def test_a_round_trip_changes_nothing(
    contents: tuple[list[Entry], list[FailedPhoto]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("round")
    with make(folder / "one", *contents) as one, open_catalog(folder / "two", create=True) as two:
        export_catalog(one, folder / "one.parquet")
        two.set_model(MODEL)  # A file without vectors tells no dimension.
        import_catalog(folder / "one.parquet", two)
        assert held(two) == held(one)
        with open_catalog(folder / "three", create=True) as three:
            copy_catalog(one, three)
            assert held(three) == held(one)


def test_attributes_are_columns_of_their_types(tmp_path: Path) -> None:
    entries = [
        Entry(1, axis(0), attributes={"category": "shoes", "price": 5, "sale": True, "w": 1.5}),
        Entry(2, axis(1), attributes={"category": "bags", "path": "x", "mixed": 1}),
        Entry(3, axis(2), attributes={"category": None, "mixed": "1"}),
    ]
    with make(tmp_path / "shop", entries) as catalog:
        export_catalog(catalog, tmp_path / "shop.parquet")
    table = parquet.read_table(tmp_path / "shop.parquet")
    assert table["photo_id"].to_pylist() == [1, 2, 3]
    assert table["category"].to_pylist() == ["shoes", "bags", None]
    assert table["price"].to_pylist() == [5, None, None]
    assert table["attribute:path"].to_pylist() == [None, "x", None]
    assert table["json:mixed"].to_pylist() == [None, "1", '"1"']
    kinds = {name: str(table.schema.field(name).type) for name in ("price", "sale", "w")}
    assert kinds == {"price": "int64", "sale": "bool", "w": "double"}
    assert str(table.schema.field("photo_id").type) == "int64"
    assert json.loads(table.schema.metadata[b"shoplens"]) == {
        "model": MODEL.name,
        "fingerprint": MODEL.fingerprint,
        "dimension": DIMENSION,
    }


def test_one_id_that_is_a_text_makes_all_texts(tmp_path: Path) -> None:
    with make(tmp_path / "shop", [Entry(7, axis(0)), Entry("007", axis(1))]) as catalog:
        export_catalog(catalog, tmp_path / "shop.parquet")
        assert parquet.read_table(tmp_path / "shop.parquet")["photo_id"].to_pylist() == ["7", "007"]
        with open_catalog(tmp_path / "again", create=True) as again:
            import_catalog(tmp_path / "shop.parquet", again)
            assert again.ids() == [7, "007"]


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "shop.parquet"
    file.write_text("earlier")

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "write":
            raise KeyboardInterrupt

    with make(tmp_path / "shop", shop(10)) as catalog, pytest.raises(KeyboardInterrupt):
        export_catalog(catalog, file, progress=stop)
    assert file.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop", "shop.parquet"]


def test_an_empty_catalogue_is_not_exported(tmp_path: Path) -> None:
    with (
        open_catalog(tmp_path / "shop", create=True) as catalog,
        pytest.raises(CatalogError, match="is empty"),
    ):
        export_catalog(catalog, tmp_path / "shop.parquet")


def test_a_file_of_embed_can_be_imported(tmp_path: Path, sample: Path, run: Run) -> None:
    file = tmp_path / "vectors.parquet"
    assert run("embed", sample, "-o", file).code == 0
    with open_catalog(tmp_path / "shop", create=True) as catalog:
        put_in = import_catalog(file, catalog)
        table = parquet.read_table(file)
        assert put_in.upserted.n_added == len(table)
        row = table.to_pylist()[3]
        entry = catalog.get(row["photo_id"])
        assert entry is not None
        assert entry.vector.tolist() == row["vector"]
        assert (entry.product_id, entry.path, entry.sha256) == (
            row["product_id"],
            row["path"],
            row["sha256"],
        )
        assert import_catalog(file, catalog).upserted.n_unchanged == len(table)


def test_a_table_that_was_changed_with_pandas_can_be_imported(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    with make(tmp_path / "shop", shop(30)) as catalog:
        export_catalog(catalog, tmp_path / "shop.parquet")
        frame = pandas.read_parquet(tmp_path / "shop.parquet")
        frame["season"] = "winter"
        frame.to_parquet(tmp_path / "changed.parquet")
        with pytest.raises(ModelError, match="does not say which model"):
            import_catalog(tmp_path / "changed.parquet", catalog)
        put_in = import_catalog(tmp_path / "changed.parquet", catalog, assume_model=True)
        assert put_in.upserted.n_changed == 30
        assert catalog.count('season = "winter"') == 30


def vectors_of(rows: Any) -> Any:
    return pyarrow.array([list(map(float, row)) for row in rows], pyarrow.list_(pyarrow.float32()))


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("photo_id", [1, 2, None], r"row 3, column photo_id: must be a whole number"),
        ("photo_id", [1, 2, 1], r"row 3, column photo_id: '1' is there twice"),
        ("photo_id", [1.5, 2.5, 3.5], r"row 1, column photo_id: '1.5' must be a whole number"),
        ("domain", ["seller", "user", None], r"row 2, column domain: 'user' must be seller"),
        ("failure", [None, "tired", None], r"row 2, column failure: 'tired' is no reason"),
        ("price", [1.0, float("nan"), 2.0], r"row 2, column price: 'nan' must be a text"),
        ("tags", [["a"], None, None], r"row 1, column tags: .* must be a text"),
        ("json:tags", ["[1]", "{", None], r"row 2, column tags: '\{' is not JSON"),
        ("attribute:product_id", ["a", "b", "c"], r"cannot be an attribute"),
        ("box", [[1, 2, 1, 3], None, None], r"row 1, column box: .* with an area"),
        ("path", [1, 2, 3], r"row 1, column path: '1' must be a text"),
    ],
)
def test_faulty_rows_are_named(
    tmp_path: Path, column: str, change: list[object], message: str
) -> None:
    with make(tmp_path / "shop", shop(3)) as catalog:
        export_catalog(catalog, tmp_path / "shop.parquet")
        file = rewritten(
            tmp_path / "shop.parquet",
            lambda table: with_column(table, column, pyarrow.array(change)),
        )
        before = held(catalog)
        with pytest.raises(DataError, match=message) as raised:
            import_catalog(file, catalog)
        assert raised.value.faults
        assert held(catalog) == before


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([axis(0), axis(1) * 2, axis(2)], "row 2, column vector: '2' is its length; it must be 1"),
        ([axis(0), axis(1)[:5], axis(2)], "row 2, column vector: '5' numbers are not a vector"),
        ([axis(0), axis(1), axis(2) * np.nan], "row 3, column vector: 'nan' is its length"),
    ],
)
def test_faulty_vectors_are_named(tmp_path: Path, rows: Any, message: str) -> None:
    with make(tmp_path / "shop", shop(3)) as catalog:
        export_catalog(catalog, tmp_path / "shop.parquet")
        file = rewritten(
            tmp_path / "shop.parquet",
            lambda table: with_column(table, "vector", vectors_of(rows)),
        )
        with pytest.raises(DataError, match=message):
            import_catalog(file, catalog)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    with make(tmp_path / "shop") as catalog:
        with pytest.raises(MissingError, match="no file"):
            import_catalog(tmp_path / "none.parquet", catalog)
        (tmp_path / "text.parquet").write_text("no")
        with pytest.raises(DataError, match="is not a Parquet file"):
            import_catalog(tmp_path / "text.parquet", catalog)
        parquet.write_table(pyarrow.table({"photo_id": [1]}), tmp_path / "bare.parquet")
        with pytest.raises(DataError, match=r"columns \['vector'\] are missing"):
            import_catalog(tmp_path / "bare.parquet", catalog)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    with make(tmp_path / "shop", shop(3000)) as catalog:
        file = tmp_path / "shop.parquet"
        export_catalog(catalog, file)
        data = bytearray(file.read_bytes())
        data[4:2000] = bytes(1996)
        file.write_bytes(data)
        with pytest.raises(DataError):
            import_catalog(file, catalog)


def test_vectors_of_another_model_are_refused(tmp_path: Path) -> None:
    with make(tmp_path / "shop", shop(3)) as catalog:
        export_catalog(catalog, tmp_path / "shop.parquet")
    with open_catalog(tmp_path / "other", create=True) as other:
        other.set_model(ModelStamp("other", "sha256:9999", DIMENSION))
        with pytest.raises(ModelError, match="Vectors of different models"):
            import_catalog(tmp_path / "shop.parquet", other)


# Copies.


@pytest.mark.parametrize(
    ("source", "target"), [("embedded", "embedded"), ("embedded", "milvus"), ("milvus", "embedded")]
)
def test_a_copy_is_the_same(make_engine: Callable[[str], Engine], source: str, target: str) -> None:
    with (
        make_engine(source).make(shop(1500)) as one,
        make_engine(target).open(create=True) as two,
    ):
        one.record_failures([replace(FAILED, photo_id="torn")])
        copied = copy_catalog(one, two)
        assert (copied.n_photos, copied.n_failed) == (1500, 1)
        assert held(two) == held(one)
        # It is the same again.
        assert copy_catalog(one, two) == copied


def test_a_copy_that_was_stopped_goes_on(tmp_path: Path) -> None:
    calls = []

    def stop(stage: str, done: int, total: int) -> None:
        calls.append(done)
        raise KeyboardInterrupt

    with (
        make(tmp_path / "one", shop(3000), [FAILED]) as one,
        open_catalog(tmp_path / "two", create=True) as two,
    ):
        with pytest.raises(KeyboardInterrupt):
            copy_catalog(one, two, progress=stop)
        assert 0 < two.count() < one.count()
        copy_catalog(one, two)
        assert held(two) == held(one)


def test_a_copy_overwrites_nothing(tmp_path: Path) -> None:
    with (
        make(tmp_path / "one", shop(10)) as one,
        make(tmp_path / "two", [Entry(0, axis(3), path="mine.jpg")]) as two,
    ):
        before = held(two)
        with pytest.raises(CatalogError, match="Copy into an empty catalogue"):
            copy_catalog(one, two)
        assert held(two) == before


def test_a_copy_that_differs_is_told(tmp_path: Path) -> None:
    """Another process puts something in meanwhile."""
    with (
        make(tmp_path / "one", shop(10)) as one,
        open_catalog(tmp_path / "two", create=True) as two,
    ):

        def disturb(stage: str, done: int, total: int) -> None:
            if stage == "copy":
                two.upsert([Entry("stranger", axis(0))])

        with pytest.raises(CatalogError, match="is not the same as"):
            copy_catalog(one, two, progress=disturb)


def test_a_copy_to_a_catalogue_of_another_model_is_refused(tmp_path: Path) -> None:
    with (
        make(tmp_path / "one", shop(3)) as one,
        open_catalog(tmp_path / "two", create=True) as two,
    ):
        two.set_model(ModelStamp("other", "sha256:9999", DIMENSION))
        with pytest.raises(ModelError):
            copy_catalog(one, two)


# Backups.


@pytest.mark.parametrize("kind", ["backup", "export"])
def test_a_backup_is_restored(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "file"
    with make(tmp_path / "shop", shop(100), [FAILED]) as catalog:
        if kind == "backup":
            catalog.backup(file)
        else:
            export_catalog(catalog, file)
        before = held(catalog)
        catalog.delete(where="price < 50")
    restore(file, tmp_path / "again")
    with open_catalog(tmp_path / "again") as again:
        assert held(again) == before
        assert again.verify().ok


@pytest.mark.parametrize("kind", ["backup", "export"])
def test_a_restore_overwrites_nothing(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "file"
    with make(tmp_path / "shop", shop(5)) as catalog:
        if kind == "backup":
            catalog.backup(file)
        else:
            export_catalog(catalog, file)
        before = held(catalog)
    with pytest.raises(DataError, match="is there already"):
        restore(file, tmp_path / "shop")
    with open_catalog(tmp_path / "shop") as catalog:
        assert held(catalog) == before


def test_a_faulty_backup_makes_no_catalogue(tmp_path: Path) -> None:
    with make(tmp_path / "shop", shop(5)) as catalog:
        export_catalog(catalog, tmp_path / "file")
    rewritten(
        tmp_path / "file", lambda table: with_column(table, "photo_id", pyarrow.array([1] * 5))
    )
    (tmp_path / "text").write_text("no backup")
    for name, message in (("file", "is there twice"), ("text", "no backup of a catalogue")):
        with pytest.raises(DataError, match=message):
            restore(tmp_path / name, tmp_path / "again")
    with pytest.raises(MissingError, match="no backup"):
        restore(tmp_path / "none", tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "shop", "text"]
