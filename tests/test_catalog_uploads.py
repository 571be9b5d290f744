"""Uploads that nothing needs are swept, and nothing else ever is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from made_shops import make_shop, png, serving

from shoplens import open_catalog
from shoplens.catalog import uploads
from shoplens.catalog.entry import FailedPhoto
from shoplens.catalog.uploads import (
    remove_upload,
    unused_uploads,
    upload_name,
    uploads_beside,
)
from shoplens.errors import CatalogError, MissingError

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no file be too young."""
    monkeypatch.setattr(uploads, "SETTLED_SECONDS", 0.0)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A catalogue with three uploads, a, b and 7."""
    make_shop(tmp_path, 2)
    with serving(tmp_path / "catalog") as client:
        for number, photo_id in enumerate(("a", "b", "7")):
            url = f"/v1/catalog/photos/{photo_id}"
            assert client.put(url, files={"photo": png(20 + number)}).status_code == 200
    return tmp_path / "catalog"


def names(shop: Path) -> set[str]:
    return {file.name for file in (shop.parent / "catalog-uploads").iterdir()}


def test_what_was_removed_without_the_service_is_swept(shop: Path, run: Run) -> None:
    before = names(shop)
    assert run("catalog", "sweep", shop).out == "0 files removed, 0.0 MB\n"
    assert run("catalog", "delete", shop, "--photo-id", "a", "--photo-id", "7").code == 0
    assert names(shop) == before
    told = run("catalog", "sweep", shop, "--dry-run", "--json", "-").json
    assert (told["n_removed"], told["dry_run"]) == (2, True)
    assert names(shop) == before
    told = run("catalog", "sweep", shop, "--json", "-").json
    assert told["n_removed"] == 2
    assert set(told["files"]) == before - names(shop)
    assert told["folder"] == str(shop.parent / "catalog-uploads")
    with serving(shop) as client:
        assert client.get("/v1/photos/b").content == png(21)
    assert all((shop.parent / "photos" / f"{number}.png").exists() for number in range(2))


def test_an_upload_whose_photo_failed_stays(shop: Path) -> None:
    before = names(shop)
    with open_catalog(str(shop)) as catalog:
        entry = catalog.get("a")
        assert entry is not None
        catalog.record_failures([FailedPhoto("a", entry.path, entry.source, "corrupt", "")])
        assert catalog.get("a") is None
        assert unused_uploads(catalog, shop.parent / "catalog-uploads") == []
    assert names(shop) == before


def test_other_files_and_young_ones_stay(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shop.parent / "catalog-uploads"
    with open_catalog(shop) as catalog:
        catalog.delete(["a", "b", "7"])
        kept = [
            "notes.txt", "a" * 64 + ".png", "A" * 64 + "-" + "0" * 16 + ".png",
            "a" * 64 + "-" + "0" * 16, "." + "a" * 64 + "-" + "0" * 16 + ".png",
        ]  # fmt: skip
        for name in kept:
            (folder / name).write_text("x")
        assert {one.file.name for one in unused_uploads(catalog, folder)} == names(shop) - {*kept}
        monkeypatch.setattr(uploads, "SETTLED_SECONDS", 3600.0)
        assert unused_uploads(catalog, folder) == []


def test_a_photo_that_is_put_in_again_keeps_its_file(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shop.parent / "catalog-uploads"
    with open_catalog(shop) as catalog:
        catalog.delete(["a"])
        [upload] = unused_uploads(catalog, folder)
    before = upload.file.stat()
    with serving(shop) as client:
        client.put("/v1/catalog/photos/a", files={"photo": png(20)})
    after = upload.file.stat()
    assert after.st_mtime_ns == before.st_mtime_ns
    assert after.st_ctime_ns > before.st_ctime_ns
    # It was found before, and is needed now.
    monkeypatch.setattr(uploads, "SETTLED_SECONDS", 3600.0)
    assert not remove_upload(upload)
    assert upload.file.exists()


def test_a_folder_that_was_moved_with_its_catalogue_is_known_again(
    shop: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shop.rename(moved / "shop")
    (shop.parent / "catalog-uploads").rename(moved / "shop-uploads")
    with open_catalog(moved / "shop", read_only=True) as catalog:
        assert unused_uploads(catalog, moved / "shop-uploads") == []


def test_nothing_is_swept_if_a_photo_cannot_be_read(shop: Path) -> None:
    with open_catalog(shop) as catalog:
        catalog.delete(["a"])

        def damaged() -> Any:
            raise CatalogError("damaged")

        catalog.entries = damaged  # type: ignore[method-assign]
        with pytest.raises(CatalogError):
            unused_uploads(catalog, shop.parent / "catalog-uploads")


def test_one_that_is_gone_already_is_not_counted(shop: Path) -> None:
    with open_catalog(shop) as catalog:
        catalog.delete(["a"])
        [upload] = unused_uploads(catalog, shop.parent / "catalog-uploads")
    upload.file.unlink()
    assert not remove_upload(upload)


def test_a_folder_that_is_not_there_is_told(shop: Path, run: Run, tmp_path: Path) -> None:
    result = run("catalog", "sweep", shop, "--uploads", tmp_path / "none")
    assert (result.code, "there is no folder" in result.err) == (3, True)
    with open_catalog(shop, read_only=True) as catalog, pytest.raises(MissingError):
        unused_uploads(catalog, tmp_path / "none")


def test_of_a_collection_the_folder_must_be_named(run: Run) -> None:
    assert uploads_beside("milvus://localhost:1/x") is None
    result = run("catalog", "sweep", "milvus://localhost:1/x")
    assert (result.code, "--uploads" in result.err) == (2, True)


def test_names_tell_photos_and_contents_apart() -> None:
    found = {
        upload_name(one, sha, ".png") for one in (7, "7x", "x7") for sha in ("a" * 64, "b" * 64)
    }
    assert len(found) == 6
