"""What every request passes: ids, headers, origins and names, sizes, admission."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from made_shops import make_shop, serving
from starlette.testclient import TestClient

from shoplens.server.layers.headers import CONTENT_SECURITY_POLICY


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def client(shop: Path) -> Iterator[TestClient]:
    with serving(shop) as client:
        yield client


@pytest.fixture(scope="module")
def shared(shop: Path) -> Iterator[TestClient]:
    """A server that other sites' pages may use, known by a name."""
    allowed = {"cors_origins": ["https://shop.example"], "allowed_hosts": ["search.example"]}
    with serving(shop, **allowed) as client:
        yield client


SEARCH = {"photo_id": 1}


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/models", "/nothing", "/v1/search"])
def test_every_answer_has_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["permissions-policy"].startswith("camera=(self)")
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if path == "/" else "no-store")
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers
    assert headers["x-request-id"]


def test_the_policy_allows_nothing_from_elsewhere() -> None:
    rules = dict(rule.split(" ", 1) for rule in CONTENT_SECURITY_POLICY.split("; "))
    assert rules.pop("img-src") == "'self' blob: data:"
    assert set(rules.values()) == {"'none'", "'self'"}
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("0123-abcd_EF.gh", True), ("short", False), ("x" * 65, False), ("a b c d e f g", False)],
)
def test_an_id_that_looks_like_one_is_kept(client: TestClient, given: str, kept: bool) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert (answer.headers["x-request-id"] == given) is kept


def test_ids_are_not_repeated(client: TestClient) -> None:
    ids = {client.get("/healthz").headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"]
)
def test_names_of_this_machine_are_taken(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1", "a b"]
)
def test_other_names_are_refused_on_loopback(client: TestClient, host: str) -> None:
    for path in ("/", "/v1/photos/1", "/healthz"):
        answer = client.get(path, headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (403, "unknown_host")


def test_a_name_can_be_allowed(shared: TestClient) -> None:
    for host, status in (("search.example", 200), ("localhost", 200), ("other.example", 403)):
        assert shared.get("/healthz", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost", 200),
        ("https://localhost", 200),
        ("http://localhost:9999", 403),
        ("https://shop.example", 403),
        ("null", 403),
        ("file://localhost", 403),
        ("", 403),
    ],
)
def test_pages_of_other_sites_are_refused(
    client: TestClient, origin: str | None, status: int
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    for answer in (
        client.get("/v1/models", headers=headers),
        client.post("/v1/search", json=SEARCH, headers=headers),
    ):
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["code"] == "cross_origin"


def test_a_site_can_be_allowed(shared: TestClient) -> None:
    ours = {"Origin": "https://shop.example"}
    asked = {
        **ours,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, x-api-key",
    }
    preflight = shared.options("/v1/search", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
    answer = shared.post("/v1/search", json=SEARCH, headers=ours)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    refused = shared.post("/v1/search", json=SEARCH, headers={"Origin": "https://evil.example"})
    assert refused.json()["code"] == "cross_origin"
    assert "access-control-allow-origin" not in refused.headers


def test_what_a_client_may_not_do_is_a_problem_too(client: TestClient) -> None:
    answer = client.get("/v1/search")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    answer = client.get("/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_whatever_goes_wrong_inside_is_answered_and_tells_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from shoplens.server.routes import search

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("/secret/place")

    monkeypatch.setattr(search, "searched", broken)
    answer = client.post("/v1/search", json=SEARCH)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["content-security-policy"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
    assert "/secret/place" in caplog.text
