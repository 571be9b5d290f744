from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from shoplens.datasets.dataset import read_dataset, read_gallery
from shoplens.datasets.format import ROW_NUMBER
from shoplens.datasets.tables import read_table
from shoplens.errors import DataError, MissingError
from shoplens.records import Box, Fault
from shoplens.sources.file import DiskFile
from shoplens.sources.folder import DiskFolder

GALLERY = "seller_img_id,img_path\n"
QUERIES = "user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h\n"
ROW = "0,a.png,1,2,3,4\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two images, a.png and sub/b.png, and sound tables."""
    root = tmp_path / "set"
    (root / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.new("RGB", (8, 6)).save(root / name)
    (root / "gallery.csv").write_text(GALLERY + "0,a.png\n1,sub/b.png\n")
    (root / "queries.csv").write_text(QUERIES + ROW)
    return root


def gallery_faults(folder: Path, text: str | bytes, **options: object) -> list[Fault]:
    """The faults of a gallery table; the table must be refused."""
    data = text.encode() if isinstance(text, str) else text
    (folder / "gallery.csv").write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_gallery(folder, **options)
    assert all(fault.file == "gallery.csv" for fault in caught.value.faults)
    return list(caught.value.faults)


def only(faults: list[Fault]) -> tuple[int, str, str, str]:
    assert len(faults) == 1, faults
    return faults[0].row, faults[0].column, faults[0].value, faults[0].problem


# Sound tables


def test_a_folder_without_product_id_has_no_products(folder: Path) -> None:
    dataset = read_dataset(str(folder), box_frame="stored")
    assert not dataset.has_products
    assert [photo.product_id for photo in dataset.gallery] == [None, None]
    assert dataset.queries[0].box_frame == "stored"


def test_product_ids_are_text_and_never_interpreted(folder: Path) -> None:
    (folder / "gallery.csv").write_text(
        "seller_img_id,img_path,product_id\n0,a.png,007\n1,a.png,7\n2,a.png,1e3\n3,a.png,NaN\n"
    )
    assert [p.product_id for p in read_gallery(folder)] == ["007", "7", "1e3", "NaN"]


def test_an_empty_product_id_is_not_known(folder: Path) -> None:
    (folder / "gallery.csv").write_text("seller_img_id,img_path,product_id\n0,a.png,\n1,a.png,x\n")
    gallery = read_gallery(folder)
    assert [p.product_id for p in gallery] == [None, "x"]
    assert not gallery.has_products


def test_ids_span_all_of_int32(folder: Path) -> None:
    ids = [-(2**31), -1, 0, 2**31 - 1]
    rows = "".join(f"{number},a.png\n" for number in ids)
    (folder / "gallery.csv").write_text(GALLERY + rows)
    assert read_gallery(folder).ids.tolist() == ids


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfseller_img_id,img_path\n0,a.png\n1,sub/b.png\n",
        b"seller_img_id,img_path\r\n0,a.png\r\n1,sub/b.png\r\n",
        b"seller_img_id,img_path\r0,a.png\r1,sub/b.png",
        b" seller_img_id , img_path \n 0 ,a.png\n 1,sub/b.png",
        b'"seller_img_id","img_path"\n"0","a.png"\n1,"sub/b.png"\n',
        b"img_path,colour,seller_img_id\na.png,red,0\nsub/b.png,blue,1\n",
        b"seller_img_id,img_path\n\n0,a.png\n\n\n1,sub/b.png\n\n",
        b"seller_img_id,img_path\n+0,./a.png\n01,sub/../sub/b.png\n",
    ],
    ids=["bom", "crlf", "cr", "spaces", "quotes", "column order", "blank lines", "spellings"],
)
def test_tables_may_be_written_in_many_ways(folder: Path, data: bytes) -> None:
    (folder / "gallery.csv").write_bytes(data)
    gallery = read_gallery(folder)
    assert gallery.ids.tolist() == [0, 1]
    assert [photo.problem for photo in gallery] == [None, None]
    assert [p.path.read_bytes() for p in gallery] == [
        (folder / "a.png").read_bytes(),
        (folder / "sub" / "b.png").read_bytes(),
    ]


