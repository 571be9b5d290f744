from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from shoplens.datasets.checking import check
from shoplens.datasets.dataset import read_dataset, read_gallery
from shoplens.errors import DataError
from shoplens.records import Box
from shoplens.sources import read_photo
from shoplens.sources.folder import DiskFolder


def test_a_test_set_folder_becomes_typed_records(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(
        gallery=[(7, "x"), (-3, "y")], queries=[(11, "y", "1.5,2,30,40"), (2, "x", "-4,0,10,10")]
    )
    dataset = read_dataset(root)
    assert dataset.root == root
    assert dataset.gallery.ids.tolist() == [7, -3]
    assert dataset.queries.ids.tolist() == [11, 2]
    assert dataset.has_products
    photo = dataset.gallery[1]
    assert (photo.name, photo.path) == ("gallery/-3.png", root / "gallery" / "-3.png")
    assert (photo.domain, photo.box, photo.product_id, photo.problem) == ("seller", None, "y", None)
    query = dataset.queries[0]
    assert (query.domain, query.product_id, query.box_frame) == ("user", "y", "upright")
    assert query.box == Box(1.5, 2, 31.5, 42)
    assert dataset.queries[1].box == Box(-4, 0, 6, 10)


def test_any_folder_of_images_is_a_gallery_in_order_of_its_paths(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/z.jpg", "a/y.webp", "c.tiff", ".hidden.png", ".git/x.png", "n.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "b.png").touch()
    gallery = read_gallery(tmp_path)
    assert [photo.name for photo in gallery] == ["a/y.webp", "a/z.jpg", "b.PNG", "c.tiff"]
    assert gallery.ids.tolist() == [0, 1, 2, 3]
    assert all(photo.product_id is None and photo.problem is None for photo in gallery)
    assert gallery[0].path == tmp_path / "a" / "y.webp"


def test_a_folder_without_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(DataError, match=r"neither a gallery\.csv nor any image \(\.avif, \.bmp, "):
        read_gallery(tmp_path)


def test_links_of_a_plain_folder_of_images_are_followed(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    (disk / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.new("RGB", (2, 2)).save(disk / name)
    root = tmp_path / "photos"
    root.mkdir()
    (root / "link.png").symlink_to(disk / "a.png")
    (root / "more").symlink_to(disk)
    (root / "gone.png").symlink_to(disk / "none.png")
    (root / "twice").symlink_to(disk)
    # In a circle, at once and by way of another folder.
    (root / "self").symlink_to(root)
    (disk / "sub" / "back").symlink_to(root)
    (tmp_path / "shop").symlink_to(root)
    names = ["gone.png", "link.png", "more/a.png", "more/sub/b.png"]
    for folder in (root, tmp_path / "shop"):
        assert [photo.name for photo in read_gallery(folder)] == names
    report = check(tmp_path / "shop")
    assert [fault.value for fault in report.faults] == ["gone.png"]
    strict, _ = DiskFolder(root, follow_links=False).listing()
    assert strict == ["gone.png", "link.png", "more", "self", "twice"]


def test_a_folder_that_cannot_be_listed_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "locked").mkdir()
    listed = os.scandir

    def scandir(path: Path) -> object:
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"'locked' cannot be listed \(Permission denied\)"):
        read_gallery(tmp_path)


IMAGES = {
    "phone.mpo": "JPEG",
    "scan.jfif": "JPEG",
    "no_suffix": "JPEG",
    "photo.1": "PNG",
    "picture.txt": "WEBP",
    "b.bin": "BMP",
    "g.bin": "GIF",
    "t.bin": "TIFF",
}


def test_photos_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    for name, kind in IMAGES.items():
        Image.new("RGB", (8, 6)).save(root / name, kind)
    (root / "notes.txt").write_text("no photo")
    (root / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(50))
    (root / "empty").touch()
    Image.new("RGB", (8, 6)).save(root / "raw.NEF", "TIFF")
    (root / ".hidden").touch()
    gallery = read_gallery(root)
    assert [photo.name for photo in gallery] == sorted(IMAGES)
    assert gallery.n_others == 4
    report = check(root)
    assert report.ok
    assert report.n_others == 4
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in root.iterdir():
            archive.write(file, file.name)
    packed = read_gallery(tmp_path / "photos.zip")
    assert [photo.name for photo in packed] == sorted(IMAGES)
    assert packed.n_others == 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    gallery = read_gallery(tmp_path)
    assert ([photo.name for photo in gallery], gallery.n_others) == (["a.png"], 2)


def test_what_is_no_gallery_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match=r"a\.zip is not a zip archive, though it is named like"):
        read_gallery(tmp_path / "a.zip")
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png is a photo; name the folder"):
        read_gallery(tmp_path / "a.png")


def test_columns_of_photos_may_stand_in_an_archive(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"image": [b"1", b"2"]}), tmp_path / "gallery.parquet")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "gallery.parquet", "set/gallery.parquet")
    assert [read_photo(photo) for photo in read_gallery(tmp_path / "a.zip")] == [b"1", b"2"]
