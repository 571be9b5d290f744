from __future__ import annotations

import csv
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import picture
from PIL import ExifTags, Image

from shoplens.curation.making import make_dataset
from shoplens.curation.tagged import read_tagged
from shoplens.datasets.checking import check
from shoplens.datasets.dataset import read_dataset
from shoplens.errors import DataError, MissingError, ShoplensError

Tree = Callable[..., Path]

DOMAIN_FIRST = (
    "user/mug/a.jpg",
    "user/mug/b.jpg",
    "user/mug/c.jpg",
    "seller/mug/a.jpg",
    "user/lamp/a.jpg",
    "seller/lamp/a.jpg",
    "seller/lamp/close/b.jpg",
    "seller/vase/a.jpg",  # A distractor.
    "user/sock/a.jpg",  # Nobody sells it.
)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Write real JPEGs at the paths given; returns the folder."""

    def make(*names: str) -> Path:
        root = tmp_path / "photos"
        for number, name in enumerate(names):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(number).save(path, quality=90)
        return root

    return make


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def content(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_tree_by_domain_becomes_a_test_set(tree: Tree, tmp_path: Path) -> None:
    made = make_dataset(tree(*DOMAIN_FIRST), tmp_path / "set")
    assert made.layout == "DOMAIN/PRODUCT"
    assert (made.n_gallery, made.n_queries, made.n_products) == (4, 4, 3)
    assert (made.n_distractor_products, made.n_user_only_products) == (1, 1)
    assert (made.n_user_only_photos, made.n_whole) == (1, 4)
    data = read_dataset(tmp_path / "set")
    assert data.gallery.ids.tolist() == [0, 1, 2, 3]
    assert data.queries.ids.tolist() == [0, 1, 2, 3]
    assert sorted(p.product_id or "" for p in data.gallery) == ["lamp", "lamp", "mug", "vase"]
    assert sorted(p.product_id or "" for p in data.queries) == ["lamp", "mug", "mug", "mug"]
    assert {str(photo.box) for photo in data.queries} == {"0,0,64,48"}
    assert check(tmp_path / "set").ok


def test_a_tree_by_product_gives_the_same_photos(tree: Tree, tmp_path: Path) -> None:
    names = [
        "/".join((parts[1], parts[0], *parts[2:]))
        for parts in (name.split("/") for name in DOMAIN_FIRST)
    ]
    made = make_dataset(tree(*names), tmp_path / "set")
    assert made.layout == "PRODUCT/DOMAIN"
    assert (made.n_gallery, made.n_queries, made.n_products) == (4, 4, 3)
    assert check(tmp_path / "set").ok


def test_a_photo_keeps_its_product(tree: Tree, tmp_path: Path) -> None:
    root = tree(*DOMAIN_FIRST)
    product_of = {
        path.read_bytes(): path.relative_to(root).parts[1] for path in root.rglob("*.jpg")
    }
    make_dataset(root, tmp_path / "set")
    data = read_dataset(tmp_path / "set")
    for photo in (*data.gallery, *data.queries):
        assert product_of[photo.path.read_bytes()] == photo.product_id


@pytest.mark.parametrize(
    "names",
    [
        ("user/mug/a.jpg", "seller/mug/a.jpg", "mug/user/a.jpg"),
        ("user/user/a.jpg", "seller/mug/a.jpg"),
    ],
)
def test_a_tree_that_reads_two_ways_is_refused(
    tree: Tree, tmp_path: Path, names: tuple[str, ...]
) -> None:
    with pytest.raises(DataError, match="can be read in two ways"):
        make_dataset(tree(*names), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_tree_of_neither_layout_is_refused(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither folders"):
        make_dataset(tree("shoes/a.jpg"), tmp_path / "set")


def test_images_outside_of_the_layout_are_counted(tree: Tree, tmp_path: Path) -> None:
    root = tree("user/mug/a.jpg", "seller/mug/a.jpg", "user/lost.jpg", "misc/mug/a.jpg")
    made = make_dataset(root, tmp_path / "set")
    assert made.strays == ("misc/mug/a.jpg", "user/lost.jpg")
    assert (made.n_gallery, made.n_queries) == (1, 1)


def test_photos_that_cannot_be_used_are_left_out_and_counted(tree: Tree, tmp_path: Path) -> None:
    root = tree("user/mug/a.jpg", "user/mug/b.jpg", "seller/mug/a.jpg", "seller/mug/b.jpg")
    whole = (root / "seller/mug/b.jpg").read_bytes()
    (root / "seller/mug/b.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "user/mug/b.jpg").write_text("no photo")
    made = make_dataset(root, tmp_path / "set")
    assert {(f.name, f.reason) for f in made.failures} == {
        ("seller/mug/b.jpg", "truncated"),
        ("user/mug/b.jpg", "not_an_image"),
    }
    assert made.to_json()["failures"] == {"truncated": 1, "not_an_image": 1}
    # A tree has no rows.
    assert [told["row"] for told in made.to_json()["failed_photos"]] == [None, None]
    assert (made.n_gallery, made.n_queries) == (1, 1)
    assert check(tmp_path / "set").ok


def test_a_product_whose_only_seller_photo_is_spoilt_is_user_only(
    tree: Tree, tmp_path: Path
) -> None:
    root = tree("user/mug/a.jpg", "seller/mug/a.jpg", "user/lamp/a.jpg", "seller/lamp/a.jpg")
    (root / "seller/mug/a.jpg").write_bytes(b"\xff\xd8nothing")
    made = make_dataset(root, tmp_path / "set")
    assert (made.n_user_only_products, made.n_queries) == (1, 1)


def test_the_same_source_and_seed_give_the_same_bytes(tree: Tree, tmp_path: Path) -> None:
    root = tree(*DOMAIN_FIRST)
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        make_dataset(root, tmp_path / name, seed=seed, workers=2 if name == "one" else 1)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert content(tmp_path / "one") != content(tmp_path / "three")


def test_queries_of_a_product_can_be_limited(tree: Tree, tmp_path: Path) -> None:
    made = make_dataset(tree(*DOMAIN_FIRST), tmp_path / "set", max_queries_per_product=2)
    products = [row["product_id"] for row in rows(tmp_path / "set" / "queries.csv")]
    assert sorted(products) == ["lamp", "mug", "mug"]
    assert (made.n_queries, made.n_over_limit, made.n_user_only_photos) == (3, 1, 1)


def test_products_without_a_seller_photo_can_be_kept(tree: Tree, tmp_path: Path) -> None:
    made = make_dataset(tree(*DOMAIN_FIRST), tmp_path / "set", keep_user_only=True)
    assert (made.n_queries, made.n_products, made.n_over_limit) == (5, 4, 0)
    assert check(tmp_path / "set").n_without_positive == 1


def test_hard_links_share_the_file_and_survive_the_source(tree: Tree, tmp_path: Path) -> None:
    root = tree("user/mug/a.jpg", "seller/mug/a.jpg")
    make_dataset(root, tmp_path / "set", how="link")
    linked = tmp_path / "set" / "queries" / "0.jpg"
    assert linked.samefile(root / "user/mug/a.jpg")
    (root / "user/mug/a.jpg").unlink()
    assert check(tmp_path / "set").ok


def test_of_a_symbolic_link_the_file_behind_it_is_linked(tree: Tree, tmp_path: Path) -> None:
    root = tree("user/mug/a.jpg", "seller/mug/a.jpg")
    (root / "user/mug/b.jpg").symlink_to(root / "user/mug/a.jpg")
    make_dataset(root, tmp_path / "set", how="link")
    assert not any(path.is_symlink() for path in (tmp_path / "set").rglob("*"))


def test_a_link_across_disks_is_refused_with_the_way_out(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    with pytest.raises(ShoplensError, match="copy the photos instead"):
        make_dataset(tree("user/mug/a.jpg", "seller/mug/a.jpg"), tmp_path / "set", how="link")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_photos_can_stay_where_they_are(tree: Tree) -> None:
    root = tree(*DOMAIN_FIRST)
    before = content(root)
    made = make_dataset(root, root, how="reference")
    assert check(root).ok
    after = content(root)
    assert set(after) - set(before) == {"gallery.csv", "queries.csv"}
    assert made.n_queries == 4
    with pytest.raises(DataError, match="exists already"):
        make_dataset(root, root, how="reference")


def test_tables_are_not_put_where_they_cannot_name_the_photos(tree: Tree, tmp_path: Path) -> None:
    root = tree("user/mug/a.jpg", "seller/mug/a.jpg")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(DataError, match="is not above the photos"):
        make_dataset(root, tmp_path / "elsewhere", how="reference")


def test_an_existing_folder_is_refused_and_kept(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is there already"):
        make_dataset(tree(*DOMAIN_FIRST), tmp_path / "set")
    assert content(tmp_path / "set") == {"mine.txt": b"mine"}


def test_nothing_is_left_behind_when_the_work_breaks_off(tree: Tree, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "copy":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_dataset(tree(*DOMAIN_FIRST), tmp_path / "set", progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_source_without_one_of_the_sides_is_refused(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no user photo is left"):
        make_dataset(tree("seller/mug/a.jpg"), tmp_path / "set")


def table(root: Path, *lines: str, name: str = "photos.csv") -> Path:
    path = root / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_gives_boxes_and_categories(tree: Tree, tmp_path: Path) -> None:
    root = tree("1.jpg", "2.jpg", "3.jpg")
    source = table(
        root,
        "img_path,domain,product_id,bbox_x,bbox_y,bbox_w,bbox_h,category,price",
        "1.jpg,seller,007,,,,,cups,3",
        "2.jpg,user,007,4,5.5,20,30,cups,3",
        "2.jpg,user,8,30,5,20,30,lamps,9",  # Another product in the same photo.
        "2.jpg,user,007,4,5.5,20,30,cups,3",  # Says what a row above says.
        "3.jpg,seller,8,,,,,,9",
        "3.jpg,user,8,,,,,,9",
    )
    made = make_dataset(source, tmp_path / "set")
    assert (made.layout, made.n_repeated, made.n_whole) == ("table", 1, 1)
    queries = rows(tmp_path / "set" / "queries.csv")
    shown = {
        (row["product_id"], row["category"], *(row[f"bbox_{side}"] for side in "xywh"))
        for row in queries
    }
    assert shown == {
        ("007", "cups", "4", "5.5", "20", "30"),
        ("8", "lamps", "30", "5", "20", "30"),
        ("8", "", "0", "0", "64", "48"),
    }
    assert "price" not in queries[0]
    gallery = rows(tmp_path / "set" / "gallery.csv")
    assert {(row["product_id"], row["category"]) for row in gallery} == {("007", "cups"), ("8", "")}


def test_boxes_in_stored_pixels_are_turned_upright(tree: Tree, tmp_path: Path) -> None:
    root = tree("1.jpg", "2.jpg")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # Stored 64 x 48, shown 48 x 64, turned clockwise.
    picture(5).save(root / "2.jpg", exif=exif)
    source = table(
        root,
        "img_path,domain,product_id,bbox_x,bbox_y,bbox_w,bbox_h",
        "1.jpg,seller,a,,,,",
        "2.jpg,user,a,10,4,20,6",
    )
    make_dataset(source, tmp_path / "set", box_frame="stored")
    (query,) = read_dataset(tmp_path / "set").queries
    assert str(query.box) == "38,10,6,20"


def test_a_box_partly_outside_is_kept_as_it_is(tree: Tree, tmp_path: Path) -> None:
    source = table(
        tree("1.jpg", "2.jpg"),
        "img_path,domain,product_id,bbox_x,bbox_y,bbox_w,bbox_h",
        "1.jpg,seller,a,,,,",
        "2.jpg,user,a,-5,0,20,20",
    )
    make_dataset(source, tmp_path / "set")
    (query,) = read_dataset(tmp_path / "set").queries
    assert str(query.box) == "-5,0,20,20"


def test_every_fault_of_a_table_is_named_at_once(tree: Tree, tmp_path: Path) -> None:
    source = table(
        tree("1.jpg", "2.jpg"),
        "file,who,sku",
        ",seller,a",
        "1.jpg,shop,a",
        "1.jpg,seller,",
        "../1.jpg,seller,a",
        "1.jpg,seller,a",
        "1.jpg,seller,b",
        "1.jpg,user",
    )
    columns = {"img_path": "file", "domain": "who", "product_id": "sku"}
    with pytest.raises(DataError) as caught:
        make_dataset(source, tmp_path / "set", columns=columns)
    assert [(f.row, f.column) for f in caught.value.faults] == [
        (2, "file"),
        (3, "who"),
        (4, "sku"),
        (5, "file"),
        (7, "sku"),
        (8, ""),
    ]
    assert "another product than row 6" in caught.value.faults[4].problem


def test_a_missing_file_or_bad_box_of_a_table_is_a_failure(tree: Tree, tmp_path: Path) -> None:
    source = table(
        tree("1.jpg", "2.jpg"),
        "img_path,domain,product_id,bbox_x,bbox_y,bbox_w,bbox_h",
        "1.jpg,seller,a,,,,",
        "2.jpg,user,a,0,0,9,9",
        "2.jpg,user,a,0,0,0,9",
        "2.jpg,user,b,0,0,9,-5",  # Of another product, but another box.
        "2.jpg,user,a,0,0,9,9",
        "2.jpg,user,a,99,0,9,9",
        "none.jpg,user,a,0,0,9,9",
    )
    made = make_dataset(source, tmp_path / "set")
    assert [(failure.row, failure.reason) for failure in made.failures] == [
        (4, "bad_box"),
        (5, "bad_box"),
        (7, "outside_box"),
        (8, "missing"),
    ]
    assert made.to_json()["failed_photos"][0] == {
        "path": "2.jpg",
        "row": 4,
        "reason": "bad_box",
        "detail": "bbox_w '0' must be positive: the box is empty",
    }
    assert (made.n_queries, made.n_repeated) == (1, 1)


def test_a_box_that_is_no_box_at_all_is_a_fault_of_its_table(tree: Tree, tmp_path: Path) -> None:
    source = table(
        tree("1.jpg", "2.jpg"),
        "img_path,domain,product_id,left,bbox_y,bbox_w,bbox_h",
        "1.jpg,seller,a,,,,",
        "2.jpg,user,a,0,0,9,9",
        "2.jpg,user,a,abc,0,9,9",
        "2.jpg,user,a,0,,9,9",
        "2.jpg,user,a,nan,0,1e999,9",
    )
    with pytest.raises(DataError, match="4 faults") as caught:
        make_dataset(source, tmp_path / "set", columns={"bbox_x": "left"})
    assert [(f.row, f.column, f.value, f.problem) for f in caught.value.faults] == [
        (4, "left", "abc", "is not a finite number"),
        (5, "bbox_y", "", "is empty, and other sides of the box are given"),
        (6, "left", "nan", "is not a finite number"),
        (6, "bbox_w", "1e999", "is not a finite number"),
    ]
    assert not (tmp_path / "set").exists()


def test_a_table_without_a_needed_column_is_refused(tree: Tree, tmp_path: Path) -> None:
    source = table(tree("1.jpg"), "img_path,domain", "1.jpg,seller")
    with pytest.raises(DataError, match="lacks the columns product_id"):
        make_dataset(source, tmp_path / "set")
    with pytest.raises(MissingError):
        make_dataset(tmp_path / "none.csv", tmp_path / "set")


def test_a_quoted_name_may_hold_a_line_break(tree: Tree) -> None:
    root = tree("1.jpg")
    source = table(root, "img_path,domain,product_id", '1.jpg,seller,"a\nb"')
    (photo,) = read_tagged(source).photos
    assert photo.product_id == "a\nb"


def test_what_the_docs_name_is_imported_from_the_package() -> None:
    from shoplens import curation

    for name in ("make_dataset", "survey", "find_leaks", "anonymise", "read_key"):
        assert name in curation.__all__
        assert callable(getattr(curation, name))
    assert curation.make_dataset is make_dataset
    with pytest.raises(AttributeError, match="no attribute 'bake'"):
        curation.bake  # noqa: B018