def test_names_with_commas_and_other_scripts_are_names(folder: Path) -> None:
    for name in ("one, two.png", "シャツ.png"):
        Image.new("RGB", (2, 2)).save(folder / name)
    (folder / "gallery.csv").write_text(GALLERY + '0,"one, two.png"\n1,シャツ.png\n', "utf-8")
    assert [photo.problem for photo in read_gallery(folder)] == [None, None]


def test_a_path_that_is_not_there_is_tried_under_data(folder: Path) -> None:
    (folder / "data" / "sub").mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(folder / "data" / "sub" / "c.png")
    Image.new("RGB", (2, 2)).save(folder / "data" / "a.png")
    (folder / "gallery.csv").write_text(GALLERY + "0,sub/c.png\n1,a.png\n2,none.png\n")
    gallery = read_gallery(folder)
    assert gallery[0].path == folder / "data" / "sub" / "c.png"
    assert gallery[1].path == folder / "a.png"
    assert gallery[2].problem is not None
    assert gallery[2].problem.reason == "missing"
    assert gallery[2].path == folder / "none.png"


def test_a_table_with_a_header_alone_is_an_empty_set(folder: Path) -> None:
    (folder / "gallery.csv").write_text(GALLERY)
    assert len(read_gallery(folder)) == 0


# Other tables


def test_other_column_names_are_read_through_a_mapping(folder: Path) -> None:
    table = folder / "shop.csv"
    table.write_text("sku,picture,item\n12,a.png,shoe\n13,sub/b.png,hat\n")
    columns = {"seller_img_id": "sku", "img_path": "picture", "product_id": "item"}
    gallery = read_gallery(table, columns=columns)
    assert gallery.ids.tolist() == [12, 13]
    assert [photo.product_id for photo in gallery] == ["shoe", "hat"]


def test_a_mapping_serves_both_tables_of_a_folder(folder: Path) -> None:
    (folder / "gallery.csv").write_text("id,file\n5,a.png\n")
    (folder / "queries.csv").write_text("q,file,x,y,w,h\n6,sub/b.png,0,1,2,3\n")
    columns = {
        "seller_img_id": "id",
        "user_img_id": "q",
        "img_path": "file",
        "bbox_x": "x",
        "bbox_y": "y",
        "bbox_w": "w",
        "bbox_h": "h",
    }
    dataset = read_dataset(folder, columns=columns)
    assert (dataset.gallery[0].id, dataset.queries[0].id) == (5, 6)
    assert dataset.queries[0].box == Box(0, 1, 2, 4)


def test_rows_can_be_numbered_instead_of_read(folder: Path) -> None:
    table = folder / "shop.csv"
    table.write_text("img_path\na.png\n\nsub/b.png\na.png\n")
    gallery = read_gallery(table, columns={"seller_img_id": ROW_NUMBER})
    assert gallery.ids.tolist() == [0, 1, 2]


def test_a_mapped_product_column_must_be_there(folder: Path) -> None:
    faults = gallery_faults(folder, GALLERY + "0,a.png\n", columns={"product_id": "item"})
    assert only(faults)[:2] == (1, "item")


def test_an_unknown_key_in_a_mapping_is_refused_with_a_guess(folder: Path) -> None:
    with pytest.raises(DataError, match="'image_path' is not a column; did you mean 'img_path'"):
        read_gallery(folder, columns={"image_path": "file"})


# What is not there


def test_a_missing_folder_or_table_is_named(folder: Path) -> None:
    with pytest.raises(MissingError, match=r"none is not there") as caught:
        read_dataset(folder / "none")
    assert caught.value.exit_code == 3
    with pytest.raises(MissingError, match="is a file, not a folder"):
        read_dataset(folder / "gallery.csv")
    (folder / "queries.csv").unlink()
    with pytest.raises(MissingError, match=r"holds no queries\.csv"):
        read_dataset(folder)


