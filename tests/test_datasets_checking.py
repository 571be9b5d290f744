from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from shoplens.datasets.checking import check
from shoplens.errors import DataError, MissingError

HEADER = "user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id\n"


def places(source: Path, **options: object) -> list[tuple[str, int, str]]:
    return [(f.file, f.row, f.column) for f in check(source, **options).faults]


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_clean_data_has_no_fault(make_dataset: Callable[..., Path]) -> None:
    report = check(make_dataset())
    assert report.ok
    assert report.to_json() == {
        "ok": True,
        "faults": [],
        "n_gallery": 3,
        "n_queries": 2,
        "n_clipped": 0,
        "n_products": 3,
        "n_without_positive": 0,
        "n_others": 0,
    }


def test_every_fault_of_tables_and_photos_is_reported_at_once(
    make_dataset: Callable[..., Path],
) -> None:
    root = make_dataset()
    (root / "gallery" / "cut.png").write_bytes((root / "gallery" / "0.png").read_bytes()[:200])
    (root / "gallery" / "text.jpg").write_text("hello")
    (root / "gallery" / "empty.jpg").touch()
    append(
        root / "gallery.csv",
        "x,gallery/0.png,a\n"
        "\n"
        "0,gallery/0.png,a\n"
        "10,../0.png,a\n"
        "11,gallery/none.png,a\n"
        "12,gallery/cut.png,a\n"
        "13,gallery/text.jpg,a\n"
        "14,gallery/empty.jpg,a\n"
        "15,gallery/0.png,\n"
        "16,gallery/0.png\n",
    )
    (root / "queries.csv").write_text(
        HEADER + "0,queries/0.png,0,0,x,10,a\n"
        "1,queries/0.png,0,0,0,10,a\n"
        "2,queries/0.png,64,0,10,10,a\n"
        "3,queries/0.png,60,40,10,10,a\n"
        "4,queries/0.png,0,0,64,48,z\n"
    )
    report = check(root)
    found = [(f.file, f.row, f.column, f.value) for f in report.faults]
    assert sorted(found) == [
        ("gallery.csv", 5, "seller_img_id", "x"),
        ("gallery.csv", 7, "seller_img_id", "0"),
        ("gallery.csv", 8, "img_path", "../0.png"),
        ("gallery.csv", 9, "img_path", "gallery/none.png"),
        ("gallery.csv", 10, "img_path", "gallery/cut.png"),
        ("gallery.csv", 11, "img_path", "gallery/text.jpg"),
        ("gallery.csv", 12, "img_path", "gallery/empty.jpg"),
        ("gallery.csv", 13, "product_id", ""),
        ("gallery.csv", 14, "", "16,gallery/0.png"),
        ("queries.csv", 2, "bbox_w", "x"),
        ("queries.csv", 3, "bbox_w", "0"),
        ("queries.csv", 4, "bbox_x", "64,0,10,10"),
    ]
    problems = {f.row: f.problem for f in report.faults if f.file == "gallery.csv"}
    assert problems[9].startswith("missing: ")
    assert problems[10].startswith("truncated: ")
    assert problems[11].startswith("not_an_image: ")
    assert problems[12].startswith("empty: ")
    boxes = {f.row: f.problem for f in report.faults if f.file == "queries.csv"}
    assert boxes[2] == "bad_box: is not a finite number"
    assert boxes[3] == "bad_box: must be positive: the box is empty"
    assert "entirely outside the photo of 64 x 48 pixels" in boxes[4]
    assert not report.ok
    assert (report.n_gallery, report.n_queries, report.n_clipped) == (10, 5, 1)
    assert (report.n_products, report.n_without_positive) == (3, 1)


