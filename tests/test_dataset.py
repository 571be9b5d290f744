from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from shoplens.datasets.dataset import read_dataset, read_gallery
from shoplens.errors import DataError
from shoplens.records import Box


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


def test_a_link_out_of_a_plain_folder_of_images_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    Image.new("RGB", (2, 2)).save(root / "a.png")
    (root / "b.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError) as caught:
        read_gallery(root)
    assert [fault.value for fault in caught.value.faults] == ["b.png"]