def test_a_missing_file_spoils_its_photo_only(folder: Path) -> None:
    (folder / "gallery.csv").write_text(GALLERY + "0,none.png\n1,a.png\n2,sub\n")
    gallery = read_gallery(folder)
    assert [photo.problem and photo.problem.reason for photo in gallery] == [
        "missing",
        None,
        "missing",
    ]
    assert "none.png" in str(gallery[0].problem)


# Faults


def test_a_missing_column_is_named_with_a_guess(folder: Path) -> None:
    faults = gallery_faults(folder, "seller_image_id,img_path\n0,a.png\n")
    assert only(faults) == (
        1,
        "seller_img_id",
        "",
        "column is missing; did you mean 'seller_image_id'?",
    )


def test_a_missing_column_without_a_guess_names_what_is_there(folder: Path) -> None:
    row, column, _, problem = only(gallery_faults(folder, "seller_img_id,zzz\n0,a.png\n"))
    assert (row, column) == (1, "img_path")
    assert problem.endswith("there are seller_img_id, zzz")


def test_every_missing_column_is_named_at_once(folder: Path) -> None:
    (folder / "queries.csv").write_text("user_img_id,img_path,bbox_x\n0,a.png,1\n")
    with pytest.raises(DataError) as caught:
        read_dataset(folder)
    assert [fault.column for fault in caught.value.faults] == ["bbox_y", "bbox_w", "bbox_h"]


@pytest.mark.parametrize(("separator", "plural"), [(";", "semicolons"), ("\t", "tabs")])
def test_other_separators_are_recognised(folder: Path, separator: str, plural: str) -> None:
    text = (GALLERY + "0,a.png\n").replace(",", separator)
    faults = gallery_faults(folder, text)
    assert [fault.column for fault in faults] == ["seller_img_id", "img_path"]
    assert all(f"separated by {plural}, commas are needed" in f.problem for f in faults)


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_an_empty_file_has_no_header(folder: Path, text: str) -> None:
    faults = gallery_faults(folder, text)
    assert [fault.problem for fault in faults] == ["column is missing; the file has no header"] * 2


def test_a_repeated_column_is_refused(folder: Path) -> None:
    faults = gallery_faults(folder, "seller_img_id,img_path,img_path\n0,a.png,b.png\n")
    assert only(faults) == (1, "img_path", "", "appears twice in the header")


def test_a_repeated_header_further_down_is_named_with_its_row(folder: Path) -> None:
    faults = gallery_faults(folder, GALLERY + "0,a.png\n" + GALLERY + "1,a.png\n")
    assert only(faults) == (3, "seller_img_id", "seller_img_id", "is not an integer")


def test_a_repeated_id_names_both_rows(folder: Path) -> None:
    faults = gallery_faults(folder, GALLERY + "5,a.png\n6,a.png\n05,a.png\n")
    assert only(faults) == (4, "seller_img_id", "05", "repeats the id of row 2")


@pytest.mark.parametrize("text", ["", "x", "1.0", "1e3", "0x1", "1_0", "\u0661", "--1", "1 2"])
def test_an_id_that_is_no_integer_is_named(folder: Path, text: str) -> None:
    faults = gallery_faults(folder, GALLERY + f"{text},a.png\n")
    assert only(faults) == (2, "seller_img_id", text, "is not an integer")


@pytest.mark.parametrize("text", ["2147483648", "-2147483649", "9" * 5000])
def test_an_id_beyond_32_bits_is_named(folder: Path, text: str) -> None:
    faults = gallery_faults(folder, GALLERY + f"{text},a.png\n")
    assert only(faults) == (2, "seller_img_id", text[:80], "does not fit 32 bits")


