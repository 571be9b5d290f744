"""`shoplens search --catalog`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Result, Run, picture

import shoplens
from shoplens import Encoder, Entry, index, open_catalog
from shoplens.catalog.originals import Originals

ROWS = (
    "seller_img_id,img_path,product_id,category,price\n"
    "1,1.png,a,shoes,10\n2,2.png,a,shoes,20\n3,3.png,b,bags,30\n4,4.png,b,bags,\n5,5.png,,,50\n"
)


@pytest.fixture
def model(make_model: Callable[..., Path]) -> Path:
    return make_model()


@pytest.fixture
def toy(model: Path) -> Encoder:
    return shoplens.load_encoder(model)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of five photos with a table."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(1, 6):
        picture(number).save(folder / f"{number}.png")
    (folder / "gallery.csv").write_text(ROWS)
    return folder


@pytest.fixture
def shop(photos: Path, toy: Encoder, tmp_path: Path) -> Path:
    index(photos, tmp_path / "shop", encoder=toy)
    return tmp_path / "shop"


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    picture(3).save(tmp_path / "snapshot.png")
    return tmp_path / "snapshot.png"


@pytest.fixture
def search(run: Run, shop: Path, model: Path) -> Run:
    """Search in the catalogue."""

    def found(*words: object) -> Result:
        return run("search", *words, "--catalog", shop, "--model", model)

    return found


def without_seconds(values: dict[str, Any]) -> dict[str, Any]:
    assert set(values.pop("seconds")) == {"query", "search"}
    return values


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ([], {}),
        (["--box", "4,4,30,20", "-k", "2"], {"box": "4,4,30,20", "k": 2}),
        (["--where", "price < 40"], {"where": "price < 40"}),
        (["--group-by", "product"], {"group_by": "product"}),
        (["--min-score", "0.9"], {"min_score": 0.9}),
        (["--exact", "--facet", "category", "--facet", "price"],
         {"exact": True, "facets": ["category", "price"]}),
        (["--group-by", "product", "--where", 'category = "bags"', "-k", "1"],
         {"group_by": "product", "where": 'category = "bags"', "k": 1}),
    ],
)  # fmt: skip
def test_the_json_is_that_of_python(
    search: Run, shop: Path, snapshot: Path, toy: Encoder, words: list[str],
    arguments: dict[str, Any],
) -> None:  # fmt: skip
    result = search(snapshot, *words, "--json", "-")
    assert result.code == 0
    with open_catalog(shop) as catalog:
        expected = catalog.search(snapshot, encoder=toy, **arguments).to_json()
    assert without_seconds(result.json) == without_seconds(expected)


def test_photos_like_one_of_the_catalogue(search: Run, shop: Path) -> None:
    result = search("--photo-id", "3", "--json", "-", "-k", "3")
    with open_catalog(shop) as catalog:
        expected = catalog.search(photo_id=3, k=3).to_json()
    assert without_seconds(result.json) == without_seconds(expected)
    assert 3 not in [hit["photo_id"] for hit in result.json["hits"]]
    missing = search("--photo-id", "77")
    assert missing.code == 3
    assert "there is no photo 77" in missing.err


def test_several_photos(search: Run, snapshot: Path, shop: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    result = search(snapshot, bad, "--json", "-", "-k", "2")
    assert result.code == 1
    first, second = result.json["results"]
    assert first["query"] == {"id": 0, "path": str(snapshot)}
    assert first["hits"] == search(snapshot, "--json", "-", "-k", "2").json["hits"]
    assert second["hits"] == []
    assert result.json["failures"] == {"queries": {"not_an_image": 1}}
    assert result.json["failed_photos"][0]["path"] == str(bad)
    assert "1 failed, not_an_image" in result.err


def test_a_table_of_queries(search: Run, snapshot: Path, tmp_path: Path) -> None:
    table = tmp_path / "queries.csv"
    table.write_text("user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h\n8,snapshot.png,4,4,30,20\n")
    [found] = search("--queries", table, "--json", "-").json["results"]
    assert found["query"] == {"id": 8, "path": "snapshot.png"}
    expected = search(snapshot, "--box", "4,4,30,20", "--json", "-").json
    assert found["hits"] == expected["hits"]


def test_the_table_counts_the_photos_of_a_product(search: Run, snapshot: Path) -> None:
    header, first, *_ = search(snapshot, "--group-by", "product").out.splitlines()
    assert header.split("\t") == ["rank", "score", "photo", "product", "photos", "path"]
    assert first.split("\t") == ["1", "1.0000", "3", "b", "2", "3.png"]
    header = search(snapshot).out.splitlines()[0]
    assert header.split("\t") == ["rank", "score", "photo", "product", "path"]


def test_facets_are_a_table(search: Run, snapshot: Path) -> None:
    _, facets = search(snapshot, "--facet", "category").out.split("\n\n")
    rows = [line.split("\t") for line in facets.splitlines()]
    assert rows == [
        ["attribute", "value", "photos"],
        ["category", "bags", "2"],
        ["category", "shoes", "2"],
        ["category", "null", "1"],
    ]


def test_a_faulty_filter_is_shown_with_its_place(search: Run, snapshot: Path) -> None:
    result = search(snapshot, "--where", "price << 3")
    assert result.code == 2
    assert result.out == ""
    *_, text, mark = result.err.rstrip("\n").split("\n")
    assert text.strip() == "price << 3"
    assert mark[text.index("<") :].strip() == "^"


@pytest.mark.parametrize(
    "words",
    [
        ["--where", "a = 1"],
        ["--min-score", "0.5"],
        ["--facet", "a"],
        ["--exact"],
    ],
)
def test_options_of_catalogues_are_refused_for_galleries(
    run: Run, photos: Path, snapshot: Path, words: list[str]
) -> None:
    result = run("search", snapshot, "--gallery", photos, *words)
    assert result.code == 2
    assert f"only a catalogue takes {words[0]}" in result.err


def test_wrong_usage(search: Run, run: Run, shop: Path, photos: Path, snapshot: Path) -> None:
    for words in (
        [snapshot, "--gallery", photos],
        [],
        [snapshot, "--photo-id", "3"],
        ["--photo-id", "3", "--box", "0,0,9,9"],
        ["--photo-id", "3", "--box", "auto"],
        [snapshot, "--gallery-vectors", "vectors.npy"],
        [snapshot, "--min-score", "2"],
        [snapshot, "--group-by", "category"],
    ):
        assert search(*words).code == 2
    assert run("search", snapshot).code == 2
    assert run("search", "--photo-id", "3", "--gallery", photos).code == 2


def test_what_is_missing(run: Run, search: Run, tmp_path: Path, snapshot: Path) -> None:
    assert run("search", snapshot, "--catalog", tmp_path / "none").code == 3
    assert search(tmp_path / "none.png").code == 3


def test_a_box_is_proposed(search: Run, shop: Path, toy: Encoder, snapshot: Path) -> None:
    with open_catalog(shop, read_only=True) as catalog:
        expected = catalog.search(snapshot, box="auto", encoder=toy)
    assert expected.query is not None
    box = shoplens.propose_boxes(snapshot)[0].box
    assert expected.query.box == box
    found = search(snapshot, "--box", "auto", "--json", "-")
    assert found.json["query_box"] == str(box)
    assert found.json["hits"] == expected.to_json()["hits"]
    assert f"snapshot.png: the proposed box is {box}" in found.err


def test_each_of_several_photos_gets_its_own_box(
    search: Run, snapshot: Path, tmp_path: Path
) -> None:
    wide = tmp_path / "wide.png"
    picture(5, (90, 40)).save(wide)
    found = search(snapshot, wide, "--box", "auto", "--json", "-").json["results"]
    assert [result["query_box"] for result in found] == [
        str(shoplens.propose_boxes(photo)[0].box) for photo in (snapshot, wide)
    ]
    assert search(snapshot, wide, "--box", "0,0,9,9").code == 2


def test_photos_and_boxes_that_cannot_be_used(search: Run, snapshot: Path, tmp_path: Path) -> None:
    assert search(snapshot, "--box", "somewhere").code == 2
    assert search(snapshot, "--box", "900,900,9,9").code == 1
    (tmp_path / "bad.png").write_bytes(b"no picture")
    result = search(tmp_path / "bad.png")
    assert result.code == 1
    assert "bad.png" in result.err
    assert "reaches beyond the photo" in search(snapshot, "--box=-5,0,30,30").err


def test_the_model_is_the_catalogues(
    run: Run, photos: Path, snapshot: Path, shop: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    index(photos, own, encoder=shoplens.load_encoder("lite0-products-int8"))
    shown = run("search", snapshot, "--catalog", own, "--json", "-").json
    assert shown["model"]["name"] == "lite0-products-int8"
    result = run("search", snapshot, "--catalog", own, "--model", "lite0-products")
    assert result.code == 1
    assert "cannot be compared" in result.err
    result = run("search", snapshot, "--catalog", shop)
    assert result.code == 1
    assert "name it with --model" in result.err


def test_an_empty_catalogue_finds_nothing(
    run: Run, snapshot: Path, tmp_path: Path, toy: Encoder
) -> None:
    open_catalog(tmp_path / "empty", create=True).close()
    result = run("search", snapshot, "--catalog", tmp_path / "empty", "--json", "-")
    assert result.code == 0
    assert result.json["hits"] == []


def test_the_page_shows_the_photos(
    search: Run, photos: Path, snapshot: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert search(snapshot, "--html", page, "-k", "3").code == 0
    assert page.read_text().count("data:image/jpeg") == 4
    assert search("--photo-id", "3", "--html", page, "-k", "3").code == 0
    assert page.read_text().count("data:image/jpeg") == 4
    assert "why hit" not in page.read_text()
    # With heat maps over the photo and over each hit.
    assert search(snapshot, "--html", page, "-k", "3", "--matches").code == 0
    assert page.read_text().count("data:image/jpeg") == 4 + 3 * 2
    assert page.read_text().count("why hit") == 3
    assert search(snapshot, "--matches").code == 2
    assert search(snapshot, "--html", page, "--rerank", "aqe").code == 0
    assert "aqe:k=2,gap=0.05 (gallery-side)" in page.read_text()
    for file in photos.glob("*.png"):
        file.unlink()
    assert search(snapshot, "--html", page, "-k", "3", "--matches").code == 0
    assert page.read_text().count("data:image/jpeg") == 1
    assert f"1.png is not in {photos}" in page.read_text()


def test_no_path_leads_out_of_its_source_or_to_the_network(photos: Path, tmp_path: Path) -> None:
    picture(1).save(tmp_path / "secret.png")
    for path, source in (
        ("../secret.png", str(photos)),
        (str(tmp_path / "secret.png"), str(photos)),
        ("1.png", ""),
        ("http://localhost:9/1.png", str(photos)),
        ("1.png", "http://localhost:9/photos"),
        ("1.png", str(tmp_path / "none")),
    ):
        vector = np.zeros(3, np.float32)
        photo = Originals().photo(Entry(1, vector, path=path, source=source))
        assert photo.problem is not None
        assert photo.problem.reason == "missing"


def test_the_json_goes_to_a_file(search: Run, snapshot: Path, tmp_path: Path) -> None:
    result = search(snapshot, "--json", tmp_path / "hits.json", "-k", "1")
    assert result.out.count("\n") == 2
    assert json.loads((tmp_path / "hits.json").read_text())["hits"][0]["photo_id"] == 3
