from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shoplens.datasets.dataset import read_dataset
from shoplens.pixels import resampling
from shoplens.pixels.crops import Fit, crop, crop_views, with_margin
from shoplens.pixels.decoding import Decoded, decode, read_bytes
from shoplens.records import Box

FITS: tuple[Fit, ...] = ("pad", "squash", "crop")


def decoded(
    pixels: npt.NDArray[np.uint8] | Image.Image, box: Box | None = None, scale: float = 1.0
) -> Decoded:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    return Decoded(image, image.size, scale, box, False)


def flat(width: int, height: int, colour: tuple[int, int, int] = (10, 20, 30)) -> Decoded:
    return decoded(Image.new("RGB", (width, height), colour))


def noise(width: int, height: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("fit", FITS)
def test_a_region_of_the_models_size_is_cut_out_unchanged(fit: Fit) -> None:
    pixels = noise(50, 40)
    result = crop(decoded(pixels, Box(11, 7, 27, 23)), size=16, fit=fit)
    assert result.dtype == np.uint8
    assert np.array_equal(result, pixels[7:23, 11:27])


@pytest.mark.parametrize("fit", FITS)
def test_the_whole_photo_is_the_region_when_there_is_no_box(fit: Fit) -> None:
    pixels = noise(37, 23)
    boxed = crop(decoded(pixels, Box(0, 0, 37, 23)), size=16, fit=fit)
    assert np.array_equal(crop(decoded(pixels), size=16, fit=fit), boxed)


@pytest.mark.parametrize(
    ("width", "height", "rows", "columns"),
    [
        (40, 20, slice(4, 12), slice(0, 16)),
        (20, 40, slice(0, 16), slice(4, 12)),
        (30, 30, slice(0, 16), slice(0, 16)),
        (160, 70, slice(4, 11), slice(0, 16)),
    ],
)
def test_pad_centres_the_region_between_borders(
    width: int, height: int, rows: slice, columns: slice
) -> None:
    result = crop(flat(width, height), size=16, fit="pad", pad_colour=(200, 100, 50))
    expected = np.empty((16, 16, 3), np.uint8)
    expected[:] = (200, 100, 50)
    expected[rows, columns] = (10, 20, 30)
    assert np.array_equal(result, expected)


def test_pad_is_white_unless_said_otherwise() -> None:
    assert (crop(flat(40, 20), size=16, fit="pad")[0] == 255).all()


def test_squash_stretches_the_whole_region() -> None:
    pixels = np.zeros((10, 40, 3), np.uint8)
    pixels[:, :20] = (255, 0, 0)
    pixels[:, 20:] = (0, 0, 255)
    result = crop(decoded(pixels), size=8, fit="squash")
    assert (result[:, :3] == (255, 0, 0)).all()
    assert (result[:, 5:] == (0, 0, 255)).all()


@pytest.mark.parametrize("tall", [False, True])
def test_crop_cuts_the_longer_sides_ends_off(tall: bool) -> None:
    pixels = np.full((16, 48, 3), 255, np.uint8)
    pixels[:, 16:32] = (10, 20, 30)
    if tall:
        pixels = pixels.swapaxes(0, 1).copy()
    result = crop(decoded(pixels), size=16, fit="crop")
    assert (result == (10, 20, 30)).all()


def test_crop_takes_the_middle_of_the_box_and_not_of_the_photo() -> None:
    pixels = noise(60, 30)
    result = crop(decoded(pixels, Box(20, 5, 50, 15)), size=10, fit="crop")
    assert np.array_equal(result, pixels[5:15, 30:40])


@pytest.mark.parametrize("fit", FITS)
def test_downsizing_averages_and_does_not_skip_pixels(fit: Fit) -> None:
    """A checkerboard of single pixels becomes even grey; without antialiasing it would not."""
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    pixels = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    result = crop(decoded(pixels), size=16, fit=fit).astype(int)
    assert np.abs(result - 127.5).max() <= 3


def test_a_fraction_of_a_pixel_counts() -> None:
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 100, axis=0)
    pixels = np.repeat(ramp, 3, axis=2)
    whole = crop(decoded(pixels, Box(10, 10, 50, 50)), size=8, fit="squash").astype(int)
    shifted = crop(decoded(pixels, Box(10.5, 10, 50.5, 50)), size=8, fit="squash").astype(int)
    assert (shifted - whole == 1).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    "box",
    [
        Box(5, 5, 6, 6),
        Box(5.25, 5.25, 5.5, 5.5),
        Box(0, 0, 64, 0.01),
        Box(63.999, 0, 64, 48),
        Box(0, 47, 64, 48),
        Box(31.9, 0, 32.1, 48),
    ],
)
def test_tiny_and_thin_regions_still_fill_a_square(fit: Fit, box: Box) -> None:
    result = crop(decoded(Image.new("RGB", (64, 48), (10, 20, 30)), box), size=24, fit=fit)
    assert result.shape == (24, 24, 3)
    assert (result == (10, 20, 30)).all(axis=2).any()
    if fit != "pad":
        assert (result == (10, 20, 30)).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(20_000, 10), (10, 20_000), (1, 1), (20_000, 1)])
