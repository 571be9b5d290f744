"""A search does not depend on other searches, whatever is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture
from PIL import Image

import shoplens
from shoplens import Calibration, Catalog, Encoder, SearchResult
from shoplens.reranking import METHODS

N_PRODUCTS = 16
CHAINS = [str(m()) for m in METHODS if not m.batch_side and not m.reads_photos]
ASKED: list[dict[str, Any]] = [
    {},
    {"collapse": True},
    {"group_by": "product"},
    {"group_by": "product", "product_score": "mean2"},
    {"group_by": "product", "product_score": "logsum", "collapse": True},
    {"group_by": "product", "variants": "id:-"},
    *({"rerank": chain} for chain in CHAINS),
    {"rerank": "dba:k=1+alpha-qe", "group_by": "product"},
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos and one query of each product, eight variants in two colours."""
    root = tmp_path_factory.mktemp("alone") / "dataset"
    for side in ("gallery", "queries"):
        (root / side).mkdir(parents=True)
    gallery = ["seller_img_id,img_path,product_id"]
    queries = ["user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id"]
    for product in range(N_PRODUCTS):
        name = f"p{product // 2}-{('red', 'blue')[product % 2]}"
        for view in range(2):
            number = 2 * product + view
            _noisy(product, number).save(root / f"gallery/{number}.png")
            gallery.append(f"{number},gallery/{number}.png,{name}")
        _noisy(product, 1000 + product).save(root / f"queries/{product}.png")
        queries.append(f"{product},queries/{product}.png,4,4,56,40,{name}")
    (root / "gallery.csv").write_text("\n".join(gallery) + "\n")
    (root / "queries.csv").write_text("\n".join(queries) + "\n")
    return root


def _noisy(product: int, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 60, size=(6, 8, 3))
    pixels = np.asarray(picture(product), dtype=np.float64)
    coarse = noise.repeat(8, axis=0).repeat(8, axis=1)
    return Image.fromarray((pixels + coarse).clip(0, 255).astype(np.uint8))


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Encoder:
    return shoplens.load_encoder(make_model())


@pytest.fixture
def catalog(photos: Path, toy: Encoder, tmp_path: Path) -> Iterator[Catalog]:
    with shoplens.open_catalog(tmp_path / "shop", create=True) as opened:
        shoplens.index(photos, opened, encoder=toy, regions=2)
        yield opened


def told(result: SearchResult) -> object:
    """Return all that a search says."""
    values = result.to_json()
    del values["seconds"]
    return values


def test_in_a_gallery(photos: Path, toy: Encoder) -> None:
    dataset = shoplens.read_dataset(photos)
    gallery = shoplens.with_regions(shoplens.embed(dataset.gallery, toy), 2, toy)
    calibration = shoplens.calibrate(shoplens.embed(dataset.queries, toy), gallery)
    _compare(dataset, gallery, calibration, toy)


def test_in_a_catalogue(photos: Path, catalog: Catalog, toy: Encoder) -> None:
    dataset = shoplens.read_dataset(photos)
    gallery = shoplens.with_regions(shoplens.embed(dataset.gallery, toy), 2, toy)
    calibration = shoplens.calibrate(shoplens.embed(dataset.queries, toy), gallery)
    _compare(dataset, catalog, calibration, toy)


def _compare(
    dataset: shoplens.Dataset,
    gallery: shoplens.Embeddings | Catalog,
    calibration: Calibration,
    toy: Encoder,
) -> None:
    for asked in [*ASKED, {"confidence": calibration}]:
        together = shoplens.search_each(dataset.queries, gallery, k=6, encoder=toy, **asked)
        for query, result in zip(dataset.queries, together, strict=True):
            alone = shoplens.search(query.path, gallery, box=query.box, k=6, encoder=toy, **asked)
            assert told(alone) == told(result), (asked, query.id)
            assert len(result) == 6
