from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from made_grids import grid
from PIL import Image

from shoplens import embed, load_encoder, read_gallery
from shoplens.adaptation.adapting import (
    LEAST_GAIN,
    LEAST_PHOTOS,
    SPLITS,
    adapt,
)
from shoplens.adaptation.choosing import FOLDS
from shoplens.adaptation.label_free import ShopPhotos, fit_shop
from shoplens.adaptation.made_photos import shopper_view
from shoplens.adaptation.shop_photos import read_shop, read_shoppers
from shoplens.catalog import open_catalog
from shoplens.catalog.indexing import index
from shoplens.errors import DataError
from shoplens.models import load_recipe, unit
from shoplens.pixels.decoding import Decoded

MakeModel = Callable[..., Path]


def make_photos(folder: Path, n: int = 60) -> Path:
    """Write sellers' photos: products of coloured cells, somewhere on a white ground."""
    folder.mkdir(parents=True)
    for number in range(n):
        photo = Image.new("RGB", (128, 128), "white")
        place = np.random.default_rng(number).integers(8, 56, 2).tolist()
        photo.paste(grid(number, 0), (place[0], place[1]))
        photo.save(folder / f"{number:03}.png")
    return folder


def test_a_shop_gains_a_model_without_labels(tmp_path: Path, make_model: MakeModel) -> None:
    folder, toy = make_photos(tmp_path / "photos"), make_model()
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    report = adapt(read_gallery(folder), tmp_path / "mine", model=toy)
    assert report.kept
    assert [failure.name for failure in report.failures] == ["broken.png"]
    (folder / "broken.png").unlink()
    photos = read_gallery(folder)
    assert report.gain.difference.low > LEAST_GAIN
    assert (report.n_products, report.n_queries, report.n_gallery) == (60, 180, 60)
    recipe = load_recipe(tmp_path / "mine")
    # Products at any place on white are found by what is inside the white.
    assert report.trim == recipe.trim == ("seller",)
    encoder = load_encoder(tmp_path / "mine")
    assert encoder.fingerprint == report.new_fingerprint
    assert report.n_cached == 60
    cached = embed(photos, encoder)
    assert cached.n_cached == 60
    fresh = embed(photos, encoder, cache=False).vectors
    np.testing.assert_allclose(cached.vectors, fresh, atol=1e-5)
    json.dumps(report.to_json(), allow_nan=False)


def test_a_gain_that_says_little_is_not_kept(tmp_path: Path, make_model: MakeModel) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(60):
        grid(number, 0).save(folder / f"{number:03}.png")  # Nothing but the product: all is well.
    told: list[tuple[str, int, int]] = []
    report = adapt(
        read_gallery(folder),
        tmp_path / "mine",
        model=make_model(),
        progress=lambda *step: told.append(step),
    )
    assert told[-1] == ("validate", SPLITS * FOLDS, SPLITS * FOLDS)
    assert report.gain.before.value > 0.9
    assert report.gain.difference.low < LEAST_GAIN == report.least_gain
    assert not report.kept
    assert not (tmp_path / "mine").exists()


def test_too_few_photos_are_refused(tmp_path: Path, make_model: MakeModel) -> None:
    photos = read_gallery(make_photos(tmp_path / "photos", LEAST_PHOTOS - 1))
    with pytest.raises(DataError, match=r"49 photos can be used.* at least 50"):
        adapt(photos, tmp_path / "mine", model=make_model())
    assert not (tmp_path / "mine").exists()


def test_the_command_takes_a_catalogue_and_users_photos(
    tmp_path: Path, make_model: MakeModel, run: Run
) -> None:
    folder, toy = make_photos(tmp_path / "photos"), make_model()
    index(folder, tmp_path / "shop", encoder=load_encoder(toy))
    found = read_shop(tmp_path / "shop")
    assert {photo.path for photo in found} == {photo.path for photo in read_gallery(folder)}
    words = ("--model", toy, "--user-photos", folder, "--json", tmp_path / "report.json")
    result = run("adapt", tmp_path / "shop", "-o", tmp_path / "mine", *words)
    assert result.code == 0, result.err
    assert "180 made photos, of 60 products that were kept out of the fit" in result.err
    assert json.loads((tmp_path / "report.json").read_text())["kept"]
    result = run("catalog", "migrate", tmp_path / "shop", "--model", tmp_path / "mine")
    assert "60 from the cache" in result.out
    with open_catalog(tmp_path / "shop", read_only=True) as catalog:
        assert catalog.model is not None
        assert catalog.model.name == "mine"


def test_queries_keep_their_boxes_as_users_photos(make_dataset: Callable[..., Path]) -> None:
    dataset = make_dataset(queries=((0, "a", "8,8,20,20"), (1, "b", "0,0,64,48")))
    for source in (dataset, dataset / "queries.csv"):
        assert [str(photo.box) for photo in read_shoppers(source)] == ["8,8,20,20", "0,0,64,48"]
    assert all(photo.box is None for photo in read_shoppers(dataset / "gallery"))


def shop(n: int = 40, n_features: int = 12) -> ShopPhotos:
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(n, n_features))
    sources = np.repeat(np.arange(n), 2)
    made = gallery[sources] + rng.normal(size=(2 * n, n_features)) * np.linspace(0, 2, n_features)
    seen = [unit(rows.astype(np.float32)) for rows in (gallery, made)]
    own = [unit(rows[:, :6]) for rows in seen]
    return ShopPhotos(seen[0], own[0], seen[1], own[1], sources)


def test_real_users_photos_become_the_users_centre() -> None:
    photos = shop()
    users = unit(np.random.default_rng(1).normal(1, 1, size=(30, 12)).astype(np.float32))
    head = fit_shop(photos, 6, users)
    np.testing.assert_allclose(head.uncentred(users).mean(axis=0), head.centres["user"], atol=1e-5)
    assert not np.allclose(head.centres["user"], fit_shop(photos, 6).centres["user"], atol=1e-3)


def test_photos_that_are_left_out_do_not_count() -> None:
    photos = shop()
    assert fit_shop(photos, 6).weight.shape == (6, 12)
    left_out = np.arange(10)
    kept = photos.without(left_out)
    assert set(kept.sources) == set(range(10, 40))
    senseless = np.isin(photos.sources, left_out)[:, None]
    other = ShopPhotos(
        photos.gallery,
        photos.gallery_vectors,
        np.where(senseless, -photos.made, photos.made),
        photos.made_vectors,
        photos.sources,
    )
    heads = [fit_shop(each.without(left_out), 6) for each in (photos, other)]
    np.testing.assert_array_equal(heads[0].weight, heads[1].weight)


@pytest.mark.parametrize("seed", range(20))
def test_a_made_photo_shows_the_product_in_another_way(seed: int) -> None:
    size = (90 + 40 * (seed % 3), 120)
    image = Image.new("RGB", size, "white")
    image.paste(grid(seed, 0), (15, 20))
    photo = Decoded(image, size, 1.0, None, False)
    clutter = [grid(99, 1, side=200)]
    made = [shopper_view(photo, 48, np.random.default_rng(seed), clutter).image for _ in range(2)]
    assert made[0].mode == "RGB"
    assert min(made[0].size) >= 16
    assert max(made[0].size) <= 2 * 48
    assert made[0].tobytes() == made[1].tobytes()
    other = shopper_view(photo, 48, np.random.default_rng(seed + 100), clutter).image
    assert other.size != made[0].size or other.tobytes() != made[0].tobytes()
    assert image.getpixel((0, 0)) == (255, 255, 255)  # The photo itself stays as it is.
