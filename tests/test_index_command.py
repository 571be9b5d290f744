from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run, picture

import shoplens
from shoplens import index, open_catalog


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Path:
    return make_model()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of four photos, of which the last is damaged, and a note."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        picture(number).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "note.txt").write_text("not a photo")
    return folder


def test_the_json_is_that_of_python(run: Run, photos: Path, toy: Path, tmp_path: Path) -> None:
    expected = index(photos, tmp_path / "a", encoder=shoplens.load_encoder(toy)).to_json()
    result = run("index", photos, "--catalog", tmp_path / "b", "--model", toy, "--json", "-")
    assert result.code == 0
    shown = result.json
    assert {"read", "decode", "crop", "infer", "index"} <= set(shown["seconds"])
    for values in (expected, shown):
        # The photos are in the cache since the first run.
        for key in ("seconds", "catalog", "n_cached"):
            del values[key]
    assert shown == expected
    assert (shown["n_photos"], shown["n_added"], shown["n_failed"]) == (4, 3, 1)
    assert shown["failures"] == {"not_an_image": 1}
    assert shown["failed_photos"][0]["id"] == shown["failed_photos"][0]["path"] == "3.png"
    assert shown["model"]["name"] == "toy"


def test_the_last_line_says_what_was_done(
    run: Run, photos: Path, toy: Path, tmp_path: Path
) -> None:
    words = ("index", photos, "--catalog", tmp_path / "shop", "--model", toy)
    dry = run(*words, "--dry-run")
    # Nobody knows of the damage before the photo is decoded.
    assert dry.out.endswith(": would be 4 added, 0 changed, 0 unchanged, 0 removed, 0 failed\n")
    assert not (tmp_path / "shop").exists()
    result = run(*words)
    assert (
        result.out == f"{tmp_path / 'shop'}: 3 added, 0 changed, 0 unchanged, 0 removed, 1 failed\n"
    )
    assert "1 failed, not_an_image" in result.err
    assert "    3.png: " in result.err
    assert "1 file is not a photo and left out" in result.err
    (photos / "0.png").unlink()
    picture(9).save(photos / "1.png")
    (photos / "2.png").write_bytes(b"no picture")
    result = run(*words, "--sync")
    assert result.code == 0
    assert result.out.endswith(": 0 added, 1 changed, 0 unchanged, 1 removed, 2 failed\n")
    assert "1 of them stays in the catalogue with its earlier vector" in result.err


def test_without_a_model_the_catalogues_is_used(
    run: Run, photos: Path, toy: Path, tmp_path: Path
) -> None:
    words = ("index", photos, "--catalog", tmp_path / "shop")
    assert run(*words, "--model", "lite0-products-int8").code == 0
    result = run(*words, "--json", "-")
    assert result.json["model"]["name"] == "lite0-products-int8"
    result = run(*words, "--model", "lite0-products")
    assert result.code == 1
    assert "catalog migrate" in result.err
    other = ("index", photos, "--catalog", tmp_path / "other")
    assert run(*other, "--model", toy).code == 0
    result = run(*other)
    assert result.code == 1
    assert "name it with --model" in result.err


@pytest.mark.parametrize("limit", ["0", "20%"])
def test_too_many_failures_stop_the_run(
    run: Run, photos: Path, toy: Path, tmp_path: Path, limit: str
) -> None:
    result = run("index", photos, "--catalog", tmp_path / "shop", "--model", toy,
                 "--max-failures", limit)  # fmt: skip
    assert result.code == 1
    assert "1 not_an_image" in result.err
    with open_catalog(tmp_path / "shop") as catalog:
        assert catalog.count() == 3
        assert [f.photo_id for f in catalog.failures()] == ["3.png"]


def test_columns_are_named(run: Run, photos: Path, toy: Path, tmp_path: Path) -> None:
    table = photos / "list.csv"
    table.write_text("sku,file,colour\n12,0.png,red\n13,1.png,blue\n")
    words = ("index", table, "--catalog", tmp_path / "shop", "--model", toy,
             "--column", "img_path=file")  # fmt: skip
    assert "seller_img_id" in run(*words).err
    assert run(*words, "--column", "seller_img_id=sku").code == 0
    with open_catalog(tmp_path / "shop") as catalog:
        assert catalog.ids('colour = "blue"') == [13]


def test_what_is_missing_and_wrong_usage(run: Run, photos: Path, tmp_path: Path) -> None:
    assert run("index", photos).code == 2
    result = run("index", tmp_path / "none", "--catalog", tmp_path / "shop")
    assert result.code == 3
    assert not (tmp_path / "shop").exists()
    result = run("index", photos, "--catalog", "ftp://host/shop")
    assert result.code == 1
    assert "milvus://" in result.err
    table = photos / "list.csv"
    table.write_text("seller_img_id,img_path,photo_id\n12,0.png,3\n")
    result = run("index", table, "--catalog", tmp_path / "shop")
    assert result.code == 1
    assert "no attribute can have the name photo_id" in result.err
