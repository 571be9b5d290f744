from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_grids import make_grids

from shoplens import embed, evaluate, load_encoder, rank, read_dataset
from shoplens.adaptation.finetuning import finetune
from shoplens.adaptation.ways import LEAST_PRODUCTS
from shoplens.catalog import migrate, open_catalog
from shoplens.catalog.indexing import index
from shoplens.errors import DataError, ModelError, ShoplensError
from shoplens.models import load_recipe

MakeModel = Callable[..., Path]


def score(dataset: Path, model: str | Path) -> float:
    data, encoder = read_dataset(dataset), load_encoder(model)
    queries, gallery = (embed(photos, encoder) for photos in (data.queries, data.gallery))
    return evaluate(rank(queries, gallery), data)["map@1000"].value


def test_a_shop_gains_a_model(tmp_path: Path, make_model: MakeModel) -> None:
    dataset, toy = make_grids(tmp_path / "shop"), make_model()
    before = (toy / "model.onnx").read_bytes()
    report = finetune(read_dataset(dataset), tmp_path / "models" / "mine", model=toy)
    assert report.kept
    assert report.output == tmp_path / "models" / "mine"
    assert (report.n_products, report.n_queries, report.n_gallery) == (30, 60, 60)
    assert report.gain.before.value == pytest.approx(score(dataset, toy), abs=1e-6)
    assert report.gain.difference.value > 0.1
    # The same photos that the head knows are found more easily than those that it did not know.
    assert score(dataset, report.output) >= report.gain.after.value - 0.02
    encoder = load_encoder(report.output)
    assert encoder.fingerprint == report.new_fingerprint
    assert load_recipe(report.output).name == "mine"
    # The photos have no plain borders.
    assert report.trim == load_recipe(report.output).trim == ()
    assert "30 labelled products" in load_recipe(report.output).sources[-1]
    assert (toy / "model.onnx").read_bytes() == before


def test_new_products_are_found_as_the_report_says(tmp_path: Path, make_model: MakeModel) -> None:
    shop, toy = make_grids(tmp_path / "shop", 40), make_model()
    report = finetune(read_dataset(shop), tmp_path / "mine", model=toy)
    assert report.output is not None
    others = make_grids(tmp_path / "others", 40, first=40)
    after, gain = score(others, report.output), report.gain
    assert after > score(others, toy) + 0.1
    assert after == pytest.approx(gain.after.value, abs=0.1)


def test_what_does_not_win_is_not_kept(tmp_path: Path, make_model: MakeModel) -> None:
    # Without anything around the products, the toy model finds all of them.
    dataset, toy = make_grids(tmp_path / "shop", around=0), make_model()
    report = finetune(read_dataset(dataset), tmp_path / "mine", model=toy)
    assert not report.kept
    assert report.new_fingerprint is None
    assert not (tmp_path / "mine").exists()
    assert report.gain.before.value > 0.95
    json.dumps(report.to_json(), allow_nan=False)


def test_a_catalogue_changes_to_the_model_without_decoding(
    tmp_path: Path, make_model: MakeModel
) -> None:
    dataset, toy = make_grids(tmp_path / "shop"), make_model()
    report = finetune(read_dataset(dataset), tmp_path / "mine", model=toy)
    assert report.output is not None
    assert report.n_cached == 60
    index(dataset, tmp_path / "catalog", encoder=load_encoder(toy))
    with open_catalog(tmp_path / "catalog") as catalog:
        migrated = migrate(catalog, load_encoder(report.output))
        assert (migrated.n_photos, migrated.n_cached) == (60, 60)
        stored = np.stack([entry.vector for entry in catalog.entries()])
    photos = read_dataset(dataset).gallery
    fresh = embed(photos, load_encoder(report.output), cache=False).vectors
    np.testing.assert_allclose(stored, fresh, atol=1e-5)


def test_the_vectors_may_be_shorter(tmp_path: Path, make_model: MakeModel) -> None:
    dataset, toy = make_grids(tmp_path / "shop"), make_model()
    report = finetune(read_dataset(dataset), tmp_path / "mine", model=toy, dimension=24)
    assert report.output is not None
    assert load_encoder(report.output).dimension == 24
    again = finetune(read_dataset(dataset), tmp_path / "again", model=report.output)
    assert again.settings.dimension == 24


def test_broken_photos_are_counted_and_left_out(tmp_path: Path, make_model: MakeModel) -> None:
    dataset = make_grids(tmp_path / "shop")
    (dataset / "gallery" / "0.png").write_bytes(b"no picture")
    (dataset / "queries" / "7.png").write_bytes(b"")
    report = finetune(read_dataset(dataset), tmp_path / "mine", model=make_model())
    assert sorted(f.reason for f in report.failures) == ["empty", "not_an_image"]
    assert (report.n_queries, report.n_gallery) == (59, 59)


def test_too_few_products_are_refused(tmp_path: Path, make_model: MakeModel) -> None:
    dataset = make_grids(tmp_path / "shop", LEAST_PRODUCTS - 1)
    with pytest.raises(DataError, match=r"19 products have usable photos.* at least 20"):
        finetune(read_dataset(dataset), tmp_path / "mine", model=make_model())


def test_models_of_several_views_are_refused(tmp_path: Path, make_model: MakeModel) -> None:
    dataset = read_dataset(make_grids(tmp_path / "shop"))
    with pytest.raises(ModelError, match="several views"):
        finetune(dataset, tmp_path / "mine", model=make_model("mirrored", flip=True))


def test_a_folder_that_is_there_is_not_replaced(tmp_path: Path, make_model: MakeModel) -> None:
    dataset, toy = read_dataset(make_grids(tmp_path / "shop")), make_model()
    with pytest.raises(ShoplensError, match="is there already"):
        finetune(dataset, toy, model=toy)
