"""API keys, scopes and rates over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from made_shops import make_shop, serving
from starlette.testclient import TestClient

from shoplens.errors import DataError, MissingError
from shoplens.server.keys import SCOPES, NewKey, create_key, revoke_key
from shoplens.server.logs import NAME


@dataclass(frozen=True)
class Guarded:
    """A server with a key of each scope."""

    client: TestClient
    file: Path
    keys: dict[str, NewKey]

    def headers(self, scope: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[scope].text}"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def guarded(shop: Path, tmp_path: Path) -> Iterator[Guarded]:
    file = tmp_path / "keys.json"
    keys = {scope: create_key(file, scope) for scope in SCOPES}
    with serving(shop, keys=file) as client:
        yield Guarded(client, file, keys)


SEARCH = {"photo_id": 0}


def test_a_key_is_needed_and_either_header_carries_it(guarded: Guarded) -> None:
    text = guarded.keys["search"].text
    assert guarded.client.post("/v1/search", json=SEARCH).json()["code"] == "no_key"
    for headers in (
        {"Authorization": f"Bearer {text}"},
        {"Authorization": f"bearer {text}"},
        {"X-API-Key": text},
    ):
        assert guarded.client.post("/v1/search", json=SEARCH, headers=headers).status_code == 200


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    ("method", "path", "json", "needed"),
    [
        ("POST", "/v1/search", SEARCH, "search"),
        ("POST", "/v1/catalog/delete", {"photo_ids": [10**9]}, "write"),
        ("GET", "/v1/catalog/failures", None, "admin"),
    ],
)
def test_a_key_does_what_its_scope_allows_and_no_more(
    guarded: Guarded, scope: str, method: str, path: str, json: Any, needed: str
) -> None:
    answer = guarded.client.request(method, path, json=json, headers=guarded.headers(scope))
    if SCOPES.index(scope) >= SCOPES.index(needed):
        assert answer.status_code == 200
    else:
        assert answer.status_code == 403
        assert answer.json()["code"] == "wrong_scope"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic c2w6eA=="},
        {"Authorization": "Bearer sl_0_0"},
        {"Authorization": "Bearer " + "x" * 8000},
        {"X-API-Key": ""},
        {"X-API-Key": "sl__"},
        {"X-API-Key": b"sl_\xff\xfe_\x80"},
        {"Cookie": "key=sl_0_0"},
    ],
)
def test_what_is_no_key_is_refused(guarded: Guarded, headers: Any) -> None:
    refused = guarded.client.post("/v1/search", json=SEARCH, headers=headers)
    assert refused.status_code == 401
    assert refused.json()["code"] == "no_key"
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_key_in_the_address_does_not_count(guarded: Guarded) -> None:
    text = guarded.keys["admin"].text
    for name in ("key", "api_key", "X-API-Key", "access_token"):
        refused = guarded.client.post(f"/v1/search?{name}={text}", json=SEARCH)
        assert refused.status_code == 401


def test_the_key_is_checked_before_the_body_is_looked_at(guarded: Guarded) -> None:
    refused = guarded.client.post("/v1/search", content=b"\xff not json")
    assert refused.status_code == 401


def test_revoking_needs_no_restart(guarded: Guarded) -> None:
    headers = guarded.headers("search")
    assert guarded.client.post("/v1/search", json=SEARCH, headers=headers).status_code == 200
    revoke_key(guarded.file, guarded.keys["search"].key.id)
    assert guarded.client.post("/v1/search", json=SEARCH, headers=headers).status_code == 401
    made = create_key(guarded.file, "search")
    headers = {"X-API-Key": made.text}
    assert guarded.client.post("/v1/search", json=SEARCH, headers=headers).status_code == 200


def test_nobody_gets_in_when_the_keys_cannot_be_read(guarded: Guarded) -> None:
    headers = guarded.headers("admin")
    guarded.file.write_text("{")
    refused = guarded.client.post("/v1/search", json=SEARCH, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (503, "keys_unavailable")
    assert str(guarded.file) not in refused.text
    guarded.file.unlink()
    assert guarded.client.post("/v1/search", json=SEARCH, headers=headers).status_code == 503
    assert guarded.client.get("/healthz").status_code == 200


def test_a_server_does_not_start_without_the_keys_it_was_given(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    with pytest.raises(MissingError, match="shoplens keys create"), serving(shop, keys=file):
        pass
    file.write_text("[]")
    with pytest.raises(DataError), serving(shop, keys=file):
        pass


def test_a_rate_is_kept_and_says_when_to_come_back(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    slow, usual = create_key(file, "search", rate=3), create_key(file, "search")
    with serving(shop, keys=file, rate=2) as client:

        def status(made: NewKey) -> int:
            headers = {"X-API-Key": made.text}
            return client.post("/v1/search", json=SEARCH, headers=headers).status_code

        assert [status(slow) for _ in range(4)] == [200, 200, 200, 429]
        assert [status(usual) for _ in range(3)] == [200, 200, 429]
        refused = client.post("/v1/search", json=SEARCH, headers={"X-API-Key": slow.text})
        assert refused.json()["code"] == "too_many_requests"
        assert 1 <= int(refused.headers["retry-after"]) <= 20


def test_without_keys_everything_is_allowed_and_addresses_are_counted(shop: Path) -> None:
    with serving(shop, rate=2) as client:
        codes = [client.post("/v1/search", json=SEARCH).status_code for _ in range(3)]
        assert codes == [200, 200, 429]


def test_openapi_names_the_keys_and_their_scopes(guarded: Guarded) -> None:
    described = guarded.client.get("/openapi.json").json()
    schemes = described["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    assert (schemes["header"]["in"], schemes["header"]["name"]) == ("header", "X-API-Key")
    searching = described["paths"]["/v1/search"]["post"]
    assert searching["security"] == [{"bearer": ["search"]}, {"header": ["search"]}]


OPEN = {"/v1/page-settings", "/healthz", "/readyz"}
"""What needs no key."""


def test_no_path_is_left_open_by_mistake(guarded: Guarded) -> None:
    document = guarded.client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert bool(operation.get("security")) == (path not in OPEN), path
            if path not in OPEN:
                assert {"401", "403", "429", "503"} <= operation["responses"].keys(), path
            refused = guarded.client.request(method, path.replace("{photo_id}", "0"))
            assert (refused.status_code == 401) == (path not in OPEN), path


def test_no_key_is_in_the_log(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger(NAME).setLevel(logging.DEBUG)
        for scope in SCOPES:
            guarded.client.post("/v1/search", json=SEARCH, headers=guarded.headers(scope))
        wrong = {"X-API-Key": "sl_0123_" + "f" * 64}
        guarded.client.post("/v1/search", json=SEARCH, headers=wrong)
        guarded.file.write_text("{")
        guarded.client.post("/v1/search", json=SEARCH, headers=guarded.headers("admin"))
    logged = "\n".join(str(vars(record)) for record in caplog.records)
    assert guarded.keys["search"].key.id in logged
    for secret in [one.text.rpartition("_")[2] for one in guarded.keys.values()] + ["f" * 64]:
        assert secret not in logged


def test_the_page_learns_of_the_catalogue_with_a_key_only(guarded: Guarded) -> None:
    wrong = {"X-API-Key": "sl_0123_" + "f" * 64}
    for headers in ({}, wrong):
        told = guarded.client.get("/v1/page-settings", headers=headers).json()
        assert told["keys_required"]
        assert told["attributes"] == {}
    for scope in SCOPES:
        told = guarded.client.get("/v1/page-settings", headers=guarded.headers(scope)).json()
        assert told["attributes"] == {"colour": "str", "price": "int"}


@pytest.mark.parametrize(
    ("setting", "host", "status"),
    [
        ("key", "127.0.0.1", 401),
        ("key", "10.0.0.7", 401),
        ("loopback", "127.0.0.1", 200),
        ("loopback", "::1", 200),
        ("loopback", "10.0.0.7", 401),
    ],
)
def test_who_may_read_the_metrics(
    shop: Path, tmp_path: Path, setting: str, host: str, status: int
) -> None:
    file = tmp_path / "keys.json"
    key = create_key(file, "search")
    with serving(shop, keys=file, metrics=setting) as client:
        caller = TestClient(client.app, base_url="http://localhost", client=(host, 5000))
        assert caller.get("/metrics").status_code == status
        assert caller.get("/metrics%0A").status_code == 401  # Past the rule of a proxy.
        assert caller.get("/metrics", headers={"X-API-Key": key.text}).status_code == 200
        assert caller.get("/metrics", headers={"X-API-Key": "sl_0_0"}).status_code == status
        assert caller.get("/v1/models").status_code == 401
