from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageDraw

from shoplens import Box, VectorCache
from shoplens.boxes.proposing import overlap
from shoplens.embedding.sets import as_photo
from shoplens.errors import PhotoError, ShoplensError
from shoplens.records import Photo
from shoplens.regions.choosing import ALIKE, CACHE, MOST, NEARLY_ALL, choose_regions, require_number

SIZE = (400, 300)
THING = Box(200, 60, 380, 230)


def scene() -> Image.Image:
    """Draw a striped disc on a plain ground."""
    image = Image.new("RGB", SIZE, (225, 220, 210))
    shape = Image.new("RGB", SIZE, (190, 50, 40))
    draw = ImageDraw.Draw(shape)
    for x in range(0, SIZE[0], 40):
        draw.rectangle((x, 0, x + 12, SIZE[1]), fill=(240, 210, 60))
    mask = Image.new("L", SIZE)
    ImageDraw.Draw(mask).ellipse((THING.x0, THING.y0, THING.x1 - 1, THING.y1 - 1), fill=255)
    image.paste(shape, mask=mask)
    return image


def photo_of(image: Image.Image, **options: object) -> Photo:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return as_photo(stream.getvalue(), "seller")


def assert_sound(found: list[Box], size: tuple[int, int]) -> None:
    whole = Box(0, 0, *size)
    for number, box in enumerate(found):
        assert box.is_within(size)
        assert all(edge == int(edge) for edge in (box.x0, box.y0, box.x1, box.y1))
        assert overlap(box, whole) <= NEARLY_ALL
        assert all(overlap(box, other) <= ALIKE for other in found[:number])


def test_the_first_region_holds_what_stands_out() -> None:
    found = choose_regions(photo_of(scene()), 3)
    assert_sound(found, SIZE)
    assert len(found) == 3
    assert overlap(found[0], THING) > 0.55


def test_fewer_regions_are_the_first_of_more() -> None:
    photo = photo_of(scene())
    most = choose_regions(photo, MOST)
    assert 3 < len(most) <= MOST
    assert_sound(most, SIZE)
    for n in range(MOST):
        assert choose_regions(photo, n) == most[:n]


def test_where_nothing_stands_out_there_are_regions_too() -> None:
    found = choose_regions(photo_of(Image.new("RGB", SIZE, "grey")), MOST)
    assert_sound(found, SIZE)
    assert len(found) > 3


@pytest.mark.parametrize("orientation", [3, 6])
def test_regions_are_those_of_the_upright_photo(orientation: int) -> None:
    undo = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    turned = photo_of(scene().transpose(undo), exif=exif)
    assert choose_regions(turned, 4) == choose_regions(photo_of(scene()), 4)


@settings(max_examples=10)
@given(st.integers(1, 80), st.integers(1, 80))
@example(1, 1)
@example(2, 900)
@example(900, 2)
def test_any_photo_has_regions_within_it(width: int, height: int) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)
    assert_sound(choose_regions(photo_of(Image.fromarray(pixels)), MOST), (width, height))


def test_they_are_kept_in_a_cache(tmp_path: Path) -> None:
    photo, tiny = photo_of(scene()), photo_of(Image.new("RGB", (1, 1)))
    with VectorCache(CACHE, tmp_path) as cache:
        first = choose_regions(photo, 4, cache), choose_regions(tiny, 4, cache)
    with VectorCache(CACHE, tmp_path) as cache:
        assert (choose_regions(photo, 4, cache), choose_regions(tiny, 4, cache)) == first
    assert first == (choose_regions(photo, 4), choose_regions(tiny, 4))


def test_a_photo_that_cannot_be_used_is_told() -> None:
    with pytest.raises(PhotoError):
        choose_regions(as_photo(b"not a photo", "seller"), 1)


@pytest.mark.parametrize("n", [-1, MOST + 1])
def test_a_photo_cannot_have_any_number_of_regions(n: int) -> None:
    with pytest.raises(ShoplensError, match=f"0 to {MOST} regions, not {n}"):
        require_number(n)
