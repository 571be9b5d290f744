"""Which segments are joined, and which get an approximate index."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from catalog_engines import MODEL, units

from shoplens import Catalog, Entry, ShoplensWarning, open_catalog
from shoplens.catalog.embedded import compaction, engine, nearest

pytest.importorskip("faiss", reason="needs the extra ann")

INDEX_ROWS = 200


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SEAL_ROWS", 64)
    monkeypatch.setattr(compaction, "INDEX_ROWS", INDEX_ROWS)
    # An index never pays for so few.
    monkeypatch.setattr(nearest._Searched, "exact_milliseconds", lambda _self: math.inf)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shop"


def entries(n: int, seed: int = 0, first: int = 0) -> list[Entry]:
    return [Entry(first + i, vector) for i, vector in enumerate(units(n, seed))]


def filled(folder: Path, n: int) -> Catalog:
    catalog = open_catalog(folder, create=True)
    catalog.set_model(MODEL)
    for start in range(0, n, 50):
        catalog.upsert(entries(min(50, n - start), start, start))
    return catalog


def figures(catalog: Catalog) -> tuple[object, object]:
    details = catalog.stats().details
    return details["n_segments"], details["n_indexed"]


def test_a_small_catalogue_becomes_one_segment_without_an_index(folder: Path) -> None:
    with filled(folder, INDEX_ROWS) as catalog:
        catalog.compact()
        assert figures(catalog) == (1, 0)
        assert catalog.search(vector=units(1)[0], k=5).exact


def test_a_large_one_becomes_one_segment_with_an_index(folder: Path) -> None:
    with filled(folder, INDEX_ROWS + 50) as catalog:
        catalog.compact()
        assert figures(catalog) == (1, INDEX_ROWS + 50)
        assert not catalog.search(vector=units(1)[0], k=5).exact
        assert catalog.search(vector=units(1)[0], k=5, exact=True).exact


def test_a_few_new_photos_stay_beside_the_index(folder: Path) -> None:
    with filled(folder, 1000) as catalog:
        catalog.compact()
        [indexed] = (folder / "segments").iterdir()
        catalog.upsert(entries(100, 7, 5000))
        catalog.compact()
        assert figures(catalog) == (2, 1000)
        assert indexed.is_dir()
        # What is in no index is found all the same, in one search with the rest.
        hits = catalog.search(vector=units(100, 7)[3], k=20)
        assert hits[0].photo_id == 5003
        assert any(int(hit.photo_id) < 1000 for hit in hits)


def test_many_changes_build_the_index_anew(folder: Path) -> None:
    with filled(folder, 1000) as catalog:
        catalog.compact()
        catalog.delete(range(100))
        catalog.upsert(entries(150, 7, 100))
        catalog.compact()
        assert figures(catalog) == (1, 900)
        assert catalog.verify().faults == ()


def test_compacting_twice_changes_nothing(folder: Path) -> None:
    with filled(folder, 500) as catalog:
        catalog.compact()
        before = sorted(folder.rglob("*"))
        catalog.compact()
        assert sorted(folder.rglob("*")) == before


def test_a_catalogue_from_which_all_was_removed(folder: Path) -> None:
    with filled(folder, 300) as catalog:
        catalog.compact()
        catalog.delete(range(300))
        catalog.compact()
        assert figures(catalog) == (0, 0)
        assert not list((folder / "segments").iterdir())
        assert catalog.search(vector=units(1)[0]).hits == ()
        catalog.upsert(entries(3, 1, 900))
        assert len(catalog.search(vector=units(1)[0])) == 3


def test_small_segments_are_joined_while_photos_come_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MOST_SMALL", 3)
    with filled(folder, 1500) as catalog:
        assert figures(catalog)[0] <= 4  # type: ignore[operator]
        assert catalog.count() == 1500
        assert catalog.verify().faults == ()


def test_without_the_extra_an_indexed_catalogue_is_searched_exactly(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(folder, 500) as catalog:
        catalog.compact()
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with open_catalog(folder) as catalog:
        found = catalog.search(vector=units(1)[0], k=5)
        assert found.exact
        assert len(found) == 5


def test_where_no_index_can_be_built_it_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "graph_available", lambda: False)
    with filled(folder, INDEX_ROWS) as catalog:
        catalog.compact()
        catalog.upsert(entries(1, 3, 900))
        with pytest.warns(ShoplensWarning, match=r"compares all 201 photos.*shoplens\[ann\]"):
            catalog.compact()
        assert figures(catalog) == (1, 0)
