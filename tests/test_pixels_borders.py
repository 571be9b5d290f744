from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from shoplens.pixels.borders import LEAST_SIDE, without_border
from shoplens.pixels.decoding import Decoded, decode
from shoplens.records import Box

WHITE = (255, 255, 255)


def decoded(image: Image.Image) -> Decoded:
    return Decoded(image, image.size, 1.0, None, False)


def on_ground(
    box: tuple[int, int, int, int],
    size: tuple[int, int] = (240, 200),
    ground: tuple[int, int, int] = WHITE,
    product: tuple[int, int, int] = (40, 90, 160),
) -> Image.Image:
    image = Image.new("RGB", size, ground)
    image.paste(product, box)
    return image


def jpeg(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


@pytest.mark.parametrize("ground", [WHITE, (0, 0, 0), (30, 200, 128)])
def test_a_product_on_plain_ground_is_found(ground: tuple[int, int, int]) -> None:
    photo = decoded(on_ground((50, 40, 170, 150), ground=ground, product=(200, 60, 60)))
    assert without_border(photo) == Box(50, 40, 170, 150)


@given(st.data())
def test_every_product_of_some_size_is_found(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(20, 120)), data.draw(st.integers(20, 120))
    w = data.draw(st.integers(-(-width // 4), width - 6))
    h = data.draw(st.integers(-(-height // 4), height - 6))
    x = data.draw(st.integers(3, width - 3 - w))
    y = data.draw(st.integers(3, height - 3 - h))
    image = on_ground((x, y, x + w, y + h), (width, height))
    assert without_border(decoded(image)) == Box(x, y, x + w, y + h)


def test_a_product_at_the_edge_is_cut_at_the_other_three() -> None:
    photo = decoded(on_ground((60, 90, 180, 200)))
    assert without_border(photo) == Box(60, 90, 180, 200)


def test_bars_above_and_below_are_cut() -> None:
    bars = Image.new("RGB", (120, 160))
    bars.paste((90, 120, 60), (0, 30, 120, 130))
    assert without_border(decoded(bars)) == Box(0, 30, 120, 130)


def test_ground_that_differs_from_corner_to_corner_is_no_border() -> None:
    image = on_ground((60, 60, 180, 150))
    image.paste((200, 255, 255), (0, 0, 20, 20))
    assert without_border(decoded(image)) == Box(0, 0, 240, 200)


def test_a_photo_without_a_border_stays_whole() -> None:
    noise = np.random.default_rng(0).integers(256, size=(70, 90, 3), dtype=np.uint8)
    assert without_border(decoded(Image.fromarray(noise))) == Box(0, 0, 90, 70)


@pytest.mark.parametrize("size", [(240, 200), (2, 2), (1, 1), (5, 1), (2000, 3)])
def test_a_blank_photo_stays_whole(size: tuple[int, int]) -> None:
    assert without_border(decoded(Image.new("RGB", size, WHITE))) == Box(0, 0, *size)


def test_what_is_left_is_never_tiny() -> None:
    found = without_border(decoded(on_ground((100, 100, 110, 104))))
    assert (found.width, found.height) == (LEAST_SIDE * 240, LEAST_SIDE * 200)
    assert ((found.x0 + found.x1) / 2, (found.y0 + found.y1) / 2) == (105, 102)
    corner = without_border(decoded(on_ground((230, 4, 236, 8))))
    assert (corner.x1, corner.y0) == (240, 0)


@pytest.mark.parametrize("difference", [5, 20])
def test_the_tolerance_says_what_is_border(difference: int) -> None:
    level = 255 - difference
    photo = decoded(on_ground((60, 60, 180, 150), product=(255, level, 255)))
    whole, found = Box(0, 0, 240, 200), Box(60, 60, 180, 150)
    assert without_border(photo) == (whole if difference <= 12 else found)
    assert without_border(photo, tolerance=4) == found
    assert without_border(photo, tolerance=30) == whole


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("side", [200, 720, 1500])
def test_noise_and_what_jpeg_leaves_do_not_count(quality: int, side: int) -> None:
    """Within a pixel in 200, of which a model is shown few more; in small photos within a block."""
    rng = np.random.default_rng(0)
    image = Image.new("RGB", (side, side), (244, 244, 240))
    box = Box(side * 0.2, side * 0.3, side * 0.7, side * 0.85)
    draw = ImageDraw.Draw(image)
    draw.ellipse((box.x0, box.y0, box.x1 - 1, box.y1 - 1), fill=(20, 30, 60))
    noisy = np.asarray(image).astype(float) + rng.normal(0, 2, (side, side, 3))
    image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    found = without_border(decode(jpeg(image, quality)))
    off = np.abs(
        np.subtract((found.x0, found.y0, found.x1, found.y1), (box.x0, box.y0, box.x1, box.y1))
    )
    assert off.max() <= (8 if side == 200 else side / 200)


def test_a_photo_decoded_at_reduced_scale_gives_the_region_at_full_scale() -> None:
    data = jpeg(on_ground((500, 400, 1700, 1500), (2401, 2003)), 90)
    reduced = decode(data, target=128)
    assert reduced.scale < 1
    found = without_border(reduced)
    for value, expected in zip(
        (found.x0, found.y0, found.x1, found.y1), (500, 400, 1700, 1500), strict=True
    ):
        assert abs(value - expected) <= 12
    # The last column lies partly outside the photo.
    right = decode(jpeg(on_ground((500, 400, 2401, 2003), (2401, 2003)), 90), target=128)
    assert (without_border(right).x1, without_border(right).y1) == (2401, 2003)
