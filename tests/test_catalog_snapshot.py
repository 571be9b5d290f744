"""What a process knows of a catalogue stays true while another one changes it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from catalog_engines import MODEL, assert_same_content, axis, make_small, shop, units
from catalog_model import PlainCatalog
from catalog_operations import assert_same_answers, change

from shoplens.catalog import Catalog, Entry, open_catalog
from shoplens.catalog.embedded import compaction, graphs
from shoplens.catalog.embedded.store import FILE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "catalogue"
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
    return folder


def removed_rows(folder: Path) -> int:
    with closing(sqlite3.connect(folder / FILE)) as connection:
        return int(connection.execute("SELECT count(*) FROM removed").fetchone()[0])


def n_segments(catalog: Catalog) -> int:
    return int(catalog.stats().details["n_segments"])


@pytest.mark.parametrize("seed", range(3))
def test_readers_that_look_rarely_see_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    make_small(monkeypatch, graphs=graphs.graph_available())
    plain = PlainCatalog()
    plain.set_model(MODEL)
    pauses = (1, 4, 9)
    readers = [open_catalog(folder, read_only=True) for _ in pauses]
    with open_catalog(folder) as catalog:
        for number in range(60):
            change(catalog, 1000 * seed + number)
            change(plain, 1000 * seed + number)
            for reader, pause in zip(readers, pauses, strict=True):
                if number % pause == 0:
                    assert_same_content(reader, plain)
                    assert_same_answers(reader, plain)
    for reader in readers:
        reader.close()


def test_a_photo_that_went_before_it_was_in_a_segment_is_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch, graphs=False)
    with open_catalog(folder) as catalog, open_catalog(folder, read_only=True) as reader:
        catalog.upsert([Entry("old", axis(0)), *shop(10)])
        assert reader.search(vector=axis(0), k=1)[0].photo_id == "old"
        catalog.delete(["old"])
        catalog.upsert(shop(30, first_id=100))  # A segment is written of what is left.
        assert n_segments(catalog) == 1
        assert removed_rows(folder) == 0
        assert reader.search(vector=axis(0), k=1)[0].photo_id != "old"
        assert reader.count() == 40


def test_removed_rows_are_remembered_as_long_as_a_segment_holds_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch, graphs=False)
    with open_catalog(folder) as catalog, open_catalog(folder, read_only=True) as reader:
        catalog.upsert(shop(30))
        assert (n_segments(catalog), reader.count()) == (1, 30)
        catalog.delete([3, 4])
        catalog.upsert(shop(30, first_id=100))
        assert (n_segments(catalog), removed_rows(folder)) == (2, 2)
        assert reader.count() == 58
        catalog.delete([100])
        catalog.compact()
        assert (n_segments(catalog), removed_rows(folder)) == (1, 0)
        assert reader.count() == 57
        assert {3, 4, 100}.isdisjoint(reader.ids())


def test_a_catalogue_that_was_emptied_by_a_migration_is_empty(folder: Path) -> None:
    with open_catalog(folder) as catalog, open_catalog(folder, read_only=True) as reader:
        catalog.upsert(shop(5))
        assert reader.count() == 5
        catalog.replace_vectors(replace(MODEL, fingerprint="other"), [])
        assert reader.count() == 0
        assert len(reader.search(vector=axis(0))) == 0


def test_a_reader_begins_anew_after_a_repair(folder: Path, tmp_path: Path) -> None:
    """Also where the new file looks as if it had gone on from the old one."""
    lost, kept = Entry("lost", axis(0)), Entry("kept", axis(1))
    with open_catalog(folder) as catalog:
        catalog.upsert([lost, kept])
        catalog.backup(tmp_path / "backup")
        catalog.delete(["lost"])
        catalog.compact()
    with open_catalog(folder, read_only=True) as reader:
        assert reader.ids() == ["kept"]
        data = (folder / FILE).read_bytes()
        (folder / FILE).write_bytes(data[:100] + b"\xff" * (len(data) - 100))
        with open_catalog(folder) as catalog:
            assert catalog.verify(repair=True, backup=tmp_path / "backup").ok
        assert sorted(map(str, reader.ids())) == ["kept", "lost"]
        assert reader.search(vector=axis(0), k=1)[0].photo_id == "lost"


@pytest.mark.skipif(not graphs.graph_available(), reason="needs the extra [ann]")
def test_vectors_that_are_replaced_during_a_compaction_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "INDEX_ROWS", 20)
    other = replace(MODEL, fingerprint="other")
    entries = [
        replace(entry, vector=vector) for entry, vector in zip(shop(9), units(9, 7), strict=True)
    ]
    plain = PlainCatalog()
    plain.set_model(other)
    plain.upsert(entries)
    with open_catalog(folder) as catalog:
        catalog.upsert(shop(30))
        catalog.compact(progress=lambda *_: catalog.replace_vectors(other, entries))
        assert_same_content(catalog, plain)
        assert catalog.verify().faults == ()
    with open_catalog(folder, read_only=True) as reader:
        assert_same_content(reader, plain)
        assert_same_answers(reader, plain)


@pytest.mark.skipif(not graphs.graph_available(), reason="needs the extra [ann]")
def test_a_photo_that_goes_during_a_compaction_stays_away(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "INDEX_ROWS", 20)
    with open_catalog(folder) as catalog, open_catalog(folder, read_only=True) as reader:
        catalog.upsert([Entry("gone", axis(0)), *shop(30)])

        def delete(*_: object) -> None:
            catalog.delete(["gone"])
            assert reader.count() == 30

        catalog.compact(progress=delete)
        # The segment holds it.
        assert removed_rows(folder) == 1
        for each in (catalog, reader):
            assert each.count() == 30
            assert each.search(vector=axis(0), k=1)[0].photo_id != "gone"
