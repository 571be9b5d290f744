"""Why a photo of the catalogue matches, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from made_shops import make_shop, png, serving
from starlette.testclient import TestClient

import shoplens
from shoplens import Box
from shoplens.catalog.indexing import index
from shoplens.server.explain_schemas import ExplainAnswer

PHOTO = png(3, (200, 150))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def client(shop: Path) -> Iterator[TestClient]:
    with serving(shop) as client:
        yield client


def test_it_is_what_the_library_finds(client: TestClient, shop: Path) -> None:
    fields = {"box": "20,10,100,120", "result_id": "2"}
    answer = client.post("/v1/explain", files={"photo": PHOTO}, data=fields)
    told = ExplainAnswer.model_validate_json(answer.content)
    result = shop.parent / "photos" / "2.png"
    expected = shoplens.explain(PHOTO, result, box=Box(20, 10, 120, 130))
    np.testing.assert_allclose(told.query.heat, expected.query.heat, atol=2e-3)
    np.testing.assert_allclose(told.result.heat, expected.result.heat, atol=2e-3)
    assert (told.query.box, told.query.width, told.query.height) == ("20,10,100,120", 200, 150)
    assert told.result.box == str(expected.result.box)
    assert told.request_id


def test_a_query_may_be_named_in_other_ways(client: TestClient) -> None:
    kept = client.post("/v1/boxes", files={"photo": PHOTO}, data={"keep": "true"}).json()
    by_file = client.post("/v1/explain", files={"photo": PHOTO}, data={"result_id": "1"}).json()
    token = {"photo_token": kept["photo_token"], "result_id": 1}
    by_token = client.post("/v1/explain", json=token).json()
    assert by_token["query"] == by_file["query"]
    assert by_token["result"] == by_file["result"]
    ours = client.post("/v1/explain", json={"photo_id": 3, "result_id": 1})
    assert ours.status_code == 200
    automatic = {**token, "box": "auto"}
    box = client.post("/v1/explain", json=automatic).json()["query"]["box"]
    assert box == kept["boxes"][0]["box"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"photo_id": 1, "result_id": 99}, 404, "not_found"),
        ({"photo_id": 99, "result_id": 1}, 404, "not_found"),
        ({"photo_id": 1}, 400, "bad_request"),
        ({"result_id": 1}, 400, "bad_request"),
        ({"vector": [1.0], "result_id": 1}, 400, "bad_request"),
        ({"photo_token": "gone", "result_id": 1}, 404, "photo_forgotten"),
        ({"photo": "bm8gcGhvdG8=", "result_id": 1}, 422, "unsupported_photo"),
        ({"url": "http://example.com/a.jpg", "result_id": 1}, 403, "urls_disabled"),
    ],
)
def test_what_cannot_be_explained_is_told(
    client: TestClient, body: dict[str, object], status: int, code: str
) -> None:
    answer = client.post("/v1/explain", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_matches_of_another_model_are_not_explained(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(png(1))
    model = make_model()
    index(photos, tmp_path / "other", encoder=shoplens.load_encoder(model))
    with serving(tmp_path / "other", models=[str(model)]) as client:
        answer = client.post("/v1/explain", json={"photo_id": "a.png", "result_id": "a.png"})
        assert (answer.status_code, answer.json()["code"]) == (422, "unexplained")


def test_a_photo_that_is_gone_cannot_be_explained(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, 3)
    (tmp_path / "photos" / "1.png").unlink()
    with serving(shop) as client:
        answer = client.post("/v1/explain", json={"photo_id": 0, "result_id": 1})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_rest_of_a_failed_explanation_is_left_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = make_shop(tmp_path, 3)
    ended: list[str] = []

    async def slow(*_arguments: object) -> object:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("query")
        raise AssertionError("not reached")

    monkeypatch.setattr("shoplens.server.explaining._query", slow)
    with serving(shop) as client:
        answer = client.post("/v1/explain", json={"photo_id": 0, "result_id": 99})
        assert answer.status_code == 404
        assert ended == ["query"]
