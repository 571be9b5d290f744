from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import picture
from PIL import Image, ImageOps

from shoplens import (
    Box,
    Photo,
    PhotoSet,
    embed,
    embed_photo,
    load_encoder,
    rank,
    read_dataset,
)
from shoplens.errors import ModelError, PhotoError
from shoplens.models import Encoder, RecipeEncoder
from shoplens.models.recipe import Recipe
from shoplens.records import Domain


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Encoder:
    return load_encoder(make_model())


def save(folder: Path, n: int) -> PhotoSet:
    photos = []
    for i in range(n):
        path = folder / f"{i}.png"
        picture(i).save(path)
        photos.append(Photo(100 + i, path.name, path, "seller"))
    return PhotoSet(photos)


def test_vectors_are_of_unit_length_in_table_order(tmp_path: Path, toy: Encoder) -> None:
    photos = save(tmp_path, 5)
    found = embed(photos, toy)
    assert found.vectors.shape == (5, 48)
    assert found.vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-6)
    for row, photo in enumerate(photos):
        alone = embed_photo(photo.path, toy, domain="seller")
        np.testing.assert_array_equal(found.vectors[row], alone)
    assert found.ids.tolist() == [100, 101, 102, 103, 104]
    assert (found.model_name, found.fingerprint) == ("toy", toy.fingerprint)


def test_failures_shift_no_row(tmp_path: Path, toy: Encoder) -> None:
    photos = save(tmp_path, 9)
    whole = embed(photos, toy)
    data = photos[2].path.read_bytes()
    photos[2].path.write_bytes(data[: len(data) // 2])
    photos[4].path.unlink()
    photos[6].path.write_bytes(b"")
    photos[8].path.write_bytes(b"no picture")
    found = embed(photos, toy)
    assert [(f.row, f.id, f.reason) for f in found.failures] == [
        (2, 102, "truncated"), (4, 104, "missing"), (6, 106, "empty"), (8, 108, "not_an_image"),
    ]  # fmt: skip
    for row in range(9):
        expected = np.zeros(48) if row % 2 == 0 and row else whole.vectors[row]
        np.testing.assert_array_equal(found.vectors[row], expected)


def test_problems_that_the_table_knows_are_failures(
    make_dataset: Callable[..., Path], toy: Encoder
) -> None:
    root = make_dataset(queries=[(0, "a", "0,0,0,48"), (1, "b", "0,0,64,48"), (2, "c", "90,0,5,5")])
    found = embed(read_dataset(root).queries, toy)
    assert [(f.row, f.reason) for f in found.failures] == [(0, "bad_box"), (2, "outside_box")]
    assert found.failures_by_reason() == {"bad_box": 1, "outside_box": 1}


def test_a_photo_whose_vector_has_no_direction_is_a_failure(tmp_path: Path, toy: Encoder) -> None:
    # Grey of the recipe's mean: the graph returns zeros.
    photos = save(tmp_path, 3)
    Image.new("RGB", (64, 48), (127, 127, 127)).save(photos[1].path)
    found = embed(photos, toy)
    assert [(f.row, f.reason) for f in found.failures] == [(1, "no_direction")]
    assert found.has_vector.tolist() == [True, False, True]
    with pytest.raises(PhotoError, match="zero or not finite"):
        embed_photo(photos[1].path, toy)


def test_a_model_that_cannot_run_ends_the_whole_run(
    tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    # Its recipe says longer vectors than its graph returns.
    encoder = load_encoder(make_model("long", dimension=50, centres={}))
    with pytest.raises(ModelError, match=r"model long returned \(1, 48\)"):
        embed(save(tmp_path, 3), encoder)


def test_the_built_in_model_gives_the_same_bits_for_any_number_of_workers(
    tmp_path: Path, encoder: Encoder
) -> None:
    photos = save(tmp_path, 10)
    photos[4].path.write_bytes(b"broken")
    one, three = embed(photos, encoder, workers=1), embed(photos, encoder, workers=3)
    np.testing.assert_array_equal(one.vectors, three.vectors)
    assert one.failures == three.failures
    assert one.sha256 == three.sha256


def test_the_same_photo_twice_has_the_same_vector_and_ties(
    tmp_path: Path, encoder: Encoder
) -> None:
    photos = save(tmp_path, 3)
    (tmp_path / "again.png").write_bytes(photos[0].path.read_bytes())
    again = Photo(7, "again.png", tmp_path / "again.png", "seller")
    found = embed(PhotoSet([*photos, again]), encoder)
    np.testing.assert_array_equal(found.vectors[0], found.vectors[3])
    ranking = rank(found, found)
    assert ranking.ids[0, :2].tolist() == ranking.ids[3, :2].tolist() == [100, 7]
    assert ranking.scores is not None
    assert ranking.scores[0, 0] == ranking.scores[0, 1]


def test_sha256_is_of_the_file(tmp_path: Path, toy: Encoder) -> None:
    photos = save(tmp_path, 3)
    photos[1].path.write_bytes(b"broken")
    photos[2].path.unlink()
    assert embed(photos, toy).sha256 == (
        hashlib.sha256(photos[0].path.read_bytes()).hexdigest(),
        hashlib.sha256(b"broken").hexdigest(),
        None,
    )


def test_clipped_boxes_are_counted(make_dataset: Callable[..., Path], toy: Encoder) -> None:
    boxes = ["0,0,64,48", "-5,0,20,20", "50,40,20,20", "0,0,64,48.5", "100,100,5,5"]
    root = make_dataset(queries=[(i, "a", box) for i, box in enumerate(boxes)])
    found = embed(read_dataset(root).queries, toy)
    assert found.n_clipped == 3
    assert len(found.failures) == 1


def test_a_clipped_box_gives_the_vector_of_its_part_inside(tmp_path: Path, toy: Encoder) -> None:
    path = save(tmp_path, 1)[0].path
    outside = embed_photo(path, toy, box=Box(-30, -10, 40, 30))
    inside = embed_photo(path, toy, box=Box(0, 0, 40, 30))
    np.testing.assert_array_equal(outside, inside)


def test_the_box_selects_the_product(tmp_path: Path, encoder: Encoder) -> None:
    scene = Image.new("RGB", (300, 200), (90, 120, 60))
    product = picture(1, (120, 90))
    scene.paste(product, (150, 60))
    scene.save(tmp_path / "scene.png")
    product.save(tmp_path / "product.png")
    cut = embed_photo(tmp_path / "scene.png", encoder, box=Box.from_xywh(150, 60, 120, 90))
    alone = embed_photo(tmp_path / "product.png", encoder)
    # Not equal: at its edges the resize looks a little over the border, where there is one.
    assert float(cut @ alone) > 0.95
    assert float(embed_photo(tmp_path / "scene.png", encoder) @ alone) < 0.9


def test_a_photo_stored_sideways_has_the_vector_of_the_upright_one(
    tmp_path: Path, encoder: Encoder
) -> None:
    upright = picture(3, (120, 160))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned 90 degrees clockwise.
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "stored.png", exif=exif)
    box = Box.from_xywh(20, 70, 80, 60)
    np.testing.assert_array_equal(
        embed_photo(tmp_path / "stored.png", encoder, box=box),
        embed_photo(tmp_path / "upright.png", encoder, box=box),
    )
    # The same of a JPEG: its pixels, turned by another hand, give the same vector.
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "stored.jpg", exif=exif)
    with Image.open(tmp_path / "stored.jpg") as stored:
        ImageOps.exif_transpose(stored).save(tmp_path / "turned.png")
    np.testing.assert_array_equal(
        embed_photo(tmp_path / "stored.jpg", encoder, box=box),
        embed_photo(tmp_path / "turned.png", encoder, box=box),
    )


def test_stored_boxes_select_what_the_upright_ones_do(tmp_path: Path, toy: Encoder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(3, (160, 120)).save(tmp_path / "photo.png", exif=exif)
    # Stored 160 x 120, upright 120 x 160: the left edge becomes the top.
    stored, upright = Box(10, 20, 50, 90), Box(30, 10, 100, 50)
    photos = PhotoSet(
        [
            Photo(0, "a", tmp_path / "photo.png", "user", stored, "stored"),
            Photo(1, "b", tmp_path / "photo.png", "user", upright, "upright"),
        ]
    )
    found = embed(photos, toy)
    np.testing.assert_array_equal(found.vectors[0], found.vectors[1])


def test_users_and_sellers_are_centred_differently(tmp_path: Path, encoder: Encoder) -> None:
    path = save(tmp_path, 1)[0].path
    as_user = embed_photo(path, encoder, domain="user")
    as_seller = embed_photo(path, encoder, domain="seller")
    assert float(as_user @ as_seller) < 0.999


def test_no_photos_give_no_vectors(toy: Encoder) -> None:
    found = embed(PhotoSet([]), toy)
    assert found.vectors.shape == (0, 48)
    assert found.failures == ()


def test_progress_counts_every_photo(tmp_path: Path, toy: Encoder) -> None:
    photos = save(tmp_path, 4)
    photos[1].path.unlink()
    told: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))

    embed(photos, toy, progress=progress)
    assert told == [("embed", done, 4) for done in (1, 2, 3, 4)]


