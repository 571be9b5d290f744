"""`shoplens calibrate`, and searches with what it wrote."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, picture
from PIL import Image

import shoplens
from shoplens import Calibration, index, open_catalog
from shoplens.confidence.measuring import CategoryMeasured

N_PRODUCTS = 24


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos and one query of each product: pictures with more or less noise."""
    root = tmp_path_factory.mktemp("shops") / "dataset"
    for side in ("gallery", "queries"):
        (root / side).mkdir(parents=True)
    gallery = ["seller_img_id,img_path,product_id,category"]
    queries = ["user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id"]
    for product in range(N_PRODUCTS):
        for view in range(2):
            name, number = f"gallery/{product}-{view}.png", 2 * product + view
            noisy(picture(product), 20, number).save(root / name)
            gallery.append(f"{number},{name},p{product},{'shoes' if product % 2 else 'bags'}")
        name = f"queries/{product}.png"
        noisy(picture(product), 20 + 12 * product, 1000 + product).save(root / name)
        queries.append(f"{product},{name},0,0,64,48,p{product}")
    (root / "gallery.csv").write_text("\n".join(gallery) + "\n")
    (root / "queries.csv").write_text("\n".join(queries) + "\n")
    return root


def noisy(image: Image.Image, amount: float, seed: int) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float64)
    # Coarse, so that the toy model's averages see it.
    noise = np.random.default_rng(seed).normal(0, amount, size=(6, 8, 3))
    coarse = noise.repeat(8, axis=0).repeat(8, axis=1)
    return Image.fromarray((pixels + coarse).clip(0, 255).astype(np.uint8))


@pytest.fixture
def model(make_model: Callable[..., Path]) -> Path:
    return make_model()


