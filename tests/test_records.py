from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shoplens.errors import DataError, PhotoError
from shoplens.records import REASONS, Box, Fault, Photo, PhotoColumns, PhotoSet, by_cause

coordinates = st.floats(-(2**20), 2**20, width=32)
lengths = st.floats(2**-10, 2**20, width=32)
sizes = st.tuples(st.integers(1, 30_000), st.integers(1, 30_000))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y, w, h = draw(coordinates), draw(coordinates), draw(lengths), draw(lengths)
    assume(x + w > x)
    assume(y + h > y)
    return Box.from_xywh(x, y, w, h)


def photo(number: int, product: str | None = None) -> Photo:
    name = f"{number}.jpg"
    return Photo(number, name, Path(name), "seller", product_id=product)


def test_a_box_is_half_open_with_corner_and_size() -> None:
    box = Box.from_xywh(10, 20, 30, 40)
    assert box == Box(10, 20, 40, 60)
    assert (box.width, box.height) == (30, 40)
    assert str(box) == "10,20,30,40"


def test_a_relative_box_is_a_fraction_of_width_and_height() -> None:
    assert Box.from_relative(0.25, 0.5, 0.5, 0.25, (400, 200)) == Box(100, 100, 300, 150)
    assert Box.from_relative(0, 0, 1, 1, (400, 200)) == Box(0, 0, 400, 200)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("position", range(4))
def test_a_box_of_no_finite_numbers_is_refused(bad: float, position: int) -> None:
    numbers = [1.0, 2.0, 30.0, 40.0]
    numbers[position] = bad
    for make in (Box, Box.from_xywh):
        with pytest.raises(PhotoError) as caught:
            make(*numbers)
        assert caught.value.reason == "bad_box"


@pytest.mark.parametrize(
    ("width", "height"), [(0, 5), (5, 0), (-1, 5), (5, -1), (0, 0), (1e-300, 5)]
)
def test_a_box_without_area_is_refused(width: float, height: float) -> None:
    with pytest.raises(PhotoError, match="width and height must be") as caught:
        Box.from_xywh(10, 10, width, height)
    assert caught.value.reason == "bad_box"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120,40,300,200", Box(120, 40, 420, 240)),
        (" 1.5 , 2,3 ,4 ", Box(1.5, 2, 4.5, 6)),
        ("-5,0,10,10", Box(-5, 0, 5, 10)),
        ("rel:0.5,0.25,0.25,0.5", Box(500, 200, 750, 600)),
        ("rel:0,0,1,1", Box(0, 0, 1000, 800)),
    ],
)
def test_a_box_is_read_from_text(text: str, expected: Box) -> None:
    assert Box.parse(text, (1000, 800)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "rel:", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1;2;3;4", "1,2,3,", "abs:1,2,3,4"],
)
def test_text_that_is_no_box_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(PhotoError, match="120,40,300,200") as caught:
        Box.parse(text, (100, 100))
    assert caught.value.reason == "bad_box"


@pytest.mark.parametrize("text", ["1,2,0,4", "rel:0,0,-1,1", "nan,0,1,1", "0,0,inf,1"])
def test_numbers_that_make_no_box_are_refused(text: str) -> None:
    with pytest.raises(PhotoError) as caught:
        Box.parse(text, (100, 100))
    assert caught.value.reason == "bad_box"


@given(boxes(), sizes)
def test_a_clipped_box_is_the_part_inside(box: Box, size: tuple[int, int]) -> None:
    overlaps = box.x0 < size[0] and box.y0 < size[1] and box.x1 > 0 and box.y1 > 0
    if not overlaps:
        with pytest.raises(PhotoError) as caught:
            box.clip(size)
        assert caught.value.reason == "outside_box"
        return
    clipped = box.clip(size)
    assert clipped.is_within(size)
    assert clipped.clip(size) == clipped
    assert (clipped == box) == box.is_within(size)
    for inner, outer, length in (
        ((clipped.x0, clipped.x1), (box.x0, box.x1), size[0]),
        ((clipped.y0, clipped.y1), (box.y0, box.y1), size[1]),
    ):
        assert inner == (max(outer[0], 0), min(outer[1], length))


def test_a_box_that_only_touches_an_edge_lies_outside() -> None:
    for box in (Box(100, 0, 110, 10), Box(-10, 0, 0, 10), Box(0, 50, 10, 60), Box(0, -9, 10, 0)):
        with pytest.raises(PhotoError, match="100 x 50 pixels"):
            box.clip((100, 50))


@given(boxes(), st.sampled_from([1.0, 0.5, 0.25, 0.125]))
def test_scaling_by_libjpegs_factors_loses_nothing(box: Box, factor: float) -> None:
    scaled = box.scaled(factor)
    assert scaled.scaled(1 / factor) == box
    assert scaled.width == pytest.approx(box.width * factor, rel=1e-6, abs=1e-9)
    assert scaled.x0 == box.x0 * factor
    assert scaled.y1 == box.y1 * factor