def test_the_time_of_every_stage_is_told(tmp_path: Path, toy: Encoder) -> None:
    seconds = embed(save(tmp_path, 3), toy).seconds
    assert set(seconds) == {"embed", "read", "decode", "crop", "infer"}
    assert all(value >= 0 for value in seconds.values())


@pytest.mark.parametrize("name", ["none.png", "."])
def test_a_single_photo_that_cannot_be_read_is_an_error(
    tmp_path: Path, toy: Encoder, name: str
) -> None:
    with pytest.raises(PhotoError):
        embed_photo(tmp_path / name, toy)


class Brightness(RecipeEncoder):
    """An encoder of one's own: three numbers, and which threads asked for them."""

    def __init__(self) -> None:
        self.recipe = Recipe(
            name="brightness", version="1", dimension=3, input_size=8, fit="pad",
            pixels="uint8_nhwc", mean=(0, 0, 0), std=(1, 1, 1), licence="CC0-1.0", sources=(),
        )  # fmt: skip
        self.fingerprint = "mine"
        self.threads: set[int] = set()

    def encode(
        self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]
    ) -> npt.NDArray[np.float32]:
        self.threads.add(threading.get_ident())
        means = pixels.mean(axis=(1, 2)).astype(np.float32)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


def test_a_model_of_your_own_is_a_recipe_and_a_function(tmp_path: Path) -> None:
    encoder = Brightness()
    found = embed(save(tmp_path, 4), encoder)
    assert found.vectors.shape == (4, 3)
    assert (found.model_name, found.fingerprint) == ("brightness", "mine")
    assert threading.get_ident() not in encoder.threads


def test_a_long_region_squashed_is_not_decoded_too_small(
    tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    # Of 1600 x 40 pixels the shorter side sets how far the JPEG may be shrunk.
    encoder = load_encoder(make_model(fit="squash", centres={}))
    image = picture(3, (1600, 40))
    image.save(tmp_path / "whole.png")
    image.save(tmp_path / "scaled.jpg", quality=98, subsampling=0)
    whole = embed_photo(tmp_path / "whole.png", encoder)
    assert whole @ embed_photo(tmp_path / "scaled.jpg", encoder) > 0.99999
