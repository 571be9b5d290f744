"""The first page of the store, without which nothing can be read, is made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from catalog_engines import MODEL, assert_same_content, shop
from catalog_model import PlainCatalog

from shoplens import CatalogError, open_catalog
from shoplens.catalog import Catalog, FailedPhoto
from shoplens.catalog.embedded.store import FILE, PAGE


def fill(catalog: Catalog) -> None:
    catalog.set_model(MODEL)
    catalog.upsert(shop(40))
    catalog.record_failures([FailedPhoto("broken", "broken.jpg", "s", "corrupt", "cut off")])
    catalog.delete([3, 4])
    catalog.upsert(shop(5, seed=1, first_id=100))


@pytest.fixture
def expected() -> Catalog:
    catalog = PlainCatalog()
    fill(catalog)
    return catalog


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        (b"SQLite format 3", b"SQLite forMat 3"),
        (b"\x73\x68\x6c\x73", b"\x73\x68\x6c\x74"),
        (b"CREATE TABLE photos", b"CREATE TABLE photo "),
        (b"CREATE TABLE state", b"CREATE TABLE st\xe1te"),
        (b"sqlite_sequence(name,seq)", b"sqlite_sequence(name,sep)"),
    ],
)
def test_a_damaged_first_page_needs_no_backup(
    there: bytes, instead: bytes, tmp_path: Path, expected: Catalog
) -> None:
    folder = tmp_path / "shop"
    with open_catalog(folder, create=True) as catalog:
        fill(catalog)
        catalog.compact()
    data = (folder / FILE).read_bytes()
    assert there in data[:PAGE]
    place = data.index(there)
    (folder / FILE).write_bytes(data[:place] + instead + data[place + len(instead) :])
    with open_catalog(folder) as catalog:
        with pytest.raises(CatalogError, match="damaged"):
            catalog.count()
        verified = catalog.verify()
        assert not verified.ok
        assert all(fault.where == FILE for fault in verified.faults)
        assert catalog.verify(repair=True).ok
        assert_same_content(catalog, expected)
        assert catalog.verify().faults == ()
        catalog.upsert(shop(1, first_id=900))
        assert catalog.count() == expected.count() + 1


def test_what_is_in_the_log_only_is_kept(tmp_path: Path, expected: Catalog) -> None:
    folder, killed = tmp_path / "shop", tmp_path / "killed"
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
    with open_catalog(folder) as catalog:
        fill(catalog)
        shutil.copytree(folder, killed)
    assert (killed / f"{FILE}-wal").stat().st_size
    data = bytearray((killed / FILE).read_bytes())
    data[:PAGE] = bytes(68) + data[68:72] + bytes(PAGE - 72)
    (killed / FILE).write_bytes(data)
    with open_catalog(killed) as catalog:
        assert catalog.verify(repair=True).ok
        assert_same_content(catalog, expected)
    assert not [file for file in killed.rglob("*") if file.name.endswith((".part", "-wal"))]
