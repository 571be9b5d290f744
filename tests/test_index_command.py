from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from conftest import Run, picture
from PIL import Image

import shoplens
from shoplens import index, open_catalog
from shoplens.reranking import NO_STEPS, parse_chain


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


GOLDEN = (1 + 5**0.5) / 2
DIRECTIONS = [
    turned
    for one, golden in itertools.product((1.0, -1.0), (GOLDEN, -GOLDEN))
    for turned in ((0.0, one, golden), (one, golden, 0.0), (golden, 0.0, one))
]
"""The corners of an icosahedron: each has five that are near, five that are far and an opposite."""


def paint(folder: Path, photos: Sequence[tuple[int, int]]) -> Path:
    """Write photos of one colour, each off grey in a direction, with a table; returns the folder.

    The toy model sees the same in a part of such a photo as in the whole, and the cosine of two
    photos is that of their directions. `photos` are (direction, product) pairs.
    """
    folder.mkdir()
    rows = ["seller_img_id,img_path,product_id"]
    for number, (direction, product) in enumerate(photos):
        colour = tuple(127 + round(60 * part) for part in DIRECTIONS[direction])
        Image.new("RGB", (64, 48), colour).save(folder / f"{number}.png")
        rows.append(f"{number},{number}.png,{product}")
    (folder / "gallery.csv").write_text("\n".join(rows) + "\n")
    return folder


def opposite(number: int) -> int:
    return DIRECTIONS.index(tuple(-part for part in DIRECTIONS[number]))


def test_auto_keeps_the_chain_that_finds_what_only_products_tell(
    run: Run, toy: Path, tmp_path: Path
) -> None:
    """Each product has a photo in a colour and one in the opposite colour, which comes last."""
    photos = paint(tmp_path / "photos", [(n, min(n, opposite(n))) for n in range(12)])
    uri = tmp_path / "shop"
    words = ("index", photos, "--catalog", uri, "--model", toy, "--json", "-")
    done = run(*words, "--rerank", "auto")
    assert done.code == 0
    choice, [step] = done.json["rerank"], done.json["chain"]
    assert step == choice["chain"] == str(parse_chain("product-score"))
    # Of each query's two photos one comes first, and the other moves from place 12 to place 2.
    assert (choice["n_queries"], choice["n_products"]) == (12, 6)
    assert list(choice["gain"].values()) == pytest.approx([1 - (1 + 2 / 12) / 2] * 3)
    assert f"--rerank {step}: chosen on 12 queries made of gallery photos" in done.err
    assert "gain +0.417 (+0.417 .. +0.417)" in done.err
    assert f"searches are re-ranked by {step} from now on" in done.err
    with open_catalog(uri, read_only=True) as catalog:
        assert catalog.chain.names == (step,)
    words = ("search", photos / "3.png", "--catalog", uri, "--model", toy, "-k", 12, "--json", "-")
    for more, place in (((), 1), (("--rerank", "none"), 11)):
        hits = run(*words, *more).json["hits"]
        assert (hits[0]["photo_id"], hits[place]["photo_id"]) == (3, opposite(3))


def test_auto_keeps_no_chain_where_none_gains(run: Run, toy: Path, tmp_path: Path) -> None:
    """Each product has a colour of its own, so its photos come first without re-ranking."""
    photos = paint(tmp_path / "photos", [(n % 12, n % 12) for n in range(24)])
    uri = tmp_path / "shop"
    words = ("index", photos, "--catalog", uri, "--model", toy, "--json", "-")
    assert run(*words, "--rerank", "aqe").json["chain"] == [str(parse_chain("aqe"))]
    done = run(*words, "--rerank", "auto")
    assert (done.code, done.json["n_unchanged"], done.json["chain"]) == (0, 24, [])
    choice = done.json["rerank"]
    assert (choice["chain"], choice["n_queries"], choice["n_products"]) == ("none", 24, 12)
    assert list(choice["gain"].values()) == [0, 0, 0]
    assert "--rerank none: chosen on 24 queries" in done.err
    assert "searches are re-ranked by nothing from now on" in done.err
    with open_catalog(uri, read_only=True) as catalog:
        assert catalog.chain == NO_STEPS
