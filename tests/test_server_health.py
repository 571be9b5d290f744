"""How the server is, and what it counts."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_shops import make_shop, png, serving
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from shoplens._version import __version__
from shoplens.server.about_schemas import ModelsAnswer, PageSettingsAnswer
from shoplens.server.catalog_schemas import CatalogAnswer
from shoplens.server.metrics import STAGES


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with serving(make_shop(tmp_path), title="Shop", max_k=50) as client:
        yield client


def values(client: TestClient) -> dict[str, float]:
    """Return each metric by its name and labels."""
    found = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_requests_stages_and_problems_are_counted(client: TestClient) -> None:
    for _ in range(2):
        assert client.post("/v1/search", files={"photo": png(1)}).status_code == 200
    client.post("/v1/search", files={"photo": b"no photo"})
    client.post("/v1/search", json={"photo_id": 1, "where": "x"})
    client.get("/v1/photos/1")
    client.get("/healthz", headers={"Host": "evil.example"})
    found = values(client)
    assert {stage: found[f"shoplens_stage_seconds_count{{stage={stage}}}"] for stage in STAGES} == {
        "read": 4, "fetch": 0, "decode": 3, "boxes": 0, "embed": 2, "search": 3,
    }  # fmt: skip
    route = "shoplens_request_seconds_count{method=POST,route=/v1/search,status=%s}"
    assert (found[route % 200], found[route % 422], found[route % 400]) == (2, 1, 1)
    assert found["shoplens_errors_total{code=unsupported_photo}"] == 1
    assert found["shoplens_errors_total{code=bad_filter}"] == 1
    assert found["shoplens_errors_total{code=unknown_host}"] == 1
    assert found["shoplens_catalog_photos{}"] == 7
    assert found["shoplens_ready{}"] == 1
    assert found["shoplens_requests_in_flight{}"] == 0
    assert found["shoplens_embedding_queue_depth{}"] == 0


def test_ids_of_photos_and_wrong_paths_make_no_metrics_of_their_own(client: TestClient) -> None:
    for number in range(5):
        client.get(f"/v1/photos/{number}")
        client.get(f"/nothing/{number}")
    routes = {found[1] for name in values(client) if (found := re.search(r"route=([^,]*)", name))}
    assert len(routes) == 2  # That of photos, and none.
    assert not any(character.isdigit() for route in routes for character in route[3:])


def test_a_server_that_stops_is_alive_and_not_ready(client: TestClient) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    client.app.state.service.stopping = True  # type: ignore[attr-defined]
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "stopping")
    assert client.get("/healthz").json() == {"status": "alive"}
    assert values(client)["shoplens_ready{}"] == 0
    # What comes in until the end is answered.
    assert client.post("/v1/search", json={"photo_id": 1}).status_code == 200


def test_the_model_and_the_catalogue_are_described(client: TestClient) -> None:
    models = ModelsAnswer.model_validate_json(client.get("/v1/models").content)
    catalog = CatalogAnswer.model_validate_json(client.get("/v1/catalog").content)
    assert models.version == __version__
    assert models.model is not None
    assert catalog.model is not None
    assert models.model.fingerprint == catalog.model.fingerprint
    assert models.model.dimension == catalog.model.dimension == 512
    assert catalog.n_photos == 7


def test_the_page_learns_what_it_needs(client: TestClient) -> None:
    settings = PageSettingsAnswer.model_validate_json(client.get("/v1/page-settings").content)
    assert settings.title == "Shop"
    assert settings.max_k == 50
    assert settings.attributes == {"colour": "str", "price": "int"}
    assert not settings.keys_required
    assert not settings.urls


def test_decoders_that_are_lost_are_counted(tmp_path: Path) -> None:
    with serving(make_shop(tmp_path), decoder_seconds=0.3) as client:
        found = values(client)
        assert found["shoplens_decoding_queue_depth{}"] == 0
        assert found["shoplens_decoders_lost_total{}"] == 0
        service = client.app.state.service  # type: ignore[attr-defined]
        [process] = service.model.embedder._decoders.process_ids
        os.kill(process, signal.SIGSTOP)
        refused = client.post("/v1/search", files={"photo": png(1)})
        assert (refused.status_code, refused.json()["reason"]) == (422, "too_slow")
        assert values(client)["shoplens_decoders_lost_total{}"] == 1
