"""A server with a calibration says how sure it is; products are listed as in Python."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Run
from made_shops import make_shop, png, serving

from shoplens import Calibration, index, open_catalog
from shoplens.client import parsing
from shoplens.confidence.estimator import Estimator
from shoplens.confidence.measuring import Measured
from shoplens.errors import ModelError
from shoplens.server.result_schemas import SearchAnswer


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop"), n_photos=12)


@pytest.fixture
def calibration(shop: Path) -> Calibration:
    """Made by hand for the shop's model: only a similarity above 0.7 is a match."""
    with open_catalog(shop, read_only=True) as catalog:
        assert catalog.model is not None
        name, fingerprint = catalog.model.name, catalog.model.fingerprint
    return Calibration(
        name,
        fingerprint,
        Estimator((20.0, 0.0, 0.0, 0.0, 0.0), -14.0),
        category=None,
        absent=0.0,
        no_match_below=0.5,
        false_accepts=0.05,
        temperature=0.05,
        measured=Measured(1, 1, 1, 1.0, 0.0, 0.0, 0.0, 1.0, ()),
    )


@pytest.fixture
def file(calibration: Calibration, tmp_path: Path) -> Path:
    calibration.save(tmp_path / "confidence.json")
    return tmp_path / "confidence.json"


def test_answers_are_those_of_python(shop: Path, calibration: Calibration, file: Path) -> None:
    photo = png(4)
    with open_catalog(shop, read_only=True) as catalog:
        expected = catalog.search(photo, k=5, group_by="product", confidence=calibration)
    with serving(shop, confidence=file) as client:
        answer = client.post(
            "/v1/search", files={"photo": ("p.png", photo)}, data={"k": 5, "group_by": "product"}
        )
    assert answer.status_code == 200
    told = answer.json()
    SearchAnswer.model_validate(told)
    assert (told["confidence"], told["no_match"]) == (expected.confidence, expected.no_match)
    assert [hit["confidence"] for hit in told["hits"]] == [hit.confidence for hit in expected]
    found = parsing.search_response(answer.content)
    assert (found.confidence, found.no_match) == (expected.confidence, expected.no_match)
    assert found.hits == expected.hits


def test_without_a_calibration_nothing_is_said(shop: Path) -> None:
    with serving(shop) as client:
        told = client.post("/v1/search", files={"photo": ("p.png", png(4))}).json()
    assert "no_match" not in told
    assert "confidence" not in told["hits"][0]


@pytest.mark.parametrize("collapse", [True, 0.5])
def test_products_are_listed_as_in_python(shop: Path, collapse: bool | float) -> None:
    photo = png(4)
    terms = {"k": 5, "group_by": "product", "product_score": "mean2", "variants": "id:-",
             "collapse": collapse}  # fmt: skip
    with open_catalog(shop, read_only=True) as catalog:
        expected = catalog.search(photo, **terms)  # type: ignore[arg-type]
    with serving(shop) as client:
        answer = client.post("/v1/search", files={"photo": ("p.png", photo)}, data=terms)
        encoded = base64.b64encode(photo).decode()
        as_json = client.post("/v1/search", json={"photo": encoded, **terms})
        refused = [
            client.post("/v1/search", files={"photo": ("p.png", photo)}, data=data).json()
            for data in (
                {"product_score": "mean2"},
                {**terms, "product_score": "worst"},
                {**terms, "collapse": -0.5},
                {**terms, "collapse": 1.5},
            )
        ]
    assert parsing.search_response(answer.content).hits == expected.hits
    assert parsing.search_response(as_json.content).hits == expected.hits
    assert [one["code"] for one in refused] == ["bad_request"] * 4
    assert "mean2" in refused[1]["detail"]
    told = "collapse: it is true, false, or a similarity between 0 and 1"
    assert [told in one["detail"] for one in refused] == [False, False, True, True]


def test_a_calibration_of_another_model_is_refused_at_the_start(
    run: Run, shop: Path, file: Path, tmp_path: Path
) -> None:
    text = file.read_text().replace('"fingerprint": "', '"fingerprint": "0')
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ModelError, match="the calibration is for the model"):  # noqa: SIM117
        with serving(shop, confidence=tmp_path / "other.json"):
            pass
    told = run("serve", "--catalog", shop, "--confidence", tmp_path / "other.json", "--check")
    assert told.code == 1
    assert "the calibration is for the model" in told.err
    assert run("serve", "--catalog", shop, "--confidence", file, "--check").code == 0
    assert (
        run("serve", "--catalog", shop, "--confidence", tmp_path / "no.json", "--check").code == 3
    )