@pytest.mark.parametrize("path", ["../a.png", "..", "sub/../../a.png", "./../a.png", "sub/../.."])
def test_a_path_leaving_through_dots_is_refused(folder: Path, path: str) -> None:
    Image.new("RGB", (2, 2)).save(folder.parent / "a.png")
    faults = gallery_faults(folder, GALLERY + f"0,{path}\n")
    assert only(faults) == (2, "img_path", path, "leaves the folder through '..'")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "C:\\a.png", "c:a.png", "\\\\host\\share\\a.png", "\\a.png", "//h/a"]
)
def test_an_absolute_path_is_refused(folder: Path, path: str) -> None:
    row, column, value, problem = only(gallery_faults(folder, GALLERY + f"0,{path}\n"))
    assert (row, column, value) == (2, "img_path", path)
    assert problem.startswith("is absolute")


@pytest.mark.parametrize("link", ["file", "folder", "chain", "data"])
def test_a_link_out_of_the_folder_is_followed_unless_forbidden(folder: Path, link: str) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    Image.new("RGB", (2, 2)).save(outside / "secret.png")
    name = "link.png" if link in ("file", "chain") else "link/secret.png"
    if link == "file":
        (folder / "link.png").symlink_to(outside / "secret.png")
    elif link == "chain":
        (folder / "first.png").symlink_to(outside / "secret.png")
        (folder / "link.png").symlink_to("first.png")
    elif link == "folder":
        (folder / "link").symlink_to(outside)
    else:
        (folder / "data").mkdir()
        (folder / "data" / "link").symlink_to(outside)
    (folder / "gallery.csv").write_text(GALLERY + f"0,{name}\n")
    [photo] = read_gallery(folder)
    assert photo.problem is None
    strict = DiskFolder(folder, follow_links=False)
    faults = read_table(DiskFile(folder / "gallery.csv"), strict, "seller").faults
    assert only(list(faults)) == (2, "img_path", name, "leaves the folder through a symbolic link")


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "link.png").symlink_to("a.png")
    (folder / "folder").symlink_to("sub")
    (folder / "gallery.csv").write_text(GALLERY + "0,link.png\n1,folder/b.png\n")
    assert [photo.problem for photo in read_gallery(folder)] == [None, None]


def test_a_folder_reached_through_a_link_is_a_folder(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert [photo.problem for photo in read_gallery(link)] == [None, None]


def test_a_link_in_a_circle_is_a_missing_file(folder: Path) -> None:
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "gallery.csv").write_text(GALLERY + "0,loop.png\n")
    problem = read_gallery(folder)[0].problem
    assert problem is not None
    assert problem.reason == "missing"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "is empty"),
        (".", "is the folder itself"),
        ("sub/..", "is the folder itself"),
        ("a" * 300 + ".png", "cannot be a path here"),
        ("a/" * 4000 + "b.png", "cannot be a path here"),
    ],
)
def test_a_path_that_is_none_is_named(folder: Path, path: str, problem: str) -> None:
    row, column, value, found = only(gallery_faults(folder, GALLERY + f"0,{path}\n"))
    assert (row, column, value) == (2, "img_path", path[:80])
    assert found.startswith(problem)


def test_a_nul_character_is_refused(folder: Path) -> None:
    """Python 3.10's CSV reader refuses it itself, later ones hand it on."""
    _, _, _, problem = only(gallery_faults(folder, GALLERY + "0,a\0.png\n"))
    assert "NUL" in problem


@pytest.mark.parametrize(
    ("text", "fields"), [("0\n", 1), ("0,a.png,\n", 3), ("0,a.png,x,y\n", 4), ("   \n", 1)]
)
def test_a_wrong_number_of_fields_is_named(folder: Path, text: str, fields: int) -> None:
    faults = gallery_faults(folder, GALLERY + "8,a.png\n" + text + "9,a.png\n")
    row, column, value, problem = only(faults)
    assert (row, column, value) == (3, "", text.rstrip("\n"))
    assert problem == f"has {fields} fields, the header has 2"


