"""A photo that is searched for with many boxes is sent once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_shops import make_shop, png, serving
from starlette.testclient import TestClient

from shoplens.server import service as service_module
from shoplens.server.box_schemas import BoxesAnswer
from shoplens.server.kept_photos import KeptPhotos
from shoplens.server.keys import create_key, revoke_key

PHOTO = png(3, (200, 150))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop"))


def kept(client: TestClient, **headers: str) -> str:
    """Send the photo to be kept; return its token."""
    answer = client.post(
        "/v1/boxes", files={"photo": PHOTO}, data={"keep": "true"}, headers=headers
    )
    token = BoxesAnswer.model_validate_json(answer.content).photo_token
    assert token is not None
    return token


def test_the_answers_are_those_to_the_photo_itself(shop: Path) -> None:
    with serving(shop) as client:
        token = kept(client)
        for box in (None, "10,10,100,80", "rel:0.5,0.5,0.5,0.5", "auto"):
            fields = {"k": "3", **({} if box is None else {"box": box})}
            expected = client.post("/v1/search", files={"photo": PHOTO}, data=fields).json()
            found = client.post("/v1/search", data=fields, files={"photo_token": (None, token)})
            as_json = client.post("/v1/search", json={**fields, "k": 3, "photo_token": token})
            for answer in (found.json(), as_json.json()):
                for name in ("hits", "query", "query_box", "model"):
                    assert answer[name] == expected[name]
        queries = [{"photo_token": token, "box": "10,10,100,80"}, {"photo_token": "none"}]
        first, second = client.post("/v1/search/batch", json={"queries": queries}).json()["results"]
        assert first["query"]["box"] == "10,10,100,80"
        assert second["problem"]["code"] == "photo_forgotten"


def test_a_photo_is_kept_if_asked_for(shop: Path) -> None:
    with serving(shop) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        for fields in ({}, {"keep": "false"}):
            answer = client.post("/v1/boxes", files={"photo": PHOTO}, data=fields)
            assert "photo_token" not in answer.json()
        refused = client.post("/v1/boxes", files={"photo": PHOTO}, data={"keep": "yes"})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
        bad = client.post("/v1/boxes", files={"photo": b"no photo"}, data={"keep": "true"})
        assert bad.status_code == 422
        assert service.kept_photos.n_bytes == 0
        kept(client)
        assert service.kept_photos.n_bytes == len(PHOTO)
    with serving(shop, keep_seconds=0) as client:
        answer = client.post("/v1/boxes", files={"photo": PHOTO}, data={"keep": "true"})
        assert answer.json()["photo_token"] is None


@pytest.mark.parametrize("token", ["", "x", "x" * 100, "../../etc/passwd", "\0"])
def test_tokens_that_there_are_not(shop: Path, token: str) -> None:
    with serving(shop) as client:
        kept(client)
        refused = client.post("/v1/search", json={"photo_token": token})
        assert (refused.status_code, refused.json()["code"]) == (404, "photo_forgotten")
        refused = client.post("/v1/search", json={"photo_token": token, "photo_id": 1})
        assert refused.json()["code"] == "bad_request"


def test_a_token_is_of_the_key_that_sent_the_photo(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    one, other = create_key(file, "search"), create_key(file, "admin")
    with serving(shop, keys=file) as client:
        token = kept(client, **{"X-API-Key": one.text})

        def status(text: str) -> int:
            headers = {"X-API-Key": text}
            return client.post(
                "/v1/search", json={"photo_token": token}, headers=headers
            ).status_code

        assert [status(one.text), status(other.text), status("")] == [200, 404, 401]
        revoke_key(file, one.key.id)
        assert status(one.text) == 401


def test_it_is_forgotten_without_being_asked_for(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_WATCH_SECONDS", 0.01)
    with serving(shop, keep_seconds=0.01) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        token = kept(client)
        for _ in range(2000):
            if not service.kept_photos.n_bytes:
                break
            client.get("/healthz")
        assert not service.kept_photos.n_bytes
        refused = client.post("/v1/search", json={"photo_token": token})
        assert refused.json()["code"] == "photo_forgotten"


def test_use_keeps_it_longer() -> None:
    now = 0.0
    photos = KeptPhotos(10, clock=lambda: now)
    token = photos.keep(b"photo", "key")
    assert token is not None
    for _ in range(5):
        now += 9
        assert photos.find(token, "key") == b"photo"
    assert photos.find(token, "other") is None
    now += 10
    assert photos.find(token, "key") is None
    assert photos.n_bytes == 0


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 20), st.booleans()), max_size=40))
def test_memory_is_bounded(steps: list[tuple[int, int, bool]]) -> None:
    now = 0.0
    photos = KeptPhotos(30, most_bytes=100, clock=lambda: now)
    known: dict[str, int] = {}
    for size, wait, look in steps:
        now += wait
        token = photos.keep(bytes(size), None)
        assert (token is None) == (size > 100)
        if token is not None:
            assert token not in known
            known[token] = size
            assert photos.find(token, None) == bytes(size)
        if look and known:
            photos.find(next(iter(known)), None)
        assert photos.n_bytes <= 100
        assert photos.n_bytes == sum(known[token] for token in known if token in photos._photos)