@pytest.fixture
def file(run: Run, dataset: Path, model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "confidence.json"
    assert run("calibrate", dataset, "-o", path, "--model", model).code == 0
    return path


def test_what_it_says_and_writes(run: Run, dataset: Path, model: Path, tmp_path: Path) -> None:
    path, page = tmp_path / "c.json", tmp_path / "c.html"
    result = run("calibrate", dataset, "-o", path, "--model", model, "--html", page, "--json", "-")
    assert result.code == 0, result.err
    told = result.json
    found = Calibration.load(path)
    assert told["output"] == str(path)
    assert told["model"] == {"name": "toy", "fingerprint": found.fingerprint}
    assert told["measured"]["n_queries"] == N_PRODUCTS
    assert told["no_match_below"] == found.no_match_below
    assert told["category"] == found.category == "category"
    assert told["method"] in ("logistic", "isotonic")
    text = page.read_text()
    assert "Reliability" in text
    assert "<script" not in text
    tables = run("calibrate", dataset, "-o", path, "--model", model).out
    assert tables.splitlines()[0] == "measured\tvalue"
    assert "calibration error (ECE)" in tables
    assert f"temperature of logsum\t{found.temperature:g}" in tables


def test_it_is_that_of_python(file: Path, dataset: Path, model: Path, tmp_path: Path) -> None:
    encoder, data = shoplens.load_encoder(model), shoplens.read_dataset(dataset)
    found = shoplens.calibrate(
        shoplens.embed(data.queries, encoder), shoplens.embed(data.gallery, encoder)
    )
    found.save(tmp_path / "python.json")
    assert (tmp_path / "python.json").read_bytes() == file.read_bytes()


def test_a_search_in_a_gallery_and_in_a_catalogue(
    run: Run, dataset: Path, model: Path, file: Path, tmp_path: Path
) -> None:
    encoder = shoplens.load_encoder(model)
    index(dataset, tmp_path / "shop", encoder=encoder)
    query = dataset / "queries" / "0.png"
    words = ("search", query, "--model", model, "--json", "-", "-k", "3", "--confidence", file)
    in_gallery = run(*words, "--gallery", dataset).json
    in_catalog = run(*words, "--catalog", tmp_path / "shop").json
    expected = shoplens.search(query, dataset, k=3, encoder=encoder,
                               confidence=Calibration.load(file)).to_json()  # fmt: skip
    for found in (in_gallery, in_catalog):
        assert sure_of(found) == sure_of(expected)
    assert not in_gallery["no_match"]
    assert in_gallery["hits"][0]["confidence"] == in_gallery["confidence"] > 0.5
    plain = run(*words[:-2], "--gallery", dataset).json
    assert "no_match" not in plain
    assert "confidence" not in plain["hits"][0]
    # The photos that are listed do not decide how sure a search is.
    longer = run(*words[:7], "40", *words[8:], "--gallery", dataset)
    assert longer.json["confidence"] == in_gallery["confidence"]


def sure_of(found: dict[str, Any]) -> object:
    return (
        found["confidence"],
        found["no_match"],
        [(hit["photo_id"], hit["score"], hit["confidence"]) for hit in found["hits"]],
    )


def test_grouped_hits_have_confidences(
    run: Run, dataset: Path, model: Path, file: Path, tmp_path: Path
) -> None:
    encoder = shoplens.load_encoder(model)
    index(dataset, tmp_path / "shop", encoder=encoder)
    calibration = Calibration.load(file)
    query = dataset / "queries" / "0.png"
    with open_catalog(tmp_path / "shop", read_only=True) as catalog:
        for group_by, collapse in (("product", False), (None, True), ("product", True)):
            found = catalog.search(
                query, k=5, group_by=group_by, collapse=collapse, encoder=encoder,
                confidence=calibration,
            )  # fmt: skip
            expected = catalog.search(query, k=48, encoder=encoder, confidence=calibration)
            known = {hit.product_id: hit.confidence for hit in expected}
            assert [hit.confidence for hit in found] == [known[hit.product_id] for hit in found]
            assert found.confidence == expected.confidence
            assert catalog.search(
                query, k=5, group_by=group_by, collapse=collapse, encoder=encoder
            ).hits == tuple(shoplens.Hit(**{**fields(hit), "confidence": None}) for hit in found)


def fields(hit: shoplens.Hit) -> dict[str, Any]:
    return {name: getattr(hit, name) for name in hit.__dataclass_fields__}


def test_a_photo_of_nothing_in_the_shop(
    run: Run, dataset: Path, model: Path, file: Path, tmp_path: Path
) -> None:
    picture(777).save(tmp_path / "other.png")
    page = tmp_path / "hits.html"
    result = run("search", tmp_path / "other.png", "--gallery", dataset, "--model", model,
                 "--confidence", file, "--html", page)  # fmt: skip
    assert "other.png · no match" in page.read_text()
    assert "confidence 0." in page.read_text()
    assert re.search("the product is (probably|possibly) not among these photos", result.err)
    assert result.out.splitlines()[0].split("\t")[4] == "confidence"


def test_a_calibration_of_another_model_is_refused(
    run: Run, dataset: Path, make_model: Callable[..., Path], file: Path, tmp_path: Path
) -> None:
    other = make_model("other", mean=[100.0, 100.0, 100.0])
    query = dataset / "queries" / "0.png"
    words = ("search", query, "--model", other, "--confidence", file)
    index(dataset, tmp_path / "shop", encoder=shoplens.load_encoder(other))
    for where in (("--gallery", dataset), ("--catalog", tmp_path / "shop")):
        result = run(*words, *where)
        assert result.code == 1
        assert "the calibration is for the model toy" in result.err


def test_wrong_usage(run: Run, dataset: Path, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    assert run("calibrate", dataset, "--model", model).code == 2
    assert run("calibrate", dataset, "-o", path, "--html", path, "--model", model).code == 2
    assert run("calibrate", dataset, "-o", path, "--absent", "1").code == 2
    result = run("calibrate", dataset, "-o", path, "--category", "colour", "--model", model)
    assert result.code == 1
    assert "no column 'colour'" in result.err
    query = dataset / "queries" / "0.png"
    result = run("search", query, "--gallery", dataset, "--confidence", path)
    assert result.code == 3
    path.write_text("{}")
    assert run("search", query, "--gallery", dataset, "--confidence", path).code == 1


def test_products_in_a_gallery_are_those_of_a_catalogue(
    run: Run, dataset: Path, model: Path, tmp_path: Path
) -> None:
    encoder = shoplens.load_encoder(model)
    index(dataset, tmp_path / "shop", encoder=encoder)
    words = ("search", dataset / "queries" / "3.png", "--model", model, "--json", "-", "-k", "5",
             "--group-by", "product")  # fmt: skip
    for more in ((), ("--product-score", "mean2"), ("--product-score", "logsum:0.1"),
                 ("--variants", "category"), ("--collapse",)):  # fmt: skip
        in_gallery = run(*words, *more, "--gallery", dataset).json
        in_catalog = run(*words, *more, "--catalog", tmp_path / "shop").json
        assert in_gallery["hits"] == in_catalog["hits"]
        assert len(in_gallery["hits"]) == (2 if "category" in more else 5)


def test_product_scores_need_products(run: Run, dataset: Path, model: Path) -> None:
    query = dataset / "queries" / "0.png"
    for words in (["--product-score", "mean2"], ["--variants", "category"]):
        result = run("search", query, "--gallery", dataset, "--model", model, *words)
        assert result.code == 2
        assert f"{words[0]} needs --group-by product" in result.err
    words = ["--group-by", "product", "--product-score", "worst"]
    assert run("search", query, "--gallery", dataset, *words).code == 2


def test_evaluate_by_product(run: Run, dataset: Path, model: Path, tmp_path: Path) -> None:
    words = ("evaluate", dataset, "--model", model, "--json", "-")
    plain, best = run(*words).json, run(*words, "--product-score", "best").json
    assert best["chain"] == ["exact", "products:best"]
    assert "hit@1:product" in best["metrics"]
    assert "hit@1:product" not in plain["metrics"]
    # The first product is that of the first photo; its other photo comes next.
    assert best["metrics"]["hit@1"]["value"] == plain["metrics"]["hit@1"]["value"]
    assert best["metrics"]["map@1000"]["value"] >= plain["metrics"]["map@1000"]["value"]
    result = run("evaluate", dataset, "--ranks", tmp_path / "r.npz", "--product-score", "best")
    assert result.code == 2
    assert "--ranks is scored as it is" in result.err


def test_rank_by_product(run: Run, dataset: Path, model: Path, tmp_path: Path) -> None:
    file, words = tmp_path / "ranks.npz", ("--model", model, "--json", "-")
    told = run("rank", dataset, "-o", file, "--product-score", "mean2", *words).json
    assert told["chain"] == ["exact", "products:mean2"]
    scored = run("evaluate", dataset, "--ranks", file, "--json", "-").json
    expected = run("evaluate", dataset, "--product-score", "mean2", *words).json
    assert scored["chain"] == expected["chain"]
    assert scored["metrics"]["map@1000"] == expected["metrics"]["map@1000"]


def test_what_has_no_products_is_not_ranked_by_product(
    run: Run, dataset: Path, model: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(dataset, bare)
    lines = (bare / "gallery.csv").read_text().splitlines()
    (bare / "gallery.csv").write_text("\n".join(",".join(x.split(",")[:2]) for x in lines) + "\n")
    result = run(
        "rank", bare, "-o", tmp_path / "r.npz", "--product-score", "best", "--model", model
    )
    assert result.code == 1
    assert "no gallery photo has a product_id" in result.err
    assert not (tmp_path / "r.npz").exists()


def test_the_page_says_what_was_measured(file: Path, tmp_path: Path) -> None:
    from shoplens.report import write_calibration_page

    calibration = Calibration.load(file)
    write_calibration_page(tmp_path / "page.html", calibration)
    assert "By category" not in (tmp_path / "page.html").read_text()  # There are too few.
    few = replace(calibration.measured, categories=(CategoryMeasured("hats", 30, 0.5, 0.625),))
    write_calibration_page(tmp_path / "page.html", replace(calibration, measured=few))
    text = (tmp_path / "page.html").read_text()
    assert f"{calibration.measured.calibration_error:.3f}" in text
    assert text.count("<svg") == 2
    assert "hats</td>" in text
    assert "0.625</td>" in text
    assert json.loads(file.read_text())["measured"]["n_gallery"] == 2 * N_PRODUCTS


def test_product_scores_are_of_similarities(
    run: Run, dataset: Path, model: Path, tmp_path: Path
) -> None:
    index(dataset, tmp_path / "shop", encoder=shoplens.load_encoder(model))
    words = ("search", dataset / "queries" / "0.png", "--model", model, "--rerank", "alpha-qe:k=2",
             "--group-by", "product")  # fmt: skip
    for where in (("--gallery", dataset), ("--catalog", tmp_path / "shop")):
        assert run(*words, *where).code == 0
        result = run(*words, *where, "--product-score", "mean2")
        assert result.code == 1
        assert "which re-ranking changes" in result.err


def test_a_calibration_is_for_a_chain(
    run: Run, dataset: Path, model: Path, file: Path, tmp_path: Path
) -> None:
    encoder, reranked = shoplens.load_encoder(model), tmp_path / "reranked.json"
    chain = ("--rerank", "product-score + alpha-qe:k=2")
    told = run("calibrate", dataset, "-o", reranked, "--model", model, *chain, "--json", "-").json
    steps = ["product-score:weight=0.9,temperature=0.05", "alpha-qe:k=2,alpha=3,gap=0.1"]
    assert told["chain"] == list(Calibration.load(reranked).chain) == steps
    data = shoplens.read_dataset(dataset)
    shoplens.calibrate(
        shoplens.embed(data.queries, encoder), shoplens.embed(data.gallery, encoder),
        rerank=chain[1],
    ).save(tmp_path / "python.json")  # fmt: skip
    assert (tmp_path / "python.json").read_bytes() == reranked.read_bytes()

    index(dataset, tmp_path / "shop", encoder=encoder)
    words = ("search", dataset / "queries" / "0.png", "--model", model, "--json", "-")
    wheres = (("--gallery", dataset), ("--catalog", tmp_path / "shop"))
    found = [run(*words, *where, *chain, "--confidence", reranked).json for where in wheres]
    assert sure_of(found[0]) == sure_of(found[1])
    assert found[0]["hits"][0]["confidence"] == found[0]["confidence"] > 0.5
    for where in wheres:
        for calibration, more, advice in (
            (file, chain, f"--rerank {'+'.join(steps)} -o FILE"),
            (reranked, (), "--rerank none -o FILE"),
            (reranked, ("--rerank", "product-score"), f"--rerank {steps[0]} -o FILE"),
        ):
            result = run(*words, *where, *more, "--confidence", calibration)
            assert result.code == 1
            assert advice in result.err


def test_a_search_has_no_chain_that_needs_others(run: Run, dataset: Path, tmp_path: Path) -> None:
    for chain, told in (
        ("csls", "csls is batch-side"),
        ("auto", "auto is for commands"),
    ):
        result = run("calibrate", dataset, "-o", tmp_path / "c.json", "--rerank", chain)
        assert result.code == 2
        assert told in result.err


def test_a_calibration_is_for_as_many_regions(
    run: Run, dataset: Path, model: Path, file: Path, tmp_path: Path
) -> None:
    encoder, with_regions = shoplens.load_encoder(model), tmp_path / "regions.json"
    assert (
        run("calibrate", dataset, "-o", with_regions, "--model", model, "--regions", "2").code == 0
    )
    assert Calibration.load(with_regions).regions == 2
    index(dataset, tmp_path / "plain", encoder=encoder)
    index(dataset, tmp_path / "regions", encoder=encoder, regions=2)
    words = ("search", dataset / "queries" / "0.png", "--model", model, "--json", "-")
    for fits, other, where, regions in (
        (file, with_regions, ("--gallery", dataset), 0),
        (with_regions, file, ("--gallery", dataset, "--regions", "2"), 2),
        (file, with_regions, ("--catalog", tmp_path / "plain"), 0),
        (with_regions, file, ("--catalog", tmp_path / "regions"), 2),
    ):
        assert run(*words, *where, "--confidence", fits).json["hits"][0]["confidence"] > 0
        result = run(*words, *where, "--confidence", other)
        assert result.code == 1
        assert f"--regions {regions}" in result.err
