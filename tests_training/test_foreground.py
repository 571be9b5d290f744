from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shoplens.errors import PhotoError
from shoplens.records import Box
from shoplens.training import geometry
from shoplens.training.foreground import cut_out, over, read_source


def studio(background=(250, 250, 248), shape="ellipse", noise=1.5, seed=0):
    """A photo of a known product before a plain background, and the product's mask."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((240, 200), np.uint8)
    if shape == "ellipse":
        cv2.ellipse(mask, (100, 120), (70, 90), 0, 0, 360, 255, -1)
    elif shape == "bars":
        mask[60:80, 40:160] = 255
        mask[60:200, 40:56] = 255
        mask[60:200, 144:160] = 255
    photo = np.empty((240, 200, 3), np.float32)
    photo[:] = background
    soft = cv2.GaussianBlur(mask, (0, 0), 0.8)[..., None] / 255
    photo = soft * np.array((170, 60, 40)) + (1 - soft) * photo
    photo += rng.normal(0, noise, photo.shape)
    return np.clip(photo, 0, 255).astype(np.uint8), mask


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("shape", ["ellipse", "bars"])
@pytest.mark.parametrize("background", [(255, 255, 255), (225, 228, 230), (30, 90, 160)])
def test_finds_the_mask(shape, background):
    photo, mask = studio(background, shape)
    product = cut_out(photo)
    assert product is not None
    assert overlap(product.rgba[..., 3] > 127, mask > 127) > 0.93
    box = geometry.bounds(product.outline)
    ys, xs = np.nonzero(mask)
    assert np.allclose(
        (box.x0, box.y0, box.x1, box.y1), (xs.min(), ys.min(), xs.max(), ys.max()), atol=2.5
    )


def test_leaves_no_halo_of_the_background():
    photo, mask = studio((255, 255, 255))
    product = cut_out(photo)
    ground = np.zeros_like(photo)
    pasted = over(product.rgba, ground)
    # On black, no pixel is lighter than the product itself.
    assert pasted[..., 1].max() < 60 + 40
    assert pasted[mask == 0].mean() < 5


def test_pasted_on_its_own_background_it_is_the_photo():
    photo, _ = studio((250, 250, 250), noise=0)
    pasted = over(cut_out(photo).rgba, np.full_like(photo, 250))
    assert np.abs(pasted.astype(int) - photo).max() <= 16


def test_a_label_of_the_backgrounds_colour_stays():
    photo, _ = studio((255, 255, 255))
    photo[110:130, 80:120] = 255
    assert cut_out(photo).rgba[115:125, 85:115, 3].min() == 255


def test_refuses_what_has_no_plain_borders():
    rng = np.random.default_rng(0)
    assert cut_out(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)) is None
    ramp = np.repeat(np.linspace(0, 255, 200)[None, :, None], 200, 0).repeat(3, 2)
    assert cut_out(ramp.astype(np.uint8)) is None


def test_refuses_implausible_products():
    blank = np.full((200, 200, 3), 250, np.uint8)
    assert cut_out(blank) is None
    speck = blank.copy()
    speck[100:106, 100:106] = 0
    assert cut_out(speck) is None
    everything = np.zeros((200, 200, 3), np.uint8)
    everything[3:-3, 3:-3] = 200
    assert cut_out(everything) is None
    assert cut_out(np.zeros((8, 8, 3), np.uint8)) is None


def test_keeps_alpha(tmp_path):
    photo, mask = studio()
    file = tmp_path / "render.webp"
    Image.fromarray(np.dstack([photo, mask])).save(file, lossless=True)
    source = read_source(file, 448)
    assert source.transparent
    assert np.array_equal(source.foreground.rgba[..., 3], mask)
    assert np.all(source.pixels[mask == 0] == 255)
    assert np.abs(source.pixels[mask == 255].astype(int) - photo[mask == 255]).max() <= 1
    assert source.foreground.cut_sides == (False,) * 4


def test_reads_no_larger_than_asked(tmp_path):
    photo, mask = studio()
    Image.fromarray(np.dstack([photo, mask])).save(tmp_path / "a.webp")
    Image.fromarray(photo).save(tmp_path / "a.png")
    for name in ("a.webp", "a.png"):
        source = read_source(tmp_path / name, 120)
        assert source.pixels.shape == (120, 100, 3)
        assert source.frame == Box(0, 0, 100, 120)
        assert source.foreground.rgba.shape == (120, 100, 4)


def test_opaque_alpha_is_a_plain_photo(tmp_path):
    photo, _ = studio()
    Image.fromarray(np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])).save(
        tmp_path / "a.png"
    )
    assert not read_source(tmp_path / "a.png", 448).transparent


@pytest.mark.parametrize("cut", [30, 600])
def test_a_cut_file_is_refused(tmp_path, cut):
    photo, mask = studio()
    file = tmp_path / "a.webp"
    Image.fromarray(np.dstack([photo, mask])).save(file, lossless=True)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(PhotoError):
        read_source(file, 448)


def test_mirrors_and_recolours():
    photo, _ = studio(shape="bars")
    product = cut_out(photo)
    mirrored = product.mirrored()
    assert np.array_equal(mirrored.rgba, product.rgba[:, ::-1])
    box, flipped = geometry.bounds(product.outline), geometry.bounds(mirrored.outline)
    assert (flipped.x0, flipped.x1) == pytest.approx((200 - box.x1, 200 - box.x0))
    swapped = product.recoloured(np.eye(3, dtype=np.float32)[[2, 1, 0]])
    assert np.array_equal(swapped.rgba, product.rgba[..., [2, 1, 0, 3]])


sizes = st.floats(1, 2000)


@given(width=sizes, height=sizes, amount=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_a_careless_box_is_within_the_photo_and_not_empty(width, height, amount, seed):
    frame = Box(0, 0, width, height)
    box = geometry.clip(geometry.jitter(frame, amount, np.random.default_rng(seed)), frame)
    assert box.is_within((width, height))
    assert box.width >= 0.09 * width
    assert box.height >= 0.09 * height
    assert box.x0 < width / 2 < box.x1
    if amount == 0:
        assert box == frame


def test_warping_by_nothing_changes_nothing():
    photo, _ = studio()
    same = geometry.warp(photo, np.eye(3, dtype=np.float32), Box(0, 0, 200, 240), 240)
    assert np.array_equal(same, photo)
    part = geometry.warp(photo, np.eye(3, dtype=np.float32), Box(20, 30, 120, 90), 100)
    assert np.array_equal(part, photo[30:90, 20:120])