def test_photos_of_odd_shapes_fill_a_square_at_any_scale(fit: Fit, size: tuple[int, int]) -> None:
    stream = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).save(stream, "JPEG")
    for target in (None, 32):
        photo = decode(stream.getvalue(), target=target)
        result = crop(photo, size=32, fit=fit, pad_colour=(200, 100, 50)).astype(int)
        assert result.shape == (32, 32, 3)
        assert np.abs(result - (200, 100, 50)).max() <= 3


@settings(max_examples=60)
@given(st.data())
def test_every_box_gives_a_square_of_colours_that_are_in_the_photo(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    x0 = data.draw(st.floats(0, width - 0.01))
    y0 = data.draw(st.floats(0, height - 0.01))
    x1 = data.draw(st.floats(x0 + 0.005, width))
    y1 = data.draw(st.floats(y0 + 0.005, height))
    fit = data.draw(st.sampled_from(FITS))
    size = data.draw(st.integers(1, 40))
    photo = decoded(Image.new("RGB", (width, height), (10, 20, 30)), Box(x0, y0, x1, y1))
    result = crop(photo, size=size, fit=fit, pad_colour=(10, 20, 30))
    assert result.shape == (size, size, 3)
    assert (result == (10, 20, 30)).all()


@pytest.mark.parametrize("fit", FITS)
def test_a_reduced_photo_gives_the_same_region(fit: Fit) -> None:
    """Pixels repeated 4 x 4 and the same photo at a quarter scale: nothing is lost between them."""
    small = noise(40, 30)
    large = small.repeat(4, axis=0).repeat(4, axis=1)
    box = Box(32, 16, 128, 80)
    full = crop(decoded(large, box), size=8, fit=fit).astype(int)
    image = Image.fromarray(small)
    reduced = crop(Decoded(image, (160, 120), 0.25, box, False), size=8, fit=fit).astype(int)
    assert np.abs(full - reduced).max() <= 6
    assert np.abs(full - reduced).mean() < 2


def test_a_reduced_photos_surplus_edge_is_left_out() -> None:
    """libjpeg rounds sizes up: of 33 pixels at 1/8 the fifth column shows one pixel only."""
    image = Image.new("RGB", (5, 5), (10, 20, 30))
    image.paste((255, 255, 255), (4, 0, 5, 5))
    whole = crop(Decoded(image, (33, 40), 0.125, None, False), size=33, fit="squash")
    boxed = crop(Decoded(image, (33, 40), 0.125, Box(0, 0, 33, 40), False), size=33, fit="squash")
    assert np.array_equal(whole, boxed)
    # A fifth of the width would be white (over 128 of 255) were the surplus not left out.
    assert (whole[0, :, 0] > 128).sum() <= 3


def test_the_result_is_the_callers_own() -> None:
    photo = decoded(noise(16, 16))
    for fit in FITS:
        first = crop(photo, size=16, fit=fit)
        assert np.array_equal(crop(photo, size=16, fit=fit), first)
        assert first.flags.c_contiguous


def test_a_padded_side_is_rounded_to_the_nearest_pixel() -> None:
    # 30 x 11 into 16: 5.87 rows, so 6; cutting the fraction off would shift every vector.
    result = crop(flat(30, 11), size=16, fit="pad", pad_colour=(255, 255, 255))
    assert (result[:, 0] == (10, 20, 30)).all(axis=1).sum() == 6


def plain_crop(
    photo: Decoded, size: int, fit: Fit, pad_colour: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """Spell `crop` out with Pillow alone, over the rows first, whatever Pillow would choose."""
    box = photo.box or Box(0, 0, *photo.size)
    x0, y0, x1, y1 = (value * photo.scale for value in (box.x0, box.y0, box.x1, box.y1))
    width, height = x1 - x0, y1 - y0
    if fit == "crop":
        side = min(width, height)
        x0, y0 = x0 + (width - side) / 2, y0 + (height - side) / 2
        x1, y1 = x0 + side, y0 + side
    extent = (size, size)
    if fit == "pad":
        factor = size / max(width, height)
        extent = (max(1, round(width * factor)), max(1, round(height * factor)))
    square = Image.new("RGB", (size, size), pad_colour)
    whole = photo.image.height
    rows = photo.image.resize((extent[0], whole), Image.Resampling.BICUBIC, box=(x0, 0, x1, whole))
    patch = rows.resize(extent, Image.Resampling.BICUBIC, box=(0, y0, extent[0], y1))
    square.paste(patch, ((size - extent[0]) // 2, (size - extent[1]) // 2))
    return np.asarray(square)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [97, 260])
def test_photos_give_what_pillow_gives(
    sample: Path, fit: Fit, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = read_dataset(sample)
    for photo in [*dataset.gallery, *dataset.queries][::3]:
        data = read_bytes(photo.path)
        for target in (None, size // 4):
            image = decode(data, box=photo.box, target=target)
            found = crop(image, size=size, fit=fit, pad_colour=(124, 116, 104))
            expected = plain_crop(image, size, fit, (124, 116, 104))
            difference = np.abs(found.astype(int) - expected)
            assert difference.max() <= 3
            assert (difference > 0).mean() < 0.02
            with monkeypatch.context() as patch:
                patch.setattr(resampling, "simd", None)
                found = crop(image, size=size, fit=fit, pad_colour=(124, 116, 104))
            np.testing.assert_array_equal(found, expected)


# Several views.


def test_a_zoom_above_1_pads_what_lies_outside_the_photo() -> None:
    (view,) = crop_views(flat(20, 20), size=16, fit="pad", zooms=[2])
    expected = np.full((16, 16, 3), 255, np.uint8)
    expected[4:12, 4:12] = (10, 20, 30)
    assert np.array_equal(view, expected)


def test_a_zoom_above_1_shows_the_boxs_surroundings_and_keeps_its_place() -> None:
    pixels = noise(40, 30)
    (view,) = crop_views(decoded(pixels, Box(4, 10, 12, 18)), size=16, fit="pad", zooms=[2])
    # The doubled region is 0..16 x 6..22, wholly in the photo.
    assert np.array_equal(view, pixels[6:22, 0:16])
    (view,) = crop_views(decoded(pixels, Box(1, 10, 9, 18)), size=16, fit="pad", zooms=[2])
    # Here it begins 3 pixels left of the photo.
    assert (view[:, :3] == 255).all()
    assert np.array_equal(view[:, 3:], pixels[6:22, 0:13])


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_a_zoom_above_1_ends_where_the_photo_does(fit: Fit) -> None:
    pixels = noise(40, 30)
    (view,) = crop_views(decoded(pixels, Box(0, 10, 10, 20)), size=16, fit=fit, zooms=[3])
    assert np.array_equal(view, crop(decoded(pixels, Box(0, 0, 20, 30)), size=16, fit=fit))


@pytest.mark.parametrize("fit", FITS)
def test_a_zoom_below_1_shows_the_middle(fit: Fit) -> None:
    pixels = noise(40, 30)
    (view,) = crop_views(decoded(pixels, Box(4, 2, 36, 26)), size=16, fit=fit, zooms=[0.5])
    assert np.array_equal(view, crop(decoded(pixels, Box(12, 8, 28, 20)), size=16, fit=fit))


def test_views_are_in_the_order_of_zooms_each_before_its_mirror_image() -> None:
    photo = decoded(noise(16, 16))
    views = crop_views(photo, size=8, fit="squash", zooms=[1, 0.5], flip=True)
    assert views.shape == (4, 8, 8, 3)
    assert np.array_equal(views[0], crop(photo, size=8, fit="squash"))
    assert np.array_equal(views[1], views[0, :, ::-1])
    assert np.array_equal(views[3], views[2, :, ::-1])
    assert not np.array_equal(views[0], views[2])


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("zoom", [0.6, 1, 1.7])
@pytest.mark.parametrize("size", [(21, 40), (22, 40), (40, 21)])
def test_the_mirror_image_is_the_mirrored_photos_view(
    fit: Fit, zoom: float, size: tuple[int, int]
) -> None:
    """With borders of odd sums too, the wider of which is on the right of both."""
    pixels = noise(*size)
    width = size[0]
    photo = decoded(pixels, Box(2, 3, 17.5, 20))
    turned = decoded(pixels[:, ::-1].copy(), Box(width - 17.5, 3, width - 2, 20))
    views = crop_views(photo, size=24, fit=fit, zooms=[zoom], flip=True).astype(int)
    others = crop_views(turned, size=24, fit=fit, zooms=[zoom], flip=True).astype(int)
    assert np.abs(views - others[::-1]).max() <= 1


@settings(max_examples=60)
@given(st.data())
def test_every_zoom_of_every_box_gives_squares(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    x0 = data.draw(st.floats(0, width - 0.01))
    y0 = data.draw(st.floats(0, height - 0.01))
    x1 = data.draw(st.floats(x0 + 0.005, width))
    y1 = data.draw(st.floats(y0 + 0.005, height))
    fit = data.draw(st.sampled_from(FITS))
    size = data.draw(st.integers(1, 40))
    zooms = data.draw(st.lists(st.floats(0.1, 10), min_size=1, max_size=3))
    photo = decoded(Image.new("RGB", (width, height), (10, 20, 30)), Box(x0, y0, x1, y1))
    views = crop_views(photo, size=size, fit=fit, pad_colour=(10, 20, 30), zooms=zooms, flip=True)
    assert views.shape == (2 * len(zooms), size, size, 3)
    assert (views == (10, 20, 30)).all()


def test_a_margin_is_a_share_of_the_box_and_ends_with_the_photo() -> None:
    assert with_margin(Box(20, 20, 40, 30), 0.1, (100, 100)) == Box(18, 19, 42, 31)
    assert with_margin(Box(20, 20, 40, 30), 2, (50, 100)) == Box(0, 0, 50, 50)