def test_a_row_with_several_faults_has_them_all(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset()
    (root / "queries" / "cut.png").write_bytes((root / "queries" / "0.png").read_bytes()[:200])
    (root / "queries.csv").write_text(
        HEADER + "0,queries/none.png,nan,0,-1,x,a\n0,queries/cut.png,0,-90,9,9,a\n"
    )  # The second row repeats an id, its box is beside its photo, and the photo is cut.
    assert sorted(places(root)) == [
        ("queries.csv", 2, "bbox_h"),
        ("queries.csv", 2, "bbox_w"),
        ("queries.csv", 2, "bbox_x"),
        ("queries.csv", 2, "img_path"),
        ("queries.csv", 3, "bbox_y"),
        ("queries.csv", 3, "img_path"),
        ("queries.csv", 3, "user_img_id"),
    ]


def test_the_report_is_json_of_the_promised_shape(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(queries=[(0, "a", "900,0,5,5")])
    value = json.loads(json.dumps(check(root).to_json()))
    assert value["ok"] is False
    assert value["faults"] == [
        {
            "file": "queries.csv",
            "row": 2,
            "column": "bbox_x",
            "value": "900,0,5,5",
            "problem": "outside_box: box 900,0,5,5 lies entirely outside the photo of "
            "64 x 48 pixels",
        }
    ]


def test_boxes_partly_outside_are_counted_and_no_fault(make_dataset: Callable[..., Path]) -> None:
    boxes = ["-5,0,10,10", "60,40,10,10", "0,0,64,48", "0,0,64.5,48", "1,1,5,5"]
    root = make_dataset(queries=[(i, "a", box) for i, box in enumerate(boxes)])
    report = check(root)
    assert report.ok
    assert report.n_clipped == 3


@pytest.mark.parametrize(("frame", "faults"), [("upright", 1), ("stored", 0)])
def test_boxes_are_measured_in_the_frame_they_are_in(
    make_dataset: Callable[..., Path], frame: str, faults: int
) -> None:
    """A photo stored 64 x 48 and shown 48 x 64: x = 50 is inside as stored only."""
    root = make_dataset(queries=[(0, "a", "50,0,10,10")])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(root / "queries" / "0.png").save(root / "queries" / "0.png", exif=exif)
    assert len(check(root, box_frame=frame).faults) == faults


@pytest.mark.parametrize("name", ["gallery.csv", "queries.csv"])
def test_a_missing_table_is_a_fault_and_the_other_is_checked(
    make_dataset: Callable[..., Path], name: str
) -> None:
    root = make_dataset(queries=[(0, "a", "900,0,5,5")])
    (root / "gallery" / "0.png").unlink()
    (root / name).unlink()
    expected = {
        "gallery.csv": ("gallery.csv", 2, "img_path"),
        "queries.csv": ("queries.csv", 2, "bbox_x"),
    }
    expected[name] = (name, 0, "")
    assert sorted(places(root)) == sorted(expected.values())


def test_queries_whose_product_has_no_gallery_photo_are_counted(
    make_dataset: Callable[..., Path],
) -> None:
    box = "0,0,9,9"
    root = make_dataset(gallery=[(0, "a"), (1, "a")], queries=[(0, "a", box), (1, "b", box)])
    report = check(root)
    assert report.ok
    assert (report.n_products, report.n_without_positive) == (1, 1)


def test_without_products_nothing_is_said_about_them(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset()
    (root / "queries.csv").write_text(
        "user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h\n0,queries/0.png,0,0,9,9\n"
    )
    report = check(root)
    assert report.ok
    assert (report.n_products, report.n_without_positive) == (3, None)
    (root / "gallery.csv").write_text("seller_img_id,img_path\n0,gallery/0.png\n")
    report = check(root)
    assert report.ok
    assert (report.n_products, report.n_without_positive) == (None, None)


def test_faults_carry_the_tables_own_column_names(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset()
    (root / "gallery.csv").write_text(
        "id,file,sku\n0,none.png,a\n1,gallery/1.png,\nz,gallery/1.png,b\n"
    )
    (root / "queries.csv").write_text("q,file,x,y,w,h,sku\n0,queries/0.png,90,0,5,5,a\n")
    columns = {
        "seller_img_id": "id",
        "user_img_id": "q",
        "img_path": "file",
        "product_id": "sku",
        **{f"bbox_{side}": side for side in "xywh"},
    }
    assert sorted(places(root, columns=columns)) == [
        ("gallery.csv", 2, "file"),
        ("gallery.csv", 3, "sku"),
        ("gallery.csv", 4, "id"),
        ("queries.csv", 2, "x"),
    ]


def test_a_folder_of_images_is_checked_as_a_gallery(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_text("no image")
    report = check(tmp_path)
    assert [(f.file, f.row, f.value) for f in report.faults] == [(tmp_path.name, 0, "b.jpg")]
    assert report.faults[0].problem.startswith("not_an_image: ")
    assert (report.n_gallery, report.n_queries) == (2, 0)


def test_a_csv_is_checked_as_a_gallery(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(queries=[(0, "a", "900,0,5,5")])
    (root / "gallery.csv").rename(root / "shop.csv")
    report = check(root / "shop.csv")
    assert report.ok
    assert (report.n_gallery, report.n_queries) == (3, 0)


def test_an_empty_folder_is_a_fault(tmp_path: Path) -> None:
    report = check(tmp_path)
    assert len(report.faults) == 1
    assert "any image" in report.faults[0].problem


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not there"):
        check(tmp_path / "none")


def test_a_wrong_mapping_is_an_error_and_no_fault(make_dataset: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="did you mean 'img_path'"):
        check(make_dataset(), columns={"image_path": "x"})


def test_the_number_of_workers_does_not_change_the_report(
    make_dataset: Callable[..., Path],
) -> None:
    root = make_dataset(gallery=[(i, "a") for i in range(12)])
    for number in (2, 5, 6, 11):
        (root / "gallery" / f"{number}.png").write_bytes(b"x")
    reports = [check(root, workers=workers) for workers in (1, 2, 5)]
    assert reports[0] == reports[1] == reports[2]
    assert [fault.row for fault in reports[0].faults] == [4, 7, 8, 13]


def test_progress_is_told_of_every_photo(make_dataset: Callable[..., Path]) -> None:
    told: list[tuple[str, int, int]] = []
    check(make_dataset(), progress=lambda *args: told.append(args))
    assert told == [("check", done, 5) for done in range(1, 6)]


def test_a_table_without_a_photo_is_a_fault(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset()
    (root / "queries.csv").write_text(HEADER)
    assert places(root) == [("queries.csv", 0, "")]


def test_photos_in_formats_that_are_not_read_are_faults_of_a_folder(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    (tmp_path / "b.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    assert [fault.value for fault in check(tmp_path).faults] == ["b.HEIC"]
