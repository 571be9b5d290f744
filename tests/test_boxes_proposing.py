from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageDraw

from shoplens import Box, BoxProposals, propose_boxes
from shoplens.errors import PhotoError, ShoplensError

SIZE = (400, 300)
BOXES = [Box(60, 40, 260, 240), Box(200, 60, 380, 230), Box(100, 150, 300, 290)]


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union."""
    width = max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0))
    height = max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))
    return width * height / (a.width * a.height + b.width * b.height - width * height)


def ground(kind: str) -> Image.Image:
    if kind == "plain":
        return Image.new("RGB", SIZE, (225, 220, 210))
    if kind == "gradient":
        shades = np.linspace(90, 230, SIZE[0]).astype(np.uint8)
        return Image.fromarray(np.tile(shades[None, :, None], (SIZE[1], 1, 3)))
    coarse = np.random.default_rng(0).integers(90, 150, (30, 40, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)


def scene(kind: str, box: Box) -> Image.Image:
    """Draw a striped disc that fills the box."""
    image, shape = ground(kind), Image.new("RGB", SIZE, (190, 50, 40))
    draw = ImageDraw.Draw(shape)
    for x in range(0, SIZE[0], 40):
        draw.rectangle((x, 0, x + 12, SIZE[1]), fill=(240, 210, 60))
    mask = Image.new("L", SIZE)
    ImageDraw.Draw(mask).ellipse((box.x0, box.y0, box.x1 - 1, box.y1 - 1), fill=255)
    image.paste(shape, mask=mask)
    return image


def png(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def assert_sound(found: BoxProposals, size: tuple[int, int], n: int = 5) -> None:
    assert (found.width, found.height) == size
    assert 1 <= len(found) <= n
    scores = [proposal.score for proposal in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    for number, proposal in enumerate(found):
        box = proposal.box
        assert box.is_within(size)
        assert all(value == int(value) for value in (box.x0, box.y0, box.x1, box.y1))
        assert all(overlap(box, other.box) <= 0.6 for other in found[:number])


@pytest.mark.parametrize("box", BOXES, ids=str)
@pytest.mark.parametrize("kind", ["plain", "gradient", "textured"])
def test_a_thing_is_found_on_its_ground(kind: str, box: Box) -> None:
    found = propose_boxes(scene(kind, box))
    assert_sound(found, SIZE)
    assert overlap(found[0].box, box) > 0.55
    assert max(overlap(proposal.box, box) for proposal in found) > 0.65


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_those_of_the_upright_photo(orientation: int) -> None:
    upright = scene("plain", BOXES[1])
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright
    if orientation > 1:
        stored = upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert propose_boxes(png(stored, exif=exif)) == propose_boxes(png(upright))


@settings(max_examples=15)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**24 - 1), st.booleans())
@example(1, 1, 0, False)
@example(3000, 2, 255, False)
@example(2, 3000, 0xFFFFFF, True)
def test_any_photo_has_boxes_within_it(width: int, height: int, colour: int, noisy: bool) -> None:
    pixels = np.full((height, width, 3), [colour >> 16, colour >> 8 & 255, colour & 255], np.uint8)
    if noisy:
        pixels ^= np.random.default_rng(colour).integers(64, size=pixels.shape, dtype=np.uint8)
    assert_sound(propose_boxes(Image.fromarray(pixels)), (width, height))


@pytest.mark.parametrize("kind", ["plain", "gradient", "textured"])
def test_where_nothing_stands_out_the_middle_is_proposed(kind: str) -> None:
    best = propose_boxes(ground(kind))[0].box
    assert overlap(best, Box(60, 45, 340, 255)) > 0.8


def test_the_same_photo_has_the_same_boxes() -> None:
    data = png(scene("textured", BOXES[0]))
    expected = propose_boxes(data)
    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(propose_boxes, [data] * 8))


def test_a_photo_may_be_a_path_bytes_or_a_picture(tmp_path: Path) -> None:
    image = scene("gradient", BOXES[2])
    expected = propose_boxes(image)
    (tmp_path / "photo.png").write_bytes(png(image))
    assert propose_boxes(png(image)) == expected
    assert propose_boxes(tmp_path / "photo.png") == expected
    assert propose_boxes(str(tmp_path / "photo.png")) == expected


def test_fewer_boxes_are_the_best_of_five() -> None:
    image = scene("textured", BOXES[0])
    five = propose_boxes(image)
    assert len(five) > 1
    for n in (1, 2, 3):
        assert propose_boxes(image, n=n)[:] == five[:n]
    assert_sound(propose_boxes(image, n=20), SIZE, 20)
    with pytest.raises(ShoplensError, match="at least 1, got 0"):
        propose_boxes(image, n=0)


def test_json_is_that_of_the_service() -> None:
    found = propose_boxes(scene("plain", BOXES[0]))
    shown = found.to_json()
    assert (shown["width"], shown["height"]) == SIZE
    assert shown["boxes"][0] == {"box": str(found[0].box), "score": found[0].score}
    assert Box.parse(shown["boxes"][0]["box"], SIZE) == found[0].box


def test_a_photo_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(png(scene("plain", BOXES[0]))[:900])
    with pytest.raises(PhotoError, match=r"cut\.png") as caught:
        propose_boxes(cut)
    assert caught.value.reason == "truncated"
    with pytest.raises(PhotoError, match=r"none\.png") as caught:
        propose_boxes(tmp_path / "none.png")
    assert caught.value.reason == "missing"
