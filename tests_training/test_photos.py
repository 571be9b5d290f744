from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.errors import DataError, MissingError
from shoplens.records import Box
from shoplens.training.config import Holdout, SourceConfig
from shoplens.training.photos import Product, TrainingPhoto, read_products, split


def photo(product: str, domain: str, number: int = 0) -> TrainingPhoto:
    name = f"{product}-{domain}-{number}"
    return TrainingPhoto(name, Path(name), "made", domain, f"made/{product}", "made/any")  # type: ignore[arg-type]


def product(key: str, *domains: str) -> Product:
    photos = tuple(photo(key, domain, number) for number, domain in enumerate(domains))
    return Product(f"made/{key}", "made", "made/any", photos, 1)


def test_products_are_read_with_their_photos(table: Path) -> None:
    products = read_products([SourceConfig(table=table)])
    assert [p.key for p in products][:2] == ["made/red", "made/green"]
    assert all(len(p.taken_by("user")) == len(p.taken_by("seller")) == 3 for p in products)
    assert products[1].category == "made/round"
    assert products[0].photos[0].path == table.parent / "red-user-0.jpg"


def test_only_the_sources_asked_for_are_taken(table: Path) -> None:
    with pytest.raises(DataError, match="no rows of the sources"):
        read_products([SourceConfig(table=table, sources=("other",))])


def test_a_product_with_many_photos_is_thinned_out_in_each_domain(table: Path) -> None:
    products = read_products([SourceConfig(table=table, max_per_product=2)])
    names = [p.name for p in products[0].photos]
    assert names == ["red-user-0.jpg", "red-user-2.jpg", "red-seller-0.jpg", "red-seller-2.jpg"]


def test_a_product_named_by_two_entries_is_refused(table: Path) -> None:
    with pytest.raises(DataError, match="made/red is in two"):
        read_products([SourceConfig(table=table), SourceConfig(table=table)])


def test_every_fault_of_a_table_is_named_with_its_row(table: Path) -> None:
    lines = table.read_text().splitlines()
    lines[3] = "red-user-2.jpg,made,buyer,red,square"
    lines[5] = "red-seller-1.jpg,made,seller,,square"
    lines[7] = "../outside.jpg,made,seller,red,square"
    table.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_products([SourceConfig(table=table)])
    found = [(fault.row, fault.column) for fault in caught.value.faults]
    assert found == [(4, "domain"), (6, "product_id"), (8, "img_path")]


def test_a_missing_column_is_named(table: Path) -> None:
    table.write_text(table.read_text().replace("category", "kind", 1))
    with pytest.raises(DataError, match="category"):
        read_products([SourceConfig(table=table)])


def test_a_missing_table_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"none\.csv"):
        read_products([SourceConfig(table=tmp_path / "none.csv")])


def test_only_products_of_both_domains_are_kept_out() -> None:
    products = [product("one", "user"), product("two", "user", "seller")]
    trained, held_out = split(products, Holdout(share=1.0))
    assert [p.key for p in trained] == ["made/one"]
    assert [p.key for p in held_out] == ["made/two"]


@given(st.lists(st.text(min_size=1), unique=True), st.text(min_size=1), st.integers(0, 9))
def test_a_product_more_moves_no_other(names: list[str], more: str, seed: int) -> None:
    products = [product(name, "user", "seller") for name in names]
    holdout = Holdout(share=0.5, seed=seed)
    before = {p.key for p in split(products, holdout)[1]}
    grown = [*products, product(f"{more} more", "user", "seller")]
    after = {p.key for p in split(grown, holdout)[1]}
    assert before == after & {p.key for p in products}


def boxed(table: Path, *boxes: str) -> list[TrainingPhoto]:
    """Give the rows of a table boxes, empty ones after the last; read it."""
    head, *rows = table.read_text().splitlines()
    cells = [*boxes, *[",,,"] * (len(rows) - len(boxes))]
    lines = [f"{head},bbox_x,bbox_y,bbox_w,bbox_h"]
    lines += [f"{row},{cell}" for row, cell in zip(rows, cells, strict=True)]
    table.write_text("\n".join(lines))
    return [photo for p in read_products([SourceConfig(table=table)]) for photo in p.photos]


def test_a_training_table_may_have_boxes(table: Path) -> None:
    photos = boxed(table, "10,5,40,30")
    assert photos[0].box == Box(10, 5, 50, 35)
    assert photos[0].region == (photos[0].path, photos[0].box)
    assert photos[0].key != photos[0].name == "red-user-0.jpg"
    assert all(p.box is None and p.problem is None and p.key == p.name for p in photos[1:])


@pytest.mark.parametrize("box", ["10,5,0,30", "10,5,,30", "10,x,40,30", "1e308,5,1e308,30"])
def test_a_bad_box_spoils_its_photo_only(table: Path, box: str) -> None:
    photos = boxed(table, "1,2,3,4", box)
    assert [p.problem and p.problem.reason for p in photos[:3]] == [None, "bad_box", None]


def test_boxes_need_all_their_columns(table: Path) -> None:
    table.write_text(table.read_text().replace("category", "category,bbox_x", 1))
    with pytest.raises(DataError, match=r"lacks the columns bbox_y, bbox_w, bbox_h"):
        read_products([SourceConfig(table=table)])


@pytest.fixture
def dataset(table: Path) -> Path:
    """A test set folder of two products, with a bad box and a missing file."""
    folder = table.parent
    (folder / "gallery.csv").write_text(
        "seller_img_id,img_path,product_id\n1,red-seller-0.jpg,007\n2,blue-seller-0.jpg,7\n"
    )
    (folder / "queries.csv").write_text(
        "user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id\n"
        "1,red-user-0.jpg,5,5,60,50,007\n2,red-user-0.jpg,50,5,60,50,7\n"
        "3,red-user-1.jpg,5,5,0,50,007\n4,none.jpg,5,5,60,50,7\n"
    )
    return folder


def test_a_test_set_folder_serves_as_a_table(dataset: Path) -> None:
    one, two = read_products([SourceConfig(table=dataset)])
    assert (one.key, two.key) == ("photos/007", "photos/7")
    assert {one.source, one.category[:-1], two.category[:-1]} == {"photos"}
    assert [p.domain for p in one.photos] == ["user", "user", "seller"]
    assert [p.problem and p.problem.reason for p in one.photos] == [None, "bad_box", None]
    assert [p.problem and p.problem.reason for p in two.photos] == [None, "missing", None]
    assert one.photos[0].path == two.photos[0].path
    assert one.photos[0].box == Box(5, 5, 65, 55)
    assert one.photos[0].key != two.photos[0].key


def test_a_test_set_folder_needs_products(dataset: Path) -> None:
    file = dataset / "queries.csv"
    file.write_text(file.read_text().replace("60,50,7\n", "60,50,\n", 1))
    with pytest.raises(DataError, match=r"user photo 2 .* has no product_id"):
        read_products([SourceConfig(table=dataset)])


def test_a_folder_without_tables_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"gallery\.csv"):
        read_products([SourceConfig(table=tmp_path)])
