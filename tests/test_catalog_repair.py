"""The store is mended from what can be read of it, and from a backup."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from catalog_engines import MODEL, units

from shoplens import CatalogError, Entry, open_catalog
from shoplens.catalog import FailedPhoto
from shoplens.catalog.embedded.segments import FOLDER
from shoplens.catalog.embedded.store import FILE

PAGE = 16_384
N = 120


def shop() -> list[Entry]:
    return [
        Entry(f"photo {i}", vector, f"p{i // 3}", attributes={"price": i})
        for i, vector in enumerate(units(N))
    ]


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A catalogue with rows that were removed before the backup and after, and its backup."""
    folder = tmp_path / "shop"
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(shop())
        catalog.record_failures([FailedPhoto("broken", "broken.jpg", "s", "corrupt", "cut off")])
        catalog.delete(["photo 3"])
        catalog.backup(tmp_path / "backup")
        catalog.delete(["photo 4"])
        catalog.compact()
    return folder


def contents(folder: Path) -> dict[object, Entry]:
    with open_catalog(folder, read_only=True) as catalog:
        return {entry.photo_id: entry for entry in catalog.entries()}


def expected() -> dict[object, Entry]:
    return {e.photo_id: e for e in shop() if e.photo_id not in ("photo 3", "photo 4")}


def damage_vector(data: bytearray) -> None:
    place = data.find(shop()[50].vector.tobytes())
    data[place + 9] ^= 0x20


def damage_leaf(data: bytearray) -> None:
    place = data.find(shop()[50].vector.tobytes())
    start = place // PAGE * PAGE
    data[start : start + 8] = b"\xff" * 8


@pytest.mark.parametrize("damage", [damage_vector, damage_leaf])
def test_damaged_rows_come_back_from_a_backup(
    catalog: Path, tmp_path: Path, damage: Callable[[bytearray], None]
) -> None:
    data = bytearray((catalog / FILE).read_bytes())
    damage(data)
    (catalog / FILE).write_bytes(data)
    with open_catalog(catalog) as opened:
        assert not opened.verify().ok
        without = opened.verify(repair=True)
        assert not without.ok
        assert any("no backup was given" in fault.problem for fault in without.faults)
        mended = opened.verify(repair=True, backup=tmp_path / "backup")
        assert mended.ok
        assert any("restored from the backup" in fault.problem for fault in mended.faults)
        assert opened.verify().faults == ()
        # It goes on as if nothing had been.
        assert opened.search(vector=shop()[50].vector, k=1)[0].photo_id == "photo 50"
        assert opened.upsert([Entry("new", shop()[0].vector)]).n_added == 1
        opened.delete(["new"])
        assert [one.photo_id for one in opened.failures()] == ["broken"]
    assert contents(catalog) == expected()


def test_nothing_is_removed_before_all_is_mended(catalog: Path, tmp_path: Path) -> None:
    data = bytearray((catalog / FILE).read_bytes())
    damage_vector(data)
    (catalog / FILE).write_bytes(data)
    segments = catalog / FOLDER
    [segment] = segments.iterdir()
    # No list names it: in a damaged catalogue, nobody knows that it is of no use.
    shutil.copytree(segment, segments / "unlisted")
    with open_catalog(catalog) as opened:
        assert not opened.verify(repair=True).ok
        assert {path.name for path in segments.iterdir()} == {segment.name, "unlisted"}
        assert opened.verify(repair=True, backup=tmp_path / "backup").ok
        assert not (segments / "unlisted").exists()
    assert contents(catalog) == expected()


def test_a_damaged_index_of_the_store_needs_no_backup(catalog: Path) -> None:
    with closing(sqlite3.connect(catalog / FILE)) as connection:
        page = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_photos_1'"
        ).fetchone()[0]
    data = bytearray((catalog / FILE).read_bytes())
    data[(page - 1) * PAGE : (page - 1) * PAGE + 8] = b"\xff" * 8
    (catalog / FILE).write_bytes(data)
    with open_catalog(catalog) as opened:
        assert opened.verify(repair=True).ok
        assert opened.verify().faults == ()
    assert contents(catalog) == expected()


def test_a_store_of_which_nothing_can_be_read(catalog: Path, tmp_path: Path) -> None:
    (catalog / FILE).write_bytes(b"\xff" * len((catalog / FILE).read_bytes()))
    with pytest.raises(CatalogError, match="damaged"):
        open_catalog(catalog)
    shutil.rmtree(catalog)
    from shoplens.catalog.embedded import restore_backup

    restore_backup(tmp_path / "backup", catalog)
    assert set(contents(catalog)) == {*expected(), "photo 4"}


def test_readers_follow_a_repair(catalog: Path, tmp_path: Path) -> None:
    with open_catalog(catalog, read_only=True) as reader:
        assert reader.count() == N - 2
        data = bytearray((catalog / FILE).read_bytes())
        damage_leaf(data)
        (catalog / FILE).write_bytes(data)
        with open_catalog(catalog) as opened:
            assert opened.verify(repair=True, backup=tmp_path / "backup").ok
            opened.upsert([Entry("new", shop()[0].vector)])
        assert reader.count() == N - 1
        found = reader.search(vector=np.asarray(shop()[50].vector), k=1)
        assert found[0].photo_id == "photo 50"


def test_damaged_records_of_failure_are_named(catalog: Path) -> None:
    data = bytearray((catalog / FILE).read_bytes())
    data[data.find(b"cut off")] ^= 0x20
    (catalog / FILE).write_bytes(data)
    with open_catalog(catalog) as opened:
        with pytest.raises(CatalogError, match="broken"):
            list(opened.failures())
        assert not opened.verify().ok
        mended = opened.verify(repair=True)
        assert mended.ok
        assert any("records of failed photos" in fault.problem for fault in mended.faults)
        assert list(opened.failures()) == []
    assert contents(catalog) == expected()
