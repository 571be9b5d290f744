from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, picture
from PIL import ExifTags, Image, ImageFilter

from shoplens.curation.data_pages import write_statistics
from shoplens.curation.measuring import measure
from shoplens.curation.reading import read_photos
from shoplens.curation.statistics import survey
from shoplens.records import Box, Photo

SAMPLE = ROOT / "src" / "shoplens" / "sample"
FULL = "0,0,64,48"


def test_a_photo_is_measured_inside_its_box(tmp_path: Path) -> None:
    image = Image.new("RGB", (200, 100), (40, 40, 40))
    image.paste((200, 200, 200), (100, 0, 200, 100))
    image.save(tmp_path / "a.png")
    photos = [
        Photo(0, "a", tmp_path / "a.png", "user", box=Box.from_xywh(120, 20, 60, 40)),
        Photo(1, "a", tmp_path / "a.png", "seller"),
        Photo(2, "a", tmp_path / "a.png", "user", box=Box.from_xywh(150, 50, 100, 50)),
    ]
    (boxed, whole, clipped), failed = measure(photos)
    assert not failed
    assert (boxed.brightness, whole.brightness) == (200, 120)
    assert (boxed.box_share, boxed.box_aspect) == (0.12, 1.5)
    assert (whole.box_share, whole.box_aspect) == (None, None)
    assert boxed.sharpness == 0 < whole.sharpness
    assert (clipped.clipped, clipped.box_share) == (True, 0.125)
    assert (whole.format, whole.size, whole.orientation) == ("PNG", (200, 100), 1)
    assert whole.n_bytes == (tmp_path / "a.png").stat().st_size


def test_blur_lowers_sharpness(tmp_path: Path) -> None:
    photo = Image.open(next((SAMPLE / "queries").glob("*.jpg")))
    photo.save(tmp_path / "sharp.png")
    photo.filter(ImageFilter.GaussianBlur(3)).save(tmp_path / "blurred.png")
    paths = [tmp_path / "sharp.png", tmp_path / "blurred.png"]
    sharp, blurred = measure([Photo(i, p.name, p, "user") for i, p in enumerate(paths)])[0]
    assert blurred.sharpness < sharp.sharpness / 5


@pytest.fixture
def mixed(make_dataset: Callable[..., Path]) -> Path:
    """A set with a turned JPEG, a spoilt photo, a distractor and one picture under two products."""
    root = make_dataset(
        gallery=[(0, "a"), (1, "b"), (2, "c"), (3, "c")],
        queries=[(0, "a", FULL), (1, "b", "10,10,32,24"), (2, "z", FULL)],
    )
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture(50, (80, 60)).save(root / "gallery" / "1.png", "JPEG", exif=exif)
    (root / "gallery" / "3.png").write_text("no photo")
    # The picture of product a again, a little smaller, as product b's query.
    Image.open(root / "gallery" / "0.png").resize((60, 45)).save(root / "queries" / "1.png")
    picture(51).save(root / "queries" / "0.png")
    return root


def test_a_dataset_in_numbers(mixed: Path) -> None:
    found = survey(read_photos(mixed))
    gallery, queries = found.sides["seller"], found.sides["user"]
    assert (gallery.n_photos, len(gallery.measured), gallery.failures) == (
        4,
        3,
        {"not_an_image": 1},
    )
    assert gallery.formats == {"PNG": 2, "JPEG": 1}
    assert gallery.orientations == {"1": 2, "6": 1}
    assert queries.orientations == {"1": 3}
    spread = gallery.spread("longer_side")
    assert spread is not None
    assert (spread.low, spread.median, spread.high) == (64, 64, 80)
    assert gallery.spread("box_share") is None
    assert queries.spread("box_aspect") is not None
    assert (found.n_products, found.n_without_positive, found.n_distractor_products) == (4, 1, 1)
    assert found.per_product == {"seller": (1, 1, 2), "user": (1, 1, 1)}
    (alike,) = found.alike
    assert (alike.first.name, alike.second.name) == ("gallery/0.png", "queries/1.png")
    assert alike.crosses
    assert alike.contradicts
    assert (found.n_crossing, found.n_contradicting) == (1, 1)


def test_the_json_has_what_the_page_has(mixed: Path) -> None:
    values = survey(read_photos(mixed)).to_json()
    assert values["gallery"]["n_photos"] == 4
    assert values["gallery"]["failed_photos"][0]["path"] == "gallery/3.png"
    assert values["queries"]["box_share"]["n"] == 3
    assert values["photos_per_product"] == {"gallery": {"1": 2, "2": 1}, "queries": {"1": 3}}
    duplicates = values["near_duplicates"]
    assert (duplicates["n_pairs"], duplicates["n_contradicting"]) == (1, 1)
    assert duplicates["pairs"][0]["second"]["id"] == 1


def test_without_products_nothing_is_said_of_them(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.jpg")
    found = survey(read_photos(tmp_path))
    assert found.per_product is None
    assert found.to_json()["n_products"] is None
    assert found.to_json()["queries"]["n_photos"] == 0


def test_rows_that_show_one_file_are_no_duplicates(tmp_path: Path) -> None:
    picture(1, (200, 150)).save(tmp_path / "a.png")
    boxes = (Box(0, 0, 90, 90), Box(50, 20, 150, 120))
    photos = [Photo(i, "a", tmp_path / "a.png", "user", box=box) for i, box in enumerate(boxes)]
    assert survey(photos).alike == ()


def test_the_page_shows_it_all(mixed: Path, tmp_path: Path) -> None:
    found = survey(read_photos(mixed))
    write_statistics(tmp_path / "page.html", "set & co", found, sample=2)
    page = (tmp_path / "page.html").read_text()
    assert "<h1>set &amp; co</h1>" in page
    assert "one picture, two products" in page
    assert "not_an_image" in page
    assert page.count("<svg") >= 6
    # Two of each side, and the pair.
    assert page.count('<img src="data:image/jpeg;base64,') == 6
    assert "<script" not in page
    assert 'src="http' not in page


def test_the_page_is_the_same_each_time(mixed: Path, tmp_path: Path) -> None:
    pages = []
    for workers in (1, 3):
        found = survey(read_photos(mixed), workers=workers)
        write_statistics(tmp_path / "page.html", "x", found, sample=2)
        pages.append((tmp_path / "page.html").read_text())
    assert pages[0] == pages[1]


def test_the_page_of_an_empty_side_is_written(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_text("no photo")
    found = survey(read_photos(tmp_path / "images"))
    write_statistics(tmp_path / "page.html", "x", found)
    assert "a.jpg" in (tmp_path / "page.html").read_text()


def test_spreads_are_quantiles(tmp_path: Path) -> None:
    for number, side in enumerate((20, 40, 60, 80, 100)):
        picture(number, (side, 10)).save(tmp_path / f"{number}.png")
    spread = survey(read_photos(tmp_path)).sides["seller"].spread("longer_side")
    assert spread is not None
    assert np.array_equal(
        [spread.low, spread.quarter, spread.median, spread.three_quarters, spread.high],
        [20, 40, 60, 80, 100],
    )
