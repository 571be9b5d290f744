"""The SQLite file of an embedded catalogue."""

from __future__ import annotations

from pathlib import Path

from catalog_engines import MODEL, shop

from shoplens import open_catalog
from shoplens.catalog.embedded.store import FILE


def test_a_closed_catalogue_is_one_file_without_a_log(tmp_path: Path) -> None:
    with open_catalog(tmp_path / "shop", create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(shop(3))
        assert catalog.count() == 3
    names = {file.name for file in tmp_path.rglob(f"{FILE}*")}
    assert names == {FILE, f"{FILE}-version"}
