"""Searching over HTTP: the same answers as Python and the command line."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, picture
from made_shops import make_shop, png, serving
from starlette.testclient import TestClient

from shoplens.boxes import propose_boxes
from shoplens.catalog.opening import open_catalog
from shoplens.server.box_schemas import BoxesAnswer
from shoplens.server.result_schemas import BatchAnswer, SearchAnswer


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop"), n_photos=12)


@pytest.fixture(scope="module")
def client(shop: Path) -> Iterator[TestClient]:
    with serving(shop, max_upload_bytes=200_000, max_batch=3) as client:
        yield client


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Of product p2, a larger one, as a JPEG with its EXIF turn."""
    file = tmp_path / "query.jpg"
    image = picture(4, (640, 480))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(file, quality=90, exif=exif)
    return file


def without_links(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer has in common with `shoplens search --json`."""
    answer = json.loads(json.dumps(answer))
    for name in ("request_id", "query", "seconds"):
        answer.pop(name, None)
    for hit in answer["hits"]:
        for one in (hit, *hit.get("photos", ())):
            name = str(one["photo_id"])
            assert one.pop("photo_url") == f"/v1/photos/{name}"
            assert one.pop("thumbnail_url") == f"/v1/thumbnails/{name}"
    return answer


TERMS: list[dict[str, Any]] = [
    {},
    {"box": "10,20,200,300"},
    {"box": "rel:0.1,0.1,0.5,0.5", "k": 3},
    {"box": "-50,-50,300,300", "k": 5, "exact": True},
    {"where": 'colour = "red" and price < 100', "k": 2},
    {"group_by": "product", "k": 3, "facets": ["colour", "price"]},
    {"box": "auto", "k": 4},
    {"min_score": 0.5, "facets": ["colour"], "where": "price >= 20"},
]


@pytest.mark.parametrize("terms", TERMS, ids=str)
def test_http_python_and_the_command_line_give_the_same(
    terms: dict[str, Any], client: TestClient, shop: Path, photo: Path, run: Run
) -> None:
    with open_catalog(shop, read_only=True) as catalog:
        by_python = catalog.search(photo, **terms).to_json()
    words: list[object] = [] if "k" not in terms else ["-k", terms["k"]]
    for name, value in terms.items():
        if name == "facets":
            words += [word for one in value for word in ("--facet", one)]
        elif name == "exact":
            words.append("--exact")
        elif name != "k":
            words.append(f"--{name.replace('_', '-')}={value}")
    by_command = run("search", photo, "--catalog", shop, *words, "--json", "-").json
    data = photo.read_bytes()
    by_form = client.post("/v1/search", files={"photo": data}, data=terms).json()
    in_json = {**terms, "photo": base64.b64encode(data).decode()}
    by_json = client.post("/v1/search", json=in_json).json()
    assert by_python["hits"]
    for answer in (by_command, by_python):
        answer.pop("seconds")
    assert by_command == by_python
    assert without_links(by_form) == without_links(by_json) == by_python


def test_by_photo_id_and_by_vector_as_in_python(client: TestClient, shop: Path) -> None:
    with open_catalog(shop, read_only=True) as catalog:
        like = catalog.search(photo_id=4, k=3).to_json()
        entry = catalog.get(4)
        assert entry is not None
        near = catalog.search(vector=entry.vector, k=3).to_json()
    for body, expected in (
        ({"photo_id": 4, "k": 3}, like),
        ({"photo_id": "4", "k": 3}, like),
        ({"vector": entry.vector.tolist(), "k": 3}, near),
    ):
        answer = client.post("/v1/search", json=body).json()
        expected.pop("seconds", None)
        assert without_links(answer) == expected
        assert "query" not in answer
    assert client.post("/v1/search", data={"photo_id": "4"}, files={}).status_code == 415
    form = client.post("/v1/search", files={"photo_id": (None, "4"), "k": (None, "3")}).json()
    assert without_links(form) == like


def test_the_answer_tells_how_the_photo_was_understood(client: TestClient, photo: Path) -> None:
    def query(**fields: str) -> Any:
        files = {"photo": photo.read_bytes()}
        return client.post("/v1/search", files=files, data=fields).json()["query"]

    assert query() == {"width": 480, "height": 640, "box": None, "clipped": False}
    upright = {"width": 480, "height": 640}
    assert query(box="10,20,30,40") == {**upright, "box": "10,20,30,40", "clipped": False}
    assert query(box="rel:0.5,0.5,1,1") == {**upright, "box": "240,320,240,320", "clipped": True}


def test_proposed_boxes_are_those_of_the_library(client: TestClient, photo: Path) -> None:
    answer = client.post("/v1/boxes", files={"photo": photo.read_bytes()})
    proposals = propose_boxes(photo)
    assert answer.json() == proposals.to_json()
    assert BoxesAnswer.model_validate_json(answer.content).boxes[0].box == str(proposals[0].box)
    problem = client.post("/v1/boxes", files={"photo": b"no photo"}).json()
    assert problem["code"] == "unsupported_photo"


def test_answers_fit_their_description(client: TestClient) -> None:
    terms = {"group_by": "product", "facets": "colour,price", "k": "4"}
    answer = client.post("/v1/search", files={"photo": png(1)}, data=terms)
    parsed = SearchAnswer.model_validate_json(answer.content)
    assert parsed.request_id == answer.headers["x-request-id"]
    assert parsed.facets is not None
    assert [list(one.model_dump()) for one in parsed.facets["colour"]] == [["value", "count"]] * 3


def test_fields_that_a_page_left_empty_do_not_count(client: TestClient) -> None:
    form = {"box": "", "where": "", "min_score": "", "facets": "", "k": "2"}
    answer = client.post("/v1/search", files={"photo": png(1)}, data=form)
    assert answer.status_code == 200
    assert len(answer.json()["hits"]) == 2


@pytest.mark.parametrize(
    ("fields", "code", "told"),
    [
        ({}, "bad_request", "give exactly one of photo, photo_token, photo_id, url and vector"),
        ({"photo_id": 1, "vector": [1.0]}, "bad_request", "give exactly one of"),
        ({"photo_id": 1, "box": "0,0,1,1"}, "bad_request", "a box belongs to a photo or a url"),
        ({"photo_id": 1, "k": 0}, "bad_request", "k: Input should be greater than or equal to 1"),
        ({"photo_id": 1, "k": 1001}, "bad_request", "k: at most 1,000 hits are given"),
        ({"photo_id": 1, "k": "many"}, "bad_request", "k: Input should be a valid integer"),
        ({"photo_id": True}, "bad_request", "photo_id"),
        (
            {"photo_id": 1, "group_by": "colour"},
            "bad_request",
            "group_by: Input should be 'product",
        ),
        ({"photo_id": 1, "min_score": 2}, "bad_request", "min_score"),
        ({"photo_id": 1, "facets": ["a"] * 51}, "bad_request", "facets"),
        ({"photo_id": 1, "colour": "red"}, "bad_request", "colour: Extra inputs are not permitted"),
        ({"photo_id": 1, "where": "price <"}, "bad_filter", "expected"),
        ({"photo_id": 99}, "not_found", "There is no photo 99."),
        ({"photo_id": "nobody's"}, "not_found", "There is no photo nobody's."),
        ({"photo_id": 2**63}, "bad_request", "photo_id"),
        ({"photo_id": -(2**70)}, "bad_request", "photo_id"),
        ({"photo_id": ""}, "bad_request", "photo_id"),
        ({"photo": "%%%"}, "bad_request", "photo: it is no base64 text"),
        ({"photo": "aGVsbG8="}, "unsupported_photo", ""),
        ({"vector": [2.0] + [0.0] * 511}, "bad_request", "vector: its length is 2; it must be 1"),
        ({"vector": [1.0]}, "model_mismatch", "vector: it has 1 dimensions"),
        ({"vector": []}, "bad_request", "vector: its length is 0"),
        ({"url": "https://shop.example/1.jpg"}, "urls_disabled", "send the photo itself"),
    ],
    ids=str,
)
def test_what_cannot_be_searched_for_is_explained(
    client: TestClient, fields: dict[str, Any], code: str, told: str
) -> None:
    answer = client.post("/v1/search", json=fields)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["code"] == code
    assert told in problem["detail"]
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("box", "code"),
    [
        ("0,0,0,5", "bad_box"),
        ("1,2,3", "bad_box"),
        ("900,900,5,5", "bad_box"),
        ("x" * 201, "bad_request"),
    ],
)
def test_a_box_that_cannot_be_used_is_refused(client: TestClient, box: str, code: str) -> None:
    answer = client.post("/v1/search", files={"photo": png(1)}, data={"box": box})
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_filter_error_says_where(client: TestClient) -> None:
    problem = client.post("/v1/search", json={"photo_id": 1, "where": "price < < 5"}).json()
    assert problem["position"] == 8


def test_bodies_that_cannot_be_read(client: TestClient) -> None:
    def code(content: bytes, media_type: str) -> Any:
        headers = {"content-type": media_type}
        return client.post("/v1/search", content=content, headers=headers).json()["code"]

    assert code(b"{", "application/json") == "bad_request"
    assert code(b"[]", "application/json") == "bad_request"
    assert code(b"[" * 100_000, "application/json") == "bad_request"
    assert code(b"photo_id=1", "application/x-www-form-urlencoded") == "unsupported_media_type"
    assert code(b"x", "multipart/form-data") == "bad_request"
    assert code(b"--a\r\nnonsense", "multipart/form-data; boundary=a") == "bad_request"
    assert client.post("/v1/search").json()["code"] == "unsupported_media_type"


def test_forms_with_surprises(client: TestClient) -> None:
    def detail(**sent: Any) -> Any:
        return client.post("/v1/search", **sent).json()["detail"]

    photo = png(1)
    assert "Too many files" in detail(files=[("photo", photo), ("photo", photo)])
    assert "k is given 2 times" in detail(files={"photo": photo}, data={"k": ["1", "2"]})
    assert "photo: only photo is a file" in detail(files={"photo": (None, "text")})
    assert "box: only photo is a file" in detail(files={"box": ("a.txt", b"0,0,1,1")})
    assert "no bytes" in detail(files={"photo": ("a.jpg", b"")})
    assert "colour" in detail(files={"photo": photo}, data={"colour": "red"})
    too_many = {f"field{n}": "x" for n in range(200)}
    assert "Too many fields" in detail(files={"photo": photo}, data=too_many)


def test_a_photo_is_no_file_on_the_disk(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its size, an upload stays in memory."""
    from starlette.formparsers import SpooledTemporaryFile

    monkeypatch.setattr(SpooledTemporaryFile, "rollover", None)
    noise = np.random.default_rng(0).integers(0, 256, 150_000, dtype=np.uint8).tobytes()
    answer = client.post("/v1/search", files={"photo": noise})
    assert answer.json()["code"] == "unsupported_photo"


def test_a_batch_answers_each_query(client: TestClient) -> None:
    queries = [
        {"id": "a", "photo_id": 4},
        {"id": 2, "photo_id": 99},
        {"photo": base64.b64encode(png(4)).decode(), "box": "0,0,20,20"},
    ]
    answer = client.post(
        "/v1/search/batch", json={"queries": queries, "k": 2, "facets": ["colour"]}
    )
    parsed = BatchAnswer.model_validate_json(answer.content)
    first, second, third = answer.json()["results"]
    assert [one.id for one in parsed.results] == ["a", 2, None]
    single = client.post("/v1/search", json={"photo_id": 4, "k": 2, "facets": ["colour"]}).json()
    assert without_links(first) == {"id": "a", **without_links(single)}
    assert second["problem"]["code"] == "not_found"
    assert "hits" not in second
    assert third["query"]["box"] == "0,0,20,20"


def test_a_batch_has_a_limit(client: TestClient) -> None:
    for queries, told in (([{"photo_id": 1}] * 4, "at most 3"), ([], "at least 1")):
        problem = client.post("/v1/search/batch", json={"queries": queries}).json()
        assert problem["code"] == "bad_request"
        assert told in problem["detail"]


def test_an_empty_catalogue_has_no_hits(tmp_path: Path) -> None:
    open_catalog(tmp_path / "empty", create=True).close()
    with serving(tmp_path / "empty") as client:
        answer = client.post("/v1/search", files={"photo": png(1)}).json()
        assert answer["hits"] == []
        assert answer["model"] == {"name": None, "fingerprint": None}
        assert client.get("/readyz").status_code == 200


def test_a_field_of_a_form_is_not_read_whole_where_it_is_too_long(shop: Path) -> None:
    data = {"where": "x" * (2**20 + 1)}
    with serving(shop) as client:
        refused = client.post("/v1/search", files={"photo": png(1)}, data=data)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert "the form cannot be read" in refused.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"vector": [""] * 50_000},
        {"vector": [0.0] * 20_000},
        {"photo_id": 0, **{f"x{number}": 0 for number in range(5_000)}},
    ],
)
def test_many_faults_are_told_in_few_words(client: TestClient, body: dict[str, object]) -> None:
    answer = client.post("/v1/search", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert len(answer.content) < 1000


def test_a_batch_of_thousands_is_refused_unread(client: TestClient) -> None:
    for queries in ([{"photo_id": 0}] * 1001, [0] * 1001):
        answer = client.post("/v1/search/batch", json={"queries": queries})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
        assert len(answer.content) < 1000


def test_methods_that_clients_make_up_are_counted_together(client: TestClient) -> None:
    for number in range(3):
        client.request(f"MADE{number}", "/v1/nothing")
    told = client.get("/metrics").text
    assert 'method="other"' in told
    assert "MADE" not in told