@given(boxes(), sizes, st.sampled_from([0.5, 0.25, 0.125]))
def test_clipping_and_scaling_commute(box: Box, size: tuple[int, int], factor: float) -> None:
    try:
        clipped = box.clip(size)
    except PhotoError:
        return
    whole = Box(0, 0, *size).scaled(factor)
    again = box.scaled(factor)
    assert clipped.scaled(factor) == Box(
        max(again.x0, 0.0),
        max(again.y0, 0.0),
        min(again.x1, whole.x1),
        min(again.y1, whole.y1),
    )


@given(st.lists(st.integers(-(2**31), 2**31 - 1), unique=True, max_size=20))
def test_a_photo_set_keeps_order_and_ids(numbers: list[int]) -> None:
    photos = PhotoSet([photo(number) for number in numbers])
    assert photos.ids.dtype == np.int32
    assert photos.ids.tolist() == numbers == [p.id for p in photos]
    assert len(photos) == len(numbers)
    part = photos[1:3]
    assert isinstance(part, PhotoSet)
    assert part.ids.tolist() == numbers[1:3]


def test_a_repeated_id_is_refused_and_both_photos_named() -> None:
    twice = [photo(7), photo(8), Photo(7, "other.jpg", Path("other.jpg"), "seller")]
    with pytest.raises(DataError, match=r"7 is used twice: 7\.jpg and other\.jpg"):
        PhotoSet(twice)


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 10**30])
def test_an_id_beyond_32_bits_is_refused(number: int) -> None:
    with pytest.raises(DataError, match=f"{number} .* does not fit 32 bits"):
        PhotoSet([photo(number)])


def test_products_are_known_when_every_photo_has_one() -> None:
    assert PhotoSet([photo(0, "a"), photo(1, "a")]).has_products
    assert PhotoSet([photo(0, "")]).has_products
    assert not PhotoSet([photo(0, "a"), photo(1)]).has_products
    assert PhotoSet([]).has_products


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("q.csv", 3, "bbox_w", "x", "is no number"), "q.csv, row 3, column bbox_w: 'x' is"),
        (Fault("q.csv", 3, "", "", "has 2 fields"), "q.csv, row 3: has 2 fields"),
        (Fault("q.csv", 0, "", "", "is not there"), "q.csv: is not there"),
    ],
)
def test_a_fault_reads_as_place_value_problem(fault: Fault, text: str) -> None:
    assert str(fault).startswith(text)


def test_an_error_shows_a_few_faults_of_each_cause() -> None:
    faults = [Fault("g.csv", row, "id", f"{row}", f"repeats row {row - 1}") for row in range(2, 27)]
    faults.insert(1, Fault("g.csv", 3, "img_path", "../a.png", "leaves the folder"))
    error = DataError("folder: 26 faults", faults)
    assert error.faults == tuple(faults)
    assert str(error).splitlines() == [
        "folder: 26 faults",
        "  g.csv, row 2, column id: '2' repeats row 1",
        "  g.csv, row 3, column id: '3' repeats row 2",
        "  g.csv, row 4, column id: '4' repeats row 3",
        "  ... and 22 more like it",
        "  g.csv, row 3, column img_path: '../a.png' leaves the folder",
    ]
    many = [Fault("g.csv", 1, f"{'x' * n}", "", "is bad") for n in range(12)]
    assert str(DataError("m", many)).splitlines()[-1] == "  ... and faults of 2 other kinds"


def test_faults_of_one_cause_go_together() -> None:
    faults = [
        Fault("g.csv", 2, "img_path", "a.png", "missing: no file a.png in set"),
        Fault("g.csv", 3, "img_path", "b.png", "missing: no file b.png in set"),
        Fault("g.csv", 3, "img_path", "c.png", "truncated: 12 bytes are left"),
        Fault("q.csv", 2, "img_path", "a.png", "missing: no file a.png in set"),
    ]
    assert [len(alike) for alike in by_cause(faults)] == [2, 1, 1]


def test_every_reason_is_explained_once() -> None:
    assert all(REASONS.values())
    assert len(set(REASONS.values())) == len(REASONS)


names = st.text(st.characters(codec=None, exclude_characters="\0"), min_size=1, max_size=12)


@given(
    st.lists(
        st.builds(
            Photo,
            id=st.integers(-(2**31), 2**31 - 1),
            name=names,
            path=st.one_of(names.map(Path), names.map(lambda name: Path("/shop/data") / name)),
            domain=st.sampled_from(["user", "seller"]),
            box=st.none() | boxes(),
            box_frame=st.sampled_from(["upright", "stored"]),
            product_id=st.none() | st.text(max_size=3),
            problem=st.none() | st.just(PhotoError("missing", "gone")),
        ),
        max_size=6,
    )
)
def test_columns_give_back_the_photos(photos: list[Photo]) -> None:
    columns = PhotoColumns(photos)
    assert list(columns) == photos
    assert columns[1:5] == photos[1:5]
    assert [columns[-1]] == photos[-1:] if photos else not columns
    assert columns.ids.tolist() == [photo.id for photo in photos]


@pytest.mark.parametrize("path", ["/shop/gallery/a.jpg", "/shop/data/gallery/a.jpg", "a.jpg", "/b"])
def test_columns_keep_the_path_whatever_the_name(path: str) -> None:
    of = Photo(1, "gallery/a.jpg", Path(path), "seller")
    assert PhotoColumns([of])[0].path == Path(path)
