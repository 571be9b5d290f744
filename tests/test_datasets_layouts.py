from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import made_layouts
import pytest
from conftest import Run
from made_layouts import MAKERS

from shoplens.curation.converting import Converted, convert_dataset
from shoplens.datasets.checking import check
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.datasets.layouts import LAYOUTS, read_published, recognise
from shoplens.errors import DataError, MissingError

EXPECTED = {
    # queries, gallery, products of the gallery
    ("products-10k", "test"): (2, 3, 2),
    ("products-10k", "train"): (2, 2, 2),
    ("products-10k", "all"): (2, 7, 2),
    ("stanford-online-products", "test"): (1, 3, 2),
    ("stanford-online-products", "train"): (2, 2, 2),
    ("deepfashion-in-shop", "test"): (2, 2, 2),
    ("deepfashion-in-shop", "train"): (1, 1, 1),
    ("deepfashion-in-shop", "all"): (3, 3, 3),
    ("deepfashion-consumer-to-shop", "test"): (3, 4, 3),
    ("deepfashion-consumer-to-shop", "val"): (1, 4, 3),
    ("deepfashion-consumer-to-shop", "train"): (1, 1, 1),
    ("deepfashion-consumer-to-shop", "all"): (5, 5, 4),
    ("grocery-store", "test"): (3, 3, 3),
    ("grocery-store", "val"): (1, 3, 3),
    ("grocery-store", "all"): (8, 3, 3),
    ("rp2k", "test"): (2, 4, 3),
    ("rp2k", "all"): (3, 9, 3),
}


def converted(
    name: str, folder: Path, split: str = "test", end: str = "\n"
) -> tuple[Converted, Dataset]:
    source, target = folder / "source", folder / "set"
    MAKERS[name](source, end)
    made = convert_dataset(name, source, target, split=split)
    return made, read_dataset(target)


@pytest.mark.parametrize(("name", "split"), EXPECTED)
def test_a_published_dataset_becomes_a_test_set(name: str, split: str, tmp_path: Path) -> None:
    made, data = converted(name, tmp_path, split)
    products = {photo.product_id for photo in data.gallery}
    assert (len(data.queries), len(data.gallery), len(products)) == EXPECTED[name, split]
    assert {photo.product_id for photo in data.queries} <= products
    assert made.made.layout == name
    assert made.split == split
    assert not made.made.failures
    assert check(tmp_path / "set").ok


@pytest.mark.parametrize("name", MAKERS)
def test_windows_line_ends_change_nothing(name: str, tmp_path: Path) -> None:
    for folder, end in (("unix", "\n"), ("windows", "\r\n")):
        converted(name, tmp_path / folder, "all", end)
    tables = [
        [(tmp_path / folder / "set" / f"{side}.csv").read_text() for side in ("gallery", "queries")]
        for folder in ("unix", "windows")
    ]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("name", MAKERS)
def test_a_layout_is_recognised_if_nothing_else_looks_like_it(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path / "source", "\n")
    if LAYOUTS[name].recognisable:
        assert recognise(tmp_path / "source").name == name
    else:
        with pytest.raises(DataError, match=f"{name} must be named"):
            recognise(tmp_path / "source")
    others = [one for other, one in LAYOUTS.items() if other not in (name, "rp2k")]
    for other in others:
        assert other.find(tmp_path / "source") is None
        with pytest.raises(DataError, match="does not have the layout"):
            read_published(tmp_path / "source", other, "test")


def test_every_photo_keeps_its_product_and_category(tmp_path: Path) -> None:
    _, data = converted("deepfashion-consumer-to-shop", tmp_path)
    source = {p.read_bytes(): p for p in (tmp_path / "source").rglob("*.jpg")}
    for photo in (*data.gallery, *data.queries):
        original = source[photo.path.read_bytes()]
        assert original.parent.name == photo.product_id
        assert photo.attributes["category"] == "/".join(original.parts[-4:-2])
        assert original.name.startswith("shop" if photo.domain == "seller" else "comsumer")


@pytest.mark.parametrize("name", ["deepfashion-in-shop", "deepfashion-consumer-to-shop"])
def test_corners_become_boxes(name: str, tmp_path: Path) -> None:
    made, data = converted(name, tmp_path)
    assert {str(photo.box) for photo in data.queries} == {"10,5,40,35"}
    assert made.made.n_whole == 0


def test_the_groups_of_products_10k_reach_its_test_split(tmp_path: Path) -> None:
    _, data = converted("products-10k", tmp_path)
    pairs = {(photo.product_id, photo.attributes["category"]) for photo in data.gallery}
    assert pairs == {("0", 5), ("1", 7)}


