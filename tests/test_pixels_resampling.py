from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shoplens.pixels import resampling
from shoplens.pixels.resampling import Interpolation, resample
from shoplens.records import Box

Pixels = npt.NDArray[np.uint8]
FILTERS: tuple[Interpolation, ...] = get_args(Interpolation)

KERNELS: dict[str, tuple[float, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]]] = {
    "bilinear": (1, lambda x: np.maximum(1 - x, 0)),
    "bicubic": (
        2,
        lambda x: np.where(
            x < 1,
            (1.5 * x - 2.5) * x * x + 1,
            np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0),
        ),
    ),
    "lanczos": (3, lambda x: np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0)),
}
"""Reach and weight by distance: Keys 1981 with a = -0.5 for bicubic."""


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Make something with edges and smooth places."""
    small = np.random.default_rng(seed).integers(256, size=(5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    image.paste((255, 255, 0), (width // 3, height // 4, width // 2 + 1, height // 2 + 1))
    return image


def weights(
    start: float, end: float, length: int, whole: int, name: str
) -> npt.NDArray[np.float64]:
    """Return (length, whole): what each pixel of an axis gives to each pixel of the result."""
    reach, kernel = KERNELS[name]
    scale = (end - start) / length
    stretch = max(scale, 1.0)
    rows = np.zeros((length, whole))
    for row in range(length):
        centre = start + (row + 0.5) * scale
        first = max(0, int(centre - reach * stretch + 0.5))
        last = min(whole, int(centre + reach * stretch + 0.5))
        rows[row, first:last] = kernel(np.abs(np.arange(first, last) + 0.5 - centre) / stretch)
    rows /= rows.sum(axis=1, keepdims=True)
    return rows


def by_hand(image: Image.Image, region: Box, size: tuple[int, int], name: str) -> Pixels:
    """Convolve in float64, over the rows and then over the columns, rounding after each."""
    pixels = np.asarray(image, dtype=np.float64)
    across = weights(region.x0, region.x1, size[0], image.width, name)
    down = weights(region.y0, region.y1, size[1], image.height, name)
    rows = np.rint(np.einsum("xw,hwc->hxc", across, pixels)).clip(0, 255)
    return np.rint(np.einsum("yh,hxc->yxc", down, rows)).clip(0, 255).astype(np.uint8)


@st.composite
def regions(draw: st.DrawFn) -> tuple[int, int, Box, tuple[int, int]]:
    """Draw an image's size, a region of it, and a size for the result."""
    width, height = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    x = sorted(draw(st.tuples(st.floats(0, width), st.floats(0, width))))
    y = sorted(draw(st.tuples(st.floats(0, height), st.floats(0, height))))
    box = Box(x[0], y[0], max(x[1], min(x[0] + 0.5, width)), max(y[1], min(y[0] + 0.5, height)))
    if box.width < 0.4 or box.height < 0.4:
        box = Box(0, 0, width, height)
    return width, height, box, (draw(st.integers(1, 60)), draw(st.integers(1, 60)))


@pytest.fixture(params=["simd", "pillow"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compute by either way."""
    if request.param == "pillow":
        monkeypatch.setattr(resampling, "simd", None)
    elif resampling.simd is None:
        pytest.skip("cykooz_resizer has no wheel for this platform")
    name: str = request.param
    return name


def close(found: Pixels, expected: Pixels) -> bool:
    """Whether two results differ by their rounding alone."""
    difference = np.abs(found.astype(int) - expected)
    return bool(difference.max() <= 3 and (difference > 1).mean() < 0.02)


@pytest.mark.parametrize("name", sorted(KERNELS))
@pytest.mark.parametrize(
    ("region", "size"),
    [
        (Box(0, 0, 80, 60), (32, 24)),
        (Box(0, 0, 80, 60), (160, 130)),
        (Box(10.25, 7.5, 61.75, 50.125), (33, 47)),
        (Box(20, 3, 40, 57), (70, 9)),  # Where Pillow 13 alone would go over columns first.
        (Box(79, 59, 80, 60), (5, 5)),
    ],
)
def test_it_is_the_convolution_rows_first(
    way: str, name: Interpolation, region: Box, size: tuple[int, int]
) -> None:
    image = picture(80, 60)
    assert close(resample(image, region, size, name), by_hand(image, region, size, name))


@given(drawn=regions(), name=st.sampled_from(FILTERS))
def test_simd_and_pillow_agree(
    drawn: tuple[int, int, Box, tuple[int, int]], name: Interpolation
) -> None:
    if resampling.simd is None:
        pytest.skip("cykooz_resizer has no wheel for this platform")
    width, height, region, size = drawn
    image = picture(width, height)
    found = resample(image, region, size, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "simd", None)
        expected = resample(image, region, size, name)
    assert found.shape == expected.shape == (size[1], size[0], 3)
    assert np.abs(found.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("name", FILTERS)
def test_a_region_of_its_own_size_is_copied(way: str, name: Interpolation) -> None:
    image = picture(40, 30)
    found = resample(image, Box(5, 6, 25, 20), (20, 14), name)
    np.testing.assert_array_equal(found, np.asarray(image)[6:20, 5:25])


@pytest.mark.parametrize("name", FILTERS)
def test_what_surrounds_a_region_counts_at_its_edges(way: str, name: Interpolation) -> None:
    image = Image.new("RGB", (64, 64), "black")
    image.paste((255, 255, 255), (16, 16, 48, 48))
    found = resample(image, Box(16, 16, 48, 48), (8, 8), name)
    assert found[0, 0, 0] < 255
    assert found[4, 4].tolist() == [255, 255, 255]


@pytest.mark.parametrize("name", FILTERS)
def test_one_colour_stays(way: str, name: Interpolation) -> None:
    image = Image.new("RGB", (37, 11), (3, 100, 251))
    found = resample(image, Box(0.5, 0.5, 36.1, 9.9), (50, 3), name)
    assert (found == (3, 100, 251)).all()


@pytest.mark.parametrize("name", FILTERS)
def test_strips_of_a_large_region_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, way: str, name: Interpolation
) -> None:
    image, region = picture(331, 257), Box(20.3, 11.8, 300.5, 250.25)
    whole = resample(image, region, (64, 48), name)
    monkeypatch.setattr(resampling, "_STRIP", 331 * 7)
    np.testing.assert_array_equal(resample(image, region, (64, 48), name), whole)
