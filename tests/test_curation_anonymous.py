from __future__ import annotations

import csv
import json
import stat
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import ExifTags, Image

from shoplens.curation.anonymous import TIME, anonymise, read_key
from shoplens.datasets.checking import check
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.errors import DataError, MissingError, RankingError
from shoplens.evaluation.scores import evaluate
from shoplens.pixels.decoding import decode
from shoplens.ranking import Ranking

N_PRODUCTS = 6


@pytest.fixture
def labelled(tmp_path: Path) -> Dataset:
    """A test set whose ids, names, order and metadata all tell the product."""
    root = tmp_path / "labelled"
    root.mkdir()
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "product-secret"
    gallery = ["seller_img_id,img_path,product_id,category,price"]
    queries = ["user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id"]
    for product in range(N_PRODUCTS):
        exif[ExifTags.Base.Orientation] = 6 if product % 2 else 1
        for view in range(3):
            number = 100 * product + view
            name = f"product-{product}-{view}.jpg"
            picture(number).save(root / name, exif=exif, quality=90)
            gallery.append(f"{number},{name},p{product},secret-category,{product}")
        queries.append(f"{900 - product},product-{product}-0.jpg,1,2.5,30,40,p{product}")
    (root / "gallery.csv").write_text("\n".join(gallery) + "\n")
    (root / "queries.csv").write_text("\n".join(queries) + "\n")
    return read_dataset(root)


def answer_of(data: Dataset, seed: int = 0) -> Ranking:
    """An answer by someone who sees the anonymised set only: photos in random order."""
    random = np.random.default_rng(seed)
    ids = [random.permutation(data.gallery.ids)[:10] for _ in data.queries]
    return Ranking(data.queries.ids, np.array(ids, dtype=np.int32), None)


def test_an_answer_scores_the_same_through_the_key(labelled: Dataset, tmp_path: Path) -> None:
    anonymise(labelled, tmp_path / "out", tmp_path / "key.json")
    out, key = read_dataset(tmp_path / "out"), read_key(tmp_path / "key.json")
    answer = answer_of(out)
    # What the answer means, told by the photos themselves and not by the key.
    pixels = {decode(p.path.read_bytes()).image.tobytes(): p for p in labelled.gallery}
    shown = [pixels[decode(p.path.read_bytes()).image.tobytes()].id for p in out.gallery]
    asked = {decode(p.path.read_bytes()).image.tobytes(): row for row, p in enumerate(out.queries)}
    rows = [asked[decode(p.path.read_bytes()).image.tobytes()] for p in labelled.queries]
    meant = np.array(shown, dtype=np.int32)[answer.ids[rows]]
    expected = evaluate(Ranking(labelled.queries.ids, meant, None), labelled)
    restored = evaluate(key.restore(answer), labelled)
    assert restored["map@1000"] == expected["map@1000"]
    assert 0 < restored["map@1000"].value < 1
    assert np.array_equal(
        restored.per_query["map@1000"], expected.per_query["map@1000"], equal_nan=True
    )


def test_nothing_in_the_folder_tells_the_product(labelled: Dataset, tmp_path: Path) -> None:
    anonymise(labelled, tmp_path / "out", tmp_path / "key.json")
    for path in (tmp_path / "out").rglob("*"):
        assert "product" not in path.name
        if path.is_file():
            data = path.read_bytes()
            assert b"secret" not in data
            assert b"product" not in data
        assert path.stat().st_mtime == TIME
    header = (tmp_path / "out" / "gallery.csv").read_text().splitlines()[0]
    assert header == "seller_img_id,img_path"
    header = (tmp_path / "out" / "queries.csv").read_text().splitlines()[0]
    assert header == "user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h"


def test_ids_are_rows_and_their_order_is_drawn(labelled: Dataset, tmp_path: Path) -> None:
    orders = []
    for name in ("one", "two"):
        anonymise(labelled, tmp_path / name, tmp_path / f"{name}.json")
        data, key = read_dataset(tmp_path / name), read_key(tmp_path / f"{name}.json")
        assert data.gallery.ids.tolist() == list(range(3 * N_PRODUCTS))
        assert data.queries.ids.tolist() == list(range(N_PRODUCTS))
        assert sorted(key.gallery.tolist()) == sorted(labelled.gallery.ids.tolist())
        orders.append(key.gallery.tolist())
    assert orders[0] != orders[1]
    assert orders[0] != labelled.gallery.ids.tolist()


def test_the_same_secret_gives_the_same_files(labelled: Dataset, tmp_path: Path) -> None:
    for name, secret in (("one", "tree"), ("two", "tree"), ("three", "stone")):
        anonymise(labelled, tmp_path / name, tmp_path / f"{name}.json", seed=secret, workers=1)
    one, two, three = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.*")}
        for name in ("one", "two", "three")
    )
    assert one == two
    assert one.keys() != three.keys()