def test_queries_are_drawn_where_the_dataset_does_not_say(tmp_path: Path) -> None:
    made_layouts.rp2k(tmp_path / "source")
    drawn = {}
    for most in (1, 2, 9):
        target = tmp_path / f"set-{most}"
        made = convert_dataset("rp2k", tmp_path / "source", target, queries_per_product=most)
        drawn[most] = made.n_drawn
        left = Counter(photo.product_id for photo in read_dataset(target).gallery)
        # Each product can still be found, and one with a single photo is a distractor.
        assert set(left) == {"农夫山泉", "可口可乐500ml", "others"}
    assert drawn == {1: 2, 2: 3, 9: 3}


def test_the_seed_decides_what_is_drawn(tmp_path: Path) -> None:
    made_layouts.products_10k(tmp_path / "source")

    def tables(seed: int, name: str) -> str:
        convert_dataset(
            "products-10k", tmp_path / "source", tmp_path / name, split="all", seed=seed
        )
        return (tmp_path / name / "queries.csv").read_text()

    assert tables(1, "a") == tables(1, "b")
    drawn = set()
    for seed in range(5):
        tables(seed, f"s{seed}")
        drawn.add(frozenset(p.read_bytes() for p in (tmp_path / f"s{seed}" / "queries").iterdir()))
    assert len(drawn) > 1


def test_a_dataset_that_says_it_draws_nothing(tmp_path: Path) -> None:
    made, _ = converted("grocery-store", tmp_path)
    assert made.n_drawn == 0


def test_missing_photos_are_left_out_and_counted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.stanford_online_products(source)
    (source / "Stanford_Online_Products" / "bicycle_final" / "33_1.JPG").unlink()
    made = convert_dataset("auto", source, tmp_path / "set")
    (left_out,) = made.made.failures
    assert (left_out.name, left_out.reason, left_out.row) == (
        "bicycle_final/33_1.JPG",
        "missing",
        3,
    )
    assert made.made.n_gallery + made.made.n_queries == 3


