"""Ensembles that are fitted to a shop."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_grids import grid, make_grids
from PIL import Image

from shoplens import embed, evaluate, load_encoder, rank, read_dataset, read_gallery
from shoplens.adaptation.adapting import adapt
from shoplens.adaptation.finetuning import finetune
from shoplens.adaptation.frozen_ensemble import FrozenEnsemble, freeze
from shoplens.catalog import migrate, open_catalog
from shoplens.catalog.indexing import index
from shoplens.errors import ShoplensError
from shoplens.models import unit
from shoplens.models.ensemble import Ensemble
from shoplens.models.linear_head import LinearHead
from shoplens.pixels.decoding import decode

MakeModel = Callable[..., Path]


@pytest.fixture
def both(tmp_path: Path, make_model: MakeModel) -> Path:
    """An ensemble of a network, and of an ensemble of another that has a head."""
    make_model("a"), make_model("b", mean=[90.0, 127.0, 160.0], trim=["seller"])
    weight = np.random.default_rng(1).normal(size=(24, 48)).astype(np.float32)
    head = LinearHead(weight, np.zeros(24, np.float32))
    inner = tmp_path / "models" / "inner"
    inner.mkdir()
    entry = {"name": "inner", "members": [{"model": "../b"}], "head": "head.npz"}
    (inner / "ensemble.json").write_text(json.dumps(entry))
    (inner / "head.npz").write_bytes(head.to_bytes())
    folder = tmp_path / "models" / "both"
    folder.mkdir()
    members = [{"model": "../a", "weight": 3}, {"model": "../inner"}]
    (folder / "ensemble.json").write_text(json.dumps({"name": "both", "members": members}))
    return folder


def test_vectors_are_the_ensembles_and_features_those_of_its_networks(
    tmp_path: Path, both: Path
) -> None:
    photos = read_dataset(make_grids(tmp_path / "shop")).gallery
    frozen = freeze(both)
    assert isinstance(frozen, FrozenEnsemble)
    seen = frozen.see(photos, cache=False)
    np.testing.assert_allclose(seen.vectors, embed(photos, load_encoder(both)).vectors, atol=1e-6)
    a, b = (freeze(both.parent / name).see(photos, cache=False).features for name in "ab")
    expected = unit(np.concatenate([0.75**0.5 * a, 0.25**0.5 * b], axis=1))
    np.testing.assert_allclose(seen.features, expected, atol=1e-6)
    assert (frozen.name, frozen.dimension, frozen.trim) == ("both", 72, ())
    assert frozen.without_borders() is None
    # A picture that is no file is seen alike.
    path = tmp_path / "shop" / "gallery" / "0.png"
    vectors, features = frozen.look([decode(path.read_bytes())], "seller")
    np.testing.assert_allclose(vectors[0], seen.vectors[0], atol=1e-5)
    np.testing.assert_allclose(features[0], seen.features[0], atol=1e-5)


def score(dataset: Path, model: Path) -> float:
    data, encoder = read_dataset(dataset), load_encoder(model)
    queries, gallery = (embed(photos, encoder) for photos in (data.queries, data.gallery))
    return evaluate(rank(queries, gallery), data)["map@1000"].value


def test_a_shop_gains_an_ensemble(tmp_path: Path, both: Path) -> None:
    dataset, mine = make_grids(tmp_path / "shop", 40), tmp_path / "mine"
    report = finetune(read_dataset(dataset), mine, model=both)
    assert report.kept
    assert report.gain.difference.value > 0.1
    assert report.settings.dimension == 72
    assert report.gain.before.value == pytest.approx(score(dataset, both), abs=1e-6)
    others = make_grids(tmp_path / "others", 40, first=40)
    assert score(others, mine) > score(others, both) + 0.1
    assert score(others, mine) == pytest.approx(report.gain.after.value, abs=0.1)
    # It stands alone.
    shutil.rmtree(both.parent)
    encoder = load_encoder(mine)
    assert isinstance(encoder, Ensemble)
    assert encoder.fingerprint == report.new_fingerprint
    assert (encoder.name, encoder.dimension) == ("mine", 72)
    assert [member.weight for member in encoder.members] == [0.75, 0.25]
    assert "40 labelled products" in encoder.sources[-1]
    # The vectors in the cache are those that it computes.
    photos = read_dataset(dataset).gallery
    cached = embed(photos, encoder, cache=True)
    assert cached.n_cached == report.n_cached == 80
    fresh = embed(photos, encoder, cache=False).vectors
    np.testing.assert_allclose(cached.vectors, fresh, atol=1e-5)


def test_what_was_fitted_is_fitted_again_and_replaced(tmp_path: Path, both: Path) -> None:
    dataset, mine = read_dataset(make_grids(tmp_path / "shop")), tmp_path / "mine"
    first = finetune(dataset, mine, model=both, dimension=16)
    again = finetune(dataset, tmp_path / "again", model=mine, dimension=16)
    assert again.gain.before.value >= first.gain.after.value - 0.02
    with pytest.raises(ShoplensError, match="is there already"):
        finetune(dataset, mine, model=both)
    finetune(dataset, mine, model=both, dimension=12, force=True)
    assert load_encoder(mine).dimension == 12
    (mine / "mine.txt").write_text("notes")
    with pytest.raises(ShoplensError, match="is not a model folder"):
        finetune(dataset, mine, model=both, force=True)


def test_a_shop_without_labels_gains_an_ensemble(tmp_path: Path, both: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(60):
        photo = Image.new("RGB", (128, 128), "white")
        place = np.random.default_rng(number).integers(8, 56, 2).tolist()
        photo.paste(grid(number, 0), (place[0], place[1]))
        photo.save(folder / f"{number:03}.png")
    photos = read_gallery(folder)
    report = adapt(photos, tmp_path / "mine", model=both)
    assert report.kept
    encoder = load_encoder(tmp_path / "mine")
    assert isinstance(encoder, Ensemble)
    assert encoder.head is not None
    assert encoder.head.weight.dtype == np.float32
    assert encoder.fingerprint == report.new_fingerprint
    cached = embed(photos, encoder, cache=True)
    assert cached.n_cached == report.n_cached == 60
    fresh = embed(photos, encoder, cache=False).vectors
    assert fresh.dtype == np.float32
    np.testing.assert_allclose(cached.vectors, fresh, atol=1e-5)


def test_a_zip_of_an_ensemble_is_fitted_too(tmp_path: Path, both: Path) -> None:
    dataset = read_dataset(make_grids(tmp_path / "shop"))
    first = finetune(dataset, tmp_path / "mine", model=both)
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for path in sorted((tmp_path / "mine").rglob("*.*")):
            archive.write(path, path.relative_to(tmp_path / "mine").as_posix())
    again = finetune(dataset, tmp_path / "again", model=tmp_path / "mine.zip")
    assert again.fingerprint == first.new_fingerprint


def test_a_folder_with_models_of_ones_own_is_not_replaced(tmp_path: Path, both: Path) -> None:
    dataset = read_dataset(make_grids(tmp_path / "shop"))
    for name in "ab":
        shutil.copytree(both.parent / name, both / name)
    members = [{"model": "a"}, {"model": "b"}]
    (both / "ensemble.json").write_text(json.dumps({"name": "both", "members": members}))
    with pytest.raises(ShoplensError, match="is not a model folder, so it is not replaced"):
        finetune(dataset, both, model=both, force=True)
    assert (both / "a" / "model.onnx").is_file()


def test_a_catalogue_changes_to_the_ensemble_without_decoding(tmp_path: Path, both: Path) -> None:
    shop, mine = make_grids(tmp_path / "shop"), tmp_path / "mine"
    finetune(read_dataset(shop), mine, model=both)
    index(shop, tmp_path / "catalog", encoder=load_encoder(both))
    with open_catalog(tmp_path / "catalog") as catalog:
        migrated = migrate(catalog, load_encoder(mine))
        assert (migrated.n_photos, migrated.n_cached) == (60, 60)


def test_photos_that_one_network_cannot_use_are_left_out(
    tmp_path: Path, make_model: MakeModel, both: Path
) -> None:
    # Black photos have no direction where black is what is subtracted.
    shutil.rmtree(both.parent / "b")
    make_model("b", mean=[0.0, 0.0, 0.0])
    dataset = make_grids(tmp_path / "shop")
    Image.new("RGB", (32, 32), "black").save(dataset / "gallery" / "3.png")
    seen = freeze(both).see(read_dataset(dataset).gallery, cache=False)
    assert [failure.reason for failure in seen.failures] == ["no_direction"]
    assert len(seen) == len(seen.vectors) == len(seen.features) == 59
    assert 3 not in {photo.id for photo in seen.photos}