def test_a_calibration_is_for_the_chain_of_the_server(
    shop: Path, calibration: Calibration, tmp_path: Path
) -> None:
    step = "product-score:weight=0.9,temperature=0.05"
    reranked = replace(calibration, chain=(step,))
    reranked.save(tmp_path / "reranked.json")
    photo = png(4)
    with open_catalog(shop, read_only=True) as catalog:
        expected = catalog.search(photo, k=5, rerank="product-score", confidence=reranked)
    with serving(shop, confidence=tmp_path / "reranked.json", rerank="product-score") as client:
        answer = client.post("/v1/search", files={"photo": photo}, data={"k": 5})
        # Confidences are of the scores that the calibration is for, and of no others.
        others = [
            client.post("/v1/search", files={"photo": photo}, data={"k": 5, "rerank": chain})
            for chain in ("none", "aqe")
        ]
    found = parsing.search_response(answer.content)
    assert (found.hits, found.no_match) == (expected.hits, expected.no_match)
    assert all(hit.confidence is not None for hit in found)
    for other in others:
        assert other.status_code == 200
        assert "no_match" not in other.json()
    with pytest.raises(ModelError, match="these are re-ranked by aqe"):  # noqa: SIM117
        with serving(shop, confidence=tmp_path / "reranked.json", rerank="aqe"):
            pass


def test_a_calibration_is_for_the_chain_of_the_catalogue(
    calibration: Calibration, file: Path, tmp_path: Path, run: Run
) -> None:
    shop, ranked = make_shop(tmp_path / "own", n_photos=12), tmp_path / "reranked.json"
    reranked = replace(calibration, chain=("product-score:weight=0.9,temperature=0.05",))
    reranked.save(ranked)
    photo = png(4)
    (tmp_path / "photo.png").write_bytes(photo)
    with open_catalog(shop) as catalog:
        catalog.set_chain("product-score")
        expected = catalog.search(photo, k=5, confidence=reranked)
        assert catalog.search(photo, rerank="none", confidence=calibration).no_match is not None
        with pytest.raises(ModelError, match="these are re-ranked by product-score"):
            catalog.search(photo, confidence=calibration)
    words = ("search", tmp_path / "photo.png", "--catalog", shop, "--json", "-", "--confidence")
    assert run(*words, ranked).json["no_match"] == expected.no_match
    refused = run(*words, file)
    assert (refused.code, "re-ranked by product-score" in refused.err) == (1, True)
    assert "no_match" in run(*words, file, "--rerank", "none").json
    with serving(shop, confidence=ranked) as client:
        answer = client.post("/v1/search", files={"photo": photo}, data={"k": 5})
        found = parsing.search_response(answer.content)
        assert (found.hits, found.no_match) == (expected.hits, expected.no_match)
        with open_catalog(shop) as catalog:
            catalog.set_chain("aqe")
        # Its scores mean something else now.
        other = client.post("/v1/search", files={"photo": photo}, data={"k": 5}).json()
        assert (len(other["hits"]), "no_match" in other) == (5, False)
    with pytest.raises(ModelError, match="these are re-ranked by aqe"):  # noqa: SIM117
        with serving(shop, confidence=ranked):
            pass
    with serving(shop, confidence=file, rerank="none") as client:
        answer = client.post("/v1/search", files={"photo": photo}, data={"k": 5})
        assert "no_match" in answer.json()


def test_an_empty_catalogue_has_no_match(file: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.png").write_bytes(png(1))
    index(tmp_path / "photos", tmp_path / "own")
    with open_catalog(tmp_path / "own") as catalog:
        catalog.delete(catalog.ids())
    with serving(tmp_path / "own", confidence=file) as client:
        told = client.post("/v1/search", files={"photo": ("p.png", png(1))}).json()
    assert (told["hits"], told["confidence"], told["no_match"]) == ([], 0.0, True)
