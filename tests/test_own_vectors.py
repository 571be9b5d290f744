"""Vectors of one's own go through everything that ours go through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

import shoplens

N_PRODUCTS, DIMENSION = 30, 20


@pytest.fixture
def shop(make_dataset: Callable[..., Path]) -> Path:
    """Two photos and one query of each product."""
    return make_dataset(
        [(number, f"p{number // 2}") for number in range(2 * N_PRODUCTS)],
        [(number, f"p{number}", "0,0,64,48") for number in range(N_PRODUCTS)],
    )


@pytest.fixture
def vectors(tmp_path: Path) -> dict[str, Path]:
    """Files of vectors that no model of ours made; photos of a product are more or less alike."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(N_PRODUCTS, DIMENSION))
    gallery = centres.repeat(2, axis=0)
    gallery = gallery + 0.5 * generator.normal(size=gallery.shape)
    noise = np.linspace(0.3, 2, N_PRODUCTS)[:, None] * generator.normal(size=centres.shape)
    files = {"--gallery-vectors": gallery, "--query-vectors": centres + noise}
    for name, rows in files.items():
        np.save(tmp_path / f"{name}.npy", rows.astype(np.float32))
    return {name: tmp_path / f"{name}.npy" for name in files}


@pytest.mark.filterwarnings("ignore:.*does not say which model")
def test_own_vectors_go_through_all_of_it(
    run: Run, shop: Path, vectors: dict[str, Path], tmp_path: Path
) -> None:
    own = [word for pair in vectors.items() for word in pair]
    ranks, calibration, page = (tmp_path / name for name in ("r.npz", "c.json", "page.html"))

    told = run("rank", shop, *own, "-o", ranks, "--rerank", "dba:k=1+alpha-qe", "--json", "-")
    assert told.json["chain"][1:] == ["dba:k=1,alpha=6", "alpha-qe:k=2,alpha=3,gap=0.1"]
    assert told.json["model"] == {"name": None, "fingerprint": None}
    plain = run("evaluate", shop, *own, "--json", "-").json["metrics"]["map@1000"]["value"]
    for more in (("--rerank", "product-score"), ("--product-score", "mean2")):
        assert run("evaluate", shop, *own, *more, "--json", "-").json["metrics"]["map@1000"]
    chosen = run("evaluate", shop, *own, "--rerank", "auto", "--json", "-")
    assert chosen.code == 0
    assert chosen.json["rerank"]["n_tried"] > 10
    assert 0 < plain < 1

    assert run("calibrate", shop, *own, "-o", calibration, "--html", page).code == 0
    assert run("report", ranks, "--data", shop, "-o", page, "--matches").code == 0
    assert "why the first" in page.read_text()

    search = ("search", "--queries", shop, "--gallery", shop, *own, "--json", "-", "-k", "4")
    dataset = shoplens.read_dataset(shop)
    sides = [
        shoplens.Embeddings.load(vectors[f"--{side}-vectors"], photos)
        for side, photos in (("query", dataset.queries), ("gallery", dataset.gallery))
    ]
    expected = shoplens.rank(*sides).ids[:, :4].tolist()
    found = run(*search, "--confidence", calibration).json["results"]
    assert [[hit["photo_id"] for hit in one["hits"]] for one in found] == expected
    assert all(0 <= one["confidence"] <= 1 for one in found)
    grouped = ("--group-by", "product", "--product-score", "logsum", "--collapse")
    found = run(*search, "--confidence", calibration, *grouped).json["results"]
    assert all(len(one["hits"]) == 4 for one in found)
    found = run(*search, "--rerank", "alpha-qe").json["results"]
    assert found[0]["chain"] == ["alpha-qe:k=2,alpha=3,gap=0.1"]


def test_what_own_vectors_need(
    run: Run, shop: Path, vectors: dict[str, Path], make_model: Callable[..., Path]
) -> None:
    photo = shop / "queries" / "0.png"
    words = ("--query-vectors", vectors["--query-vectors"])
    for asked in (
        ("search", photo, "--gallery", shop),
        ("search", "--queries", shop, "--catalog", shop),
    ):
        result = run(*asked, *words)
        assert result.code == 2
        assert "--query-vectors needs --queries" in result.err
    # The vectors of one side are compared with those of the model.
    result = run("search", "--queries", shop, "--gallery", shop, "--model", make_model(), *words)
    assert result.code == 1
    assert "20" in result.err
    assert "48" in result.err