def test_the_result_is_sound_and_turns_and_boxes_stay(labelled: Dataset, tmp_path: Path) -> None:
    made = anonymise(labelled, tmp_path / "out", tmp_path / "key.json")
    assert (made.n_gallery, made.n_queries, made.converted) == (18, 6, {})
    assert made.n_bytes_removed > 0
    assert check(tmp_path / "out").ok
    key, out = read_key(tmp_path / "key.json"), read_dataset(tmp_path / "out")
    by_id = {photo.id: photo for photo in labelled.queries}
    for photo, original in zip(out.queries, key.queries.tolist(), strict=True):
        assert photo.box == by_id[original].box
        data = photo.path.read_bytes()
        assert decode(data).size == decode(by_id[original].path.read_bytes()).size
        assert key.names[photo.name] == by_id[original].name


def test_boxes_in_stored_pixels_are_turned_upright(labelled: Dataset, tmp_path: Path) -> None:
    stored = read_dataset(labelled.root, box_frame="stored")
    anonymise(stored, tmp_path / "out", tmp_path / "key.json")
    key, out = read_key(tmp_path / "key.json"), read_dataset(tmp_path / "out")
    boxes = dict(zip(key.queries.tolist(), (str(photo.box) for photo in out.queries), strict=True))
    assert boxes[900] == "1,2.5,30,40"
    assert boxes[899] == "5.5,1,40,30"  # Turned clockwise, 48 wide.


def test_other_formats_are_converted_and_counted(labelled: Dataset, tmp_path: Path) -> None:
    Image.open(labelled.root / "product-1-1.jpg").save(labelled.root / "x.bmp")
    table = labelled.root / "gallery.csv"
    table.write_text(table.read_text().replace("product-1-1.jpg", "x.bmp"))
    made = anonymise(read_dataset(labelled.root), tmp_path / "out", tmp_path / "key.json")
    assert made.to_json()["converted"] == {"BMP": 1}
    with (tmp_path / "out" / "gallery.csv").open(newline="") as stream:
        names = [row["img_path"] for row in csv.DictReader(stream)]
    assert sum(name.endswith(".png") for name in names) == 1


def test_the_key_is_for_its_owner_alone(labelled: Dataset, tmp_path: Path) -> None:
    anonymise(labelled, tmp_path / "out", tmp_path / "key.json", seed="tree")
    assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o600
    values = json.loads((tmp_path / "key.json").read_text())
    assert values["seed"] == "tree"


@pytest.mark.parametrize("key", ["out/key.json", "out"])
def test_a_key_inside_of_the_folder_is_refused(labelled: Dataset, tmp_path: Path, key: str) -> None:
    with pytest.raises(DataError, match="handed out"):
        anonymise(labelled, tmp_path / "out", tmp_path / key)
    assert not (tmp_path / "out").exists()


def test_nothing_that_is_there_is_replaced(labelled: Dataset, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        anonymise(labelled, tmp_path / "out", tmp_path / "key.json")
    with pytest.raises(DataError, match="is there already"):
        anonymise(labelled, labelled.root, tmp_path / "other.json")
    with pytest.raises(MissingError):
        anonymise(labelled, tmp_path / "out", tmp_path / "none" / "key.json")
    assert (tmp_path / "key.json").read_text() == "mine"
    assert not (tmp_path / "out").exists()


def test_photos_that_cannot_be_used_are_all_named_and_nothing_written(
    labelled: Dataset, tmp_path: Path
) -> None:
    (labelled.root / "product-1-1.jpg").write_text("no photo")
    (labelled.root / "product-2-1.jpg").unlink()
    with pytest.raises(DataError) as caught:
        anonymise(read_dataset(labelled.root), tmp_path / "out", tmp_path / "key.json")
    assert {fault.value for fault in caught.value.faults} == {
        "101 product-1-1.jpg",
        "201 product-2-1.jpg",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labelled"]


def test_answers_that_do_not_fit_the_key_are_refused(labelled: Dataset, tmp_path: Path) -> None:
    anonymise(labelled, tmp_path / "out", tmp_path / "key.json")
    key = read_key(tmp_path / "key.json")
    answer = answer_of(read_dataset(tmp_path / "out"))
    ids = answer.ids.copy()
    ids[2, 3] = 18
    with pytest.raises(RankingError, match="18 in row 2, column 3"):
        key.restore(Ranking(answer.query_ids, ids, None))
    with pytest.raises(RankingError, match="other queries"):
        key.restore(Ranking(answer.query_ids[::-1], answer.ids, None))
    blank = np.zeros(ids.shape, dtype=np.bool_)
    blank[2, 3] = True
    restored = key.restore(Ranking(answer.query_ids, ids, None, blank=blank))
    assert restored.blank is not None
    assert restored.blank.sum() == 1


KEY = '{"format": %s, "seed": "s", "original_queries": [%s], "gallery": [], "queries": []}'


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[1]", '{"format": 2}', '{"format": 1, "seed": 1}', KEY % (2, 0)),
        *(KEY % (1, 2**31), KEY % (1, '"0"'), "[" * 100_000, '{"format": ' * 100_000),
    ],
)
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(DataError, match="key"):
        read_key(tmp_path / "key.json")
