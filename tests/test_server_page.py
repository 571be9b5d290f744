"""The page and its files."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from conftest import ROOT
from made_shops import make_shop, serving
from starlette.testclient import TestClient

PAGE = ROOT / "src" / "shoplens" / "server" / "page"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(make_shop(tmp_path_factory.mktemp("shop"))) as client:
        yield client


def test_the_page_is_html_that_is_asked_for_again(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.content == (PAGE / "index.html").read_bytes()
    assert client.get("/index.html").status_code == 404


@pytest.mark.parametrize("path", sorted(p for p in PAGE.glob("assets/*") if p.is_file()), ids=str)
def test_files_with_hashes_are_kept_for_ever(client: TestClient, path: Path) -> None:
    answer = client.get(f"/assets/{path.name}")
    assert answer.content == path.read_bytes()
    assert "immutable" in answer.headers["cache-control"]
    types = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
    if path.suffix in types:
        assert answer.headers["content-type"] == types[path.suffix]


def test_a_browser_that_has_it_is_told_so(client: TestClient) -> None:
    first = client.get("/")
    for tag in (first.headers["etag"], f'"x", W/{first.headers["etag"]}'):
        again = client.get("/", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get("/", headers={"If-None-Match": '"x"'}).status_code == 200


def test_files_are_compressed_for_those_that_can_read_it(client: TestClient) -> None:
    with client.stream("GET", "/", headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(packed) == (PAGE / "index.html").read_bytes()
    plain = client.get("/", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_all_that_the_page_names_is_there(client: TestClient) -> None:
    named = re.findall(r'(?:src|href)="([^":]+)"', (PAGE / "index.html").read_text("utf-8"))
    assert any(name.endswith(".js") for name in named)
    for name in named:
        assert client.get(urljoin("http://localhost/", name)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/../settings.py", "/assets/../../settings.py", "/%2e%2e/settings.py", "//etc/passwd"]
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    assert client.get(f"http://localhost{path}").status_code == 404
