from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, picture
from PIL import ExifTags, Image, ImageEnhance, ImageOps

from shoplens.curation.duplicates import Duplicate, find_duplicates, find_shared, sketch_photos
from shoplens.datasets.dataset import read_dataset
from shoplens.pixels.decoding import decode
from shoplens.records import Box, Photo

SAMPLE = ROOT / "src" / "shoplens" / "sample"
SHOP = sorted((SAMPLE / "gallery").glob("*.jpg"))


def photos(*paths: Path, box: Box | None = None) -> list[Photo]:
    return [
        Photo(number, path.name, path, "user" if box else "seller", box=box)
        for number, path in enumerate(paths)
    ]


def shared(first: list[Photo], second: list[Photo], **options: object) -> list[Duplicate]:
    sketches = [sketch_photos(side)[0] for side in (first, second)]
    return find_shared(*sketches, **options)  # type: ignore[arg-type]


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


EDITS: dict[str, Callable[[Image.Image], bytes]] = {
    "re-encoded": lambda image: jpeg(image, 30),
    "halved": lambda image: jpeg(image.resize((image.width // 2, image.height // 2))),
    "doubled": lambda image: jpeg(image.resize((image.width * 2, image.height * 2))),
    "darker": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(0.85)),
    "more contrast": lambda image: jpeg(ImageEnhance.Contrast(image).enhance(1.2)),
    "paler": lambda image: jpeg(ImageEnhance.Color(image).enhance(0.6)),
    "on white": lambda image: jpeg(ImageOps.pad(image, (500, 400), color="white")),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_copies_are_found_and_nothing_else(tmp_path: Path, edit: str) -> None:
    chosen = SHOP[:12]
    for path in chosen:
        (tmp_path / path.name).write_bytes(EDITS[edit](decode(path.read_bytes()).image))
    copies = photos(*(tmp_path / path.name for path in chosen))
    pairs = shared(photos(*SHOP), copies)
    assert {(pair.first, pair.second) for pair in pairs} == {(i, i) for i in range(len(chosen))}
    assert {pair.kind for pair in pairs} <= {"near"}


def test_views_of_one_product_are_no_duplicates() -> None:
    data = read_dataset(SAMPLE)
    sketches, failed = sketch_photos([*data.gallery, *data.queries])
    assert not failed
    assert find_duplicates(sketches) == []


def test_a_smaller_copy_of_each_sample_photo_is_in_the_example() -> None:
    """The sample was made of a part of the example, ids and products numbered anew."""
    example, sample = read_dataset(ROOT / "examples" / "furniture"), read_dataset(SAMPLE)
    first, second = [*example.gallery, *example.queries], [*sample.gallery, *sample.queries]
    pairs = shared(first, second)
    assert sorted(pair.second for pair in pairs) == list(range(len(second)))
    same_product: dict[str | None, set[str | None]] = {}
    for pair in pairs:
        assert first[pair.first].domain == second[pair.second].domain
        theirs = same_product.setdefault(second[pair.second].product_id, set())
        theirs.add(first[pair.first].product_id)
    assert all(len(theirs) == 1 for theirs in same_product.values())


def test_equal_bytes_and_equal_pixels_are_told_apart(tmp_path: Path) -> None:
    data = SHOP[0].read_bytes()
    (tmp_path / "bytes.jpg").write_bytes(data)
    # Metadata in front of the same picture.
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "camera"
    block = b"Exif\0\0" + exif.tobytes()[6:]
    segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    (tmp_path / "pixels.jpg").write_bytes(data[:2] + segment + data[2:])
    decode(data).image.save(tmp_path / "pixels.png")
    (tmp_path / "near.jpg").write_bytes(jpeg(decode(data).image, 60))
    names = ("bytes.jpg", "pixels.jpg", "pixels.png", "near.jpg")
    pairs = shared(photos(SHOP[0]), photos(*(tmp_path / name for name in names)))
    assert [(names[pair.second], pair.kind) for pair in pairs] == [
        ("bytes.jpg", "bytes"),
        ("pixels.jpg", "pixels"),
        ("pixels.png", "pixels"),
        ("near.jpg", "near"),
    ]
    assert [pair.distance for pair in pairs[:3]] == [0, 0, 0]
    assert 0 < pairs[3].distance < 0.04


def test_without_a_threshold_equal_pictures_alone_are_found(tmp_path: Path) -> None:
    """Decoders scale a JPEG and a PNG of the same pixels differently."""
    chosen = SHOP[:6]
    for path in chosen:
        (tmp_path / path.name).write_bytes(path.read_bytes())
        image = decode(path.read_bytes()).image
        image.save((tmp_path / path.name).with_suffix(".png"))
        (tmp_path / path.name).with_suffix(".jpeg").write_bytes(jpeg(image, 95))
    copies = photos(*sorted(tmp_path.iterdir()))
    equal = [pair for pair in shared(photos(*SHOP), copies) if pair.kind in ("bytes", "pixels")]
    assert [pair.kind for pair in equal] == ["bytes"] * 6 + ["pixels"] * 6
    assert shared(photos(*SHOP), copies, threshold=0) == equal


def test_a_turn_by_exif_does_not_hide_a_copy(tmp_path: Path) -> None:
    image = decode(SHOP[3].read_bytes()).image
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif, quality=90)
    (pair,) = shared(photos(SHOP[3]), photos(tmp_path / "a.jpg"))
    assert pair.kind == "near"


def test_a_sellers_photo_in_a_users_box_is_found(tmp_path: Path) -> None:
    """A screenshot of a shop, with the box around its picture."""
    page = Image.new("RGB", (900, 1200), (230, 235, 240))
    for number, path in enumerate(SHOP[:2]):
        page.paste(decode(path.read_bytes()).image.resize((300, 300)), (100, 80 + 500 * number))
    (tmp_path / "page.jpg").write_bytes(jpeg(page))
    box = Box.from_xywh(100, 580, 300, 300)
    (pair,) = shared(photos(*SHOP), photos(tmp_path / "page.jpg", box=box))
    assert (pair.first, pair.parts[1]) == (1, "box")


def test_mirror_images_are_found_when_asked_for(tmp_path: Path) -> None:
    image = decode(SHOP[5].read_bytes()).image
    (tmp_path / "a.jpg").write_bytes(jpeg(ImageOps.mirror(image)))
    assert shared(photos(SHOP[5]), photos(tmp_path / "a.jpg")) == []
    (pair,) = shared(photos(SHOP[5]), photos(tmp_path / "a.jpg"), mirrored=True)
    assert pair.kind == "mirrored"


def test_another_colour_of_the_same_shot_is_called_recoloured(tmp_path: Path) -> None:
    image = picture(3, (200, 150))
    y, blue, red = image.convert("YCbCr").split()
    other = Image.merge("YCbCr", (y, red, blue)).convert("RGB")
    image.save(tmp_path / "a.png")
    other.save(tmp_path / "b.png")
    (pair,) = shared(photos(tmp_path / "a.png"), photos(tmp_path / "b.png"), threshold=0.2)
    assert pair.kind == "recoloured"


def coloured_chairs() -> list[Path]:
    """Photos of the example whose product is of a strong colour, before a white ground."""
    found = []
    for path in sorted((ROOT / "examples" / "furniture" / "gallery").glob("*.jpg")):
        pixels = np.asarray(decode(path.read_bytes(), target=32).image.convert("YCbCr"))
        chroma = np.hypot(*(pixels[:, :, 1:].astype(float) - 128).transpose(2, 0, 1))
        if (chroma > 35).mean() > 0.1 and chroma.mean() < 20:
            found.append(path)
    return found[:8]


def test_a_small_product_without_its_colour_is_recoloured(tmp_path: Path) -> None:
    """The white ground around it, which keeps its colour, does not count against it."""
    chosen = coloured_chairs()
    assert len(chosen) == 8
    for path in chosen:
        grey = ImageOps.grayscale(decode(path.read_bytes()).image)
        (tmp_path / path.name).write_bytes(jpeg(grey))
    pairs = shared(photos(*chosen), photos(*(tmp_path / path.name for path in chosen)))
    assert {(pair.first, pair.second) for pair in pairs} == {(i, i) for i in range(8)}
    assert {pair.kind for pair in pairs} == {"recoloured"}


@pytest.mark.parametrize("edit", ["paler", "warmer"])
def test_paler_or_in_a_warmer_light_is_not_recoloured(tmp_path: Path, edit: str) -> None:
    chosen = coloured_chairs()
    for path in chosen:
        image = decode(path.read_bytes()).image
        warm = (np.asarray(image) * np.array([1.08, 1, 0.92])).clip(0, 255).astype(np.uint8)
        edited = EDITS["paler"](image) if edit == "paler" else jpeg(Image.fromarray(warm))
        (tmp_path / path.name).write_bytes(edited)
    pairs = shared(photos(*chosen), photos(*(tmp_path / path.name for path in chosen)))
    assert {(pair.first, pair.second) for pair in pairs} == {(i, i) for i in range(8)}
    assert {pair.kind for pair in pairs} == {"near"}


def test_blank_photos_are_compared_by_bytes_only(tmp_path: Path) -> None:
    for name, colour in (("a", "white"), ("b", "white"), ("c", "grey")):
        Image.new("RGB", (50, 50), colour).save(tmp_path / f"{name}.png")
    sketches, _ = sketch_photos(photos(*(tmp_path / f"{name}.png" for name in "abc")))
    pairs = find_duplicates(sketches)
    assert [(p.first, p.second, p.kind) for p in pairs] == [(0, 1, "bytes")]


def test_pairs_of_one_list_come_once_and_closest_first(tmp_path: Path) -> None:
    image = decode(SHOP[0].read_bytes()).image
    for number, quality in enumerate((95, 60, 20)):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(image, quality))
    sketches, _ = sketch_photos(photos(*(tmp_path / f"{n}.jpg" for n in range(3)), *SHOP[1:9]))
    pairs = find_duplicates(sketches)
    assert {(p.first, p.second) for p in pairs} == {(0, 1), (0, 2), (1, 2)}
    assert [p.distance for p in pairs] == sorted(p.distance for p in pairs)


def test_photos_that_cannot_be_used_are_returned_apart(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no photo")
    told: list[tuple[str, int, int]] = []
    sketches, failed = sketch_photos(
        photos(SHOP[0], tmp_path / "a.jpg", SHOP[1]), progress=lambda *told_: told.append(told_)
    )
    assert [one.photo.name for one in sketches] == [SHOP[0].name, SHOP[1].name]
    assert [(photo.name, error.reason) for photo, error in failed] == [("a.jpg", "not_an_image")]
    assert told[-1] == ("sketch", 3, 3)


def test_without_photos_there_are_no_pairs() -> None:
    assert find_duplicates([]) == []
    sketches, _ = sketch_photos(photos(SHOP[0]))
    assert find_shared(sketches, []) == []


def test_hashes_do_not_depend_on_the_number_of_workers() -> None:
    one, many = (sketch_photos(photos(*SHOP[:8]), workers=workers)[0] for workers in (1, 4))
    for a, b in zip(one, many, strict=True):
        assert [view.hash for view in a.views] == [view.hash for view in b.views]
        assert np.array_equal(a.views[0].grey, b.views[0].grey)


def test_a_picture_that_stands_in_many_places_is_compared_once(tmp_path: Path) -> None:
    (tmp_path / "near.jpg").write_bytes(jpeg(decode(SHOP[0].read_bytes()).image, 60))
    sketches, _ = sketch_photos(photos(*[SHOP[0]] * 300, tmp_path / "near.jpg", SHOP[1]))
    pairs = find_duplicates(sketches)
    assert [(p.first, p.second, p.kind) for p in pairs[:-1]] == [
        (0, copy, "bytes") for copy in range(1, 300)
    ]
    assert (pairs[-1].first, pairs[-1].second, pairs[-1].kind) == (0, 300, "near")
    # Between two lists every photo of the second is named.
    found = find_shared(sketches[300:], sketches[:300])
    assert {(p.first, p.second) for p in found} == {(0, copy) for copy in range(300)}