def test_names_are_found_whatever_their_case(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.stanford_online_products(source)
    root = source / "Stanford_Online_Products"
    for path in list(root.rglob("*.JPG")):
        path.rename(path.with_suffix(".jpg"))
    (root / "bicycle_final").rename(root / "Bicycle_Final")
    made = convert_dataset("auto", source, tmp_path / "set")
    assert not made.made.failures


@pytest.mark.skipif(os.name == "nt", reason="names that differ in case only")
def test_a_name_in_two_cases_is_not_guessed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.stanford_online_products(source)
    folder = source / "Stanford_Online_Products" / "bicycle_final"
    (folder / "33_0.JPG").rename(folder / "33_0.jpg")
    made_layouts.photo(folder / "33_0.Jpg", 77)
    if not (folder / "33_0.JPG").exists():
        made = convert_dataset("auto", source, tmp_path / "set")
        assert [failure.reason for failure in made.made.failures] == ["missing"]


def test_backslashes_and_empty_lines_are_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.deepfashion_in_shop(source)
    for path in (source / "Eval" / "list_eval_partition.txt", source / "Anno/list_bbox_inshop.txt"):
        text = path.read_text().replace("/", "\\").replace("\n", "\n\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    made = convert_dataset("auto", source, tmp_path / "set")
    assert (made.made.n_queries, made.made.n_gallery, made.made.n_whole) == (2, 2, 0)
    assert not made.notes


def test_copies_without_the_usual_folders_are_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.deepfashion_in_shop(source)
    (source / "Eval" / "list_eval_partition.txt").rename(source / "list_eval_partition.txt")
    (source / "Anno" / "list_bbox_inshop.txt").rename(source / "list_bbox_inshop.txt")
    (source / "Img" / "img").rename(source / "img")
    for name in ("Eval", "Anno", "Img"):
        (source / name).rmdir()
    made = convert_dataset("auto", source, tmp_path / "set")
    assert (made.made.n_queries, made.made.n_gallery, made.made.n_whole) == (2, 2, 0)


def test_boxes_are_left_out_where_only_larger_photos_are_there(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.deepfashion_in_shop(source)
    (source / "Img" / "img").rename(source / "Img" / "img_highres")
    made = convert_dataset("auto", source, tmp_path / "set")
    assert (made.made.n_queries, made.made.n_whole) == (2, 2)
    assert "boxes are left out" in made.notes[0]


def test_a_list_without_boxes_is_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.deepfashion_consumer_to_shop(source)
    (source / "Anno" / "list_bbox_consumer2shop.txt").unlink()
    made = convert_dataset("auto", source, tmp_path / "set")
    assert made.made.n_whole == 3
    assert "no photo has a box" in made.notes[0]


def test_an_empty_box_spoils_a_query_and_no_gallery_photo(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.deepfashion_in_shop(source)
    path = source / "Anno" / "list_bbox_inshop.txt"
    path.write_text(path.read_text().replace("010 005 050 040", "010 005 010 040"))
    with pytest.raises(DataError, match="no user photo is left"):
        convert_dataset("auto", source, tmp_path / "set")
    made = convert_dataset("auto", source, tmp_path / "train", split="train")
    assert (made.made.n_queries, made.made.n_gallery, made.made.n_whole) == (1, 1, 1)


def test_a_count_that_is_wrong_is_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.deepfashion_in_shop(source)
    path = source / "Eval" / "list_eval_partition.txt"
    path.write_text("52712" + path.read_text().removeprefix("6"))
    made = convert_dataset("auto", source, tmp_path / "set")
    assert made.notes == ("list_eval_partition.txt says that it has 52,712 rows, and has 6",)


def test_every_fault_of_a_list_is_told_at_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.stanford_online_products(source)
    path = source / "Stanford_Online_Products" / "Ebay_test.txt"
    lines = path.read_text().splitlines()
    lines += ["9 1 1", "10 11320 2 ../outside.JPG", "11 7 1 bicycle_final/33_0.JPG"]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match="3 faults in the lists") as caught:
        convert_dataset("auto", source, tmp_path / "set")
    assert [fault.row for fault in caught.value.faults] == [6, 7, 8]
    assert not (tmp_path / "set").exists()


def test_tables_with_other_columns_are_refused(tmp_path: Path) -> None:
    made_layouts.products_10k(tmp_path / "p")
    (tmp_path / "p" / "test_kaggletest.csv").write_text("name\n4.jpg\n")
    with pytest.raises(DataError, match="has no column class"):
        convert_dataset("products-10k", tmp_path / "p", tmp_path / "set")
    made_layouts.grocery_store(tmp_path / "g")
    path = tmp_path / "g" / "dataset" / "test.txt"
    path.write_text("test/a.jpg\ntest/b.jpg, 99, 0\n")
    with pytest.raises(DataError, match="2 faults") as caught:
        convert_dataset("grocery-store", tmp_path / "g", tmp_path / "set")
    assert "has 1 fields" in str(caught.value)
    assert "is no class" in str(caught.value)


def test_what_is_no_published_dataset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has none of the layouts"):
        convert_dataset("auto", tmp_path / "empty", tmp_path / "set")
    with pytest.raises(MissingError, match="is not there"):
        convert_dataset("auto", tmp_path / "none", tmp_path / "set")
    (tmp_path / "packed.zip").write_bytes(b"")
    with pytest.raises(DataError, match="unpack the dataset first"):
        convert_dataset("auto", tmp_path / "packed.zip", tmp_path / "set")
    with pytest.raises(DataError, match="there is no layout 'sop'"):
        convert_dataset("sop", tmp_path / "empty", tmp_path / "set")
    made_layouts.products_10k(tmp_path / "p")
    with pytest.raises(DataError, match="has no split 'val'; it has train, test, all"):
        convert_dataset("auto", tmp_path / "p", tmp_path / "set", split="val")
    for layout in (made_layouts.products_10k, made_layouts.stanford_online_products):
        layout(tmp_path / "both")
    with pytest.raises(DataError, match="has the layouts products-10k and stanford"):
        convert_dataset("auto", tmp_path / "both", tmp_path / "set")


def test_images_of_no_product_are_counted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.rp2k(source)
    made_layouts.photo(source / "rp2k_dataset" / "all" / "test" / "lost.jpg", 9)
    made = convert_dataset("rp2k", source, tmp_path / "set")
    assert made.made.strays == ("test/lost.jpg",)


def test_convert_as_a_command(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    made_layouts.products_10k(source)
    target = tmp_path / "set"
    made = run("dataset", "convert", "auto", source, target, "--photos", "link", "--json", "-")
    assert made.code == 0
    assert made.json["layout"] == "products-10k"
    assert (made.json["split"], made.json["n_drawn"], made.json["notes"]) == ("test", 2, [])
    assert "read as Products-10K, split test" in made.err
    assert "2 queries drawn at random" in made.err
    assert run("check", target).code == 0
    assert run("dataset", "convert", "auto", source, target).code == 1
    assert run("dataset", "convert", "sop", source, tmp_path / "other").code == 2