def test_blank_lines_keep_rows_numbered_as_in_a_spreadsheet(folder: Path) -> None:
    faults = gallery_faults(folder, GALLERY + "\n\n0,a.png\n\nx,a.png\n\n0,a.png\n")
    assert [(fault.row, fault.value) for fault in faults] == [(6, "x"), (8, "0")]
    assert faults[1].problem == "repeats the id of row 4"


def test_rows_tell_where_each_photo_stands(folder: Path) -> None:
    table = folder / "t.csv"
    table.write_text(GALLERY + "\n3,a.png\n\n\n4,a.png\n")
    assert list(read_table(DiskFile(table), DiskFolder(table.parent), "seller").rows) == [3, 6]


def test_a_table_that_is_not_utf_8_is_refused(folder: Path) -> None:
    for data in (
        GALLERY.encode() + "0,größe.png\n".encode("latin-1"),
        (GALLERY + "0,a.png\n").encode("utf-16"),
        (folder / "a.png").read_bytes(),
    ):
        row, column, _, problem = only(gallery_faults(folder, data))
        assert (row, column) == (0, "")
        assert problem.startswith("is not UTF-8 text")


@pytest.mark.parametrize("text", ['0,"a.png\n', '0,"a"x.png\n', "0," + "a" * 200_000 + "\n"])
def test_a_table_that_is_no_csv_is_refused(folder: Path, text: str) -> None:
    assert only(gallery_faults(folder, GALLERY + text))[3].startswith("is not a CSV table")


def test_every_fault_of_both_tables_is_in_one_error(folder: Path) -> None:
    (folder / "gallery.csv").write_text(GALLERY + "x,a.png\n0,../a.png\n0,a.png,\n1,a.png\n1,\n")
    (folder / "queries.csv").write_text(QUERIES + ROW + ROW + "y,/a.png,1,2,3,4\n")
    with pytest.raises(DataError) as caught:
        read_dataset(folder)
    places = [(fault.file, fault.row, fault.column) for fault in caught.value.faults]
    assert places == [
        ("gallery.csv", 2, "seller_img_id"),
        ("gallery.csv", 3, "img_path"),
        ("gallery.csv", 4, ""),
        ("gallery.csv", 6, "seller_img_id"),
        ("gallery.csv", 6, "img_path"),
        ("queries.csv", 3, "user_img_id"),
        ("queries.csv", 4, "user_img_id"),
        ("queries.csv", 4, "img_path"),
    ]
    assert "8 faults" in str(caught.value)
    assert "gallery.csv, row 3, column img_path: '../a.png' leaves" in str(caught.value)


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ("x,2,3,4", "bbox_x 'x' is not a finite number"),
        ("1,2,3,", "bbox_h '' is not a finite number"),
        ("1,2,0,4", "is empty"),
        ("1,2,3,-4", "is empty"),
        ("1,2,nan,4", "bbox_w 'nan' is not a finite number"),
        ("inf,2,3,4", "bbox_x 'inf' is not a finite number"),
        ("1e308,2,1e308,4", "not four finite numbers"),
        ("1e17,2,1,4", "is empty"),
        ("1,2,1e308,1e309", "bbox_h '1e309' is not a finite number"),
    ],
)
def test_a_bad_box_spoils_its_photo_only(folder: Path, box: str, problem: str) -> None:
    (folder / "queries.csv").write_text(QUERIES + f"0,a.png,{box}\n1,a.png,1,2,3,4\n")
    bad, good = read_dataset(folder).queries
    assert (good.problem, bad.box) == (None, None)
    assert bad.problem is not None
    assert bad.problem.reason == "bad_box"
    assert problem in str(bad.problem)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_photo_and_nothing_waits_for_it(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "gallery.csv").write_text(GALLERY + "0,pipe.png\n")
    problem = read_gallery(folder)[0].problem
    assert problem is not None
    assert problem.reason == "missing"
