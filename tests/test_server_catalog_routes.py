"""The catalogue over HTTP: listed, changed and looked after, beside the same in Python."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import ROOT, Run
from made_shops import STRANGE_NAMES, add_strange, make_shop, png, serving
from starlette.testclient import TestClient

from shoplens import open_catalog
from shoplens.catalog import migrate
from shoplens.errors import CatalogBusyError
from shoplens.models import load_encoder
from shoplens.server.keys import SCOPES, create_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_shop(tmp_path)
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with serving(folder / "catalog") as client:
        yield client


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop that no test changes."""
    folder = tmp_path_factory.mktemp("shelf")
    make_shop(folder)
    return folder


@pytest.fixture(scope="module")
def reader(shelf: Path) -> Iterator[TestClient]:
    """A server of it."""
    with serving(shelf / "catalog") as client:
        yield client


def put(client: TestClient, photo_id: object, data: bytes, **fields: str) -> Any:
    path = f"/v1/catalog/photos/{quote(str(photo_id), safe='')}"
    return client.put(path, files={"photo": ("x.png", data)}, data=fields)


def listed(client: TestClient, **params: object) -> list[object]:
    """Return the ids of all pages."""
    found: list[object] = []
    after = "0"
    while after is not None:
        page = client.get("/v1/catalog/photos", params={**params, "after": after}).json()
        found += [photo["photo_id"] for photo in page["photos"]]
        after = page["next"]
    return found


# Reading.


def test_what_it_shows_is_what_python_and_the_command_show(
    reader: TestClient, shelf: Path, run: Run
) -> None:
    uri = shelf / "catalog"
    told = run("catalog", "stats", uri, "--json", "-").json
    del told["uri"]
    shown = reader.get("/v1/catalog").json()
    told.pop("bytes"), shown.pop("bytes")
    assert shown == told
    assert str(shelf) not in json.dumps(shown)
    with open_catalog(uri, read_only=True) as catalog:
        counted = catalog.facets("colour", "product_id", where="price > 10")
        facets = reader.get(
            "/v1/catalog/facets", params={"names": "colour, product_id", "where": "price > 10"}
        ).json()["facets"]
        assert {
            name: {one["value"]: one["count"] for one in values} for name, values in facets.items()
        } == counted
        [entry] = catalog.page("price = 30").entries
    assert reader.get("/v1/catalog/photos/3").json() == {
        "photo_id": 3,
        "product_id": "p1",
        "path": "3.png",
        "attributes": dict(entry.attributes),
        "photo_url": "/v1/photos/3",
        "thumbnail_url": "/v1/thumbnails/3",
    }


@pytest.mark.parametrize("limit", [1, 3, 500])
def test_pages_have_each_photo_once(reader: TestClient, limit: int) -> None:
    assert listed(reader, limit=limit) == list(range(7))
    assert listed(reader, limit=limit, where='colour = "red"') == [0, 3, 6]
    page = reader.get("/v1/catalog/photos", params={"limit": limit, "where": "price > 20"}).json()
    assert page["n"] == 4


def test_pages_go_on_where_they_ended(client: TestClient) -> None:
    first = client.get("/v1/catalog/photos?limit=3").json()
    client.delete("/v1/catalog/photos/2")
    put(client, "new", png(50))
    rest = client.get("/v1/catalog/photos", params={"after": first["next"]}).json()
    assert [one["photo_id"] for one in rest["photos"]] == [3, 4, 5, 6, "new"]


@pytest.mark.parametrize(
    "after", ["", "-1", "x", "9" * 19, "9" * 30, "1.5", "0x1", "\u0661", "1\n", " 1", "null"]
)
def test_a_forged_cursor_is_refused(reader: TestClient, after: str) -> None:
    refused = reader.get("/v1/catalog/photos", params={"after": after})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("after", ["3", "6", "1000000", "9223372036854775807"])
def test_a_cursor_only_says_where_to_go_on(reader: TestClient, after: str) -> None:
    page = reader.get("/v1/catalog/photos", params={"after": after}).json()
    assert page["n"] == 7
    assert len(page["photos"]) <= 4


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0}, {"limit": 501}, {"limit": "x"}, {"where": "x" * 10_001},
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_used(reader: TestClient, params: dict[str, Any]) -> None:
    refused = reader.get("/v1/catalog/photos", params=params)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("path", ["photos", "facets"])
@pytest.mark.parametrize(
    "where", ["colour ==", "(" * 5000, "not " * 2000 + "a = 1", "a in (" + "1," * 4000 + "1)"]
)
def test_filters_that_cannot_be_read(reader: TestClient, path: str, where: str) -> None:
    refused = reader.get(f"/v1/catalog/{path}", params={"where": where, "names": "colour"})
    if where.startswith("a in"):
        assert refused.status_code == 200
        return
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_filter")
    assert refused.json()["position"] >= 0


@pytest.mark.parametrize("names", ["", ",", " , ", ",".join(f"a{n}" for n in range(51))])
def test_names_of_facets(reader: TestClient, names: str) -> None:
    assert reader.get("/v1/catalog/facets", params={"names": names}).status_code == 400
    assert reader.get("/v1/catalog/facets").status_code == 400
    none = reader.get("/v1/catalog/facets", params={"names": "nothing", "limit": 1}).json()
    assert none["facets"] == {"nothing": [{"value": None, "count": 7}]}


# Changing.


def test_a_photo_is_put_found_replaced_and_removed(client: TestClient, folder: Path) -> None:
    uploads = folder / "catalog-uploads"
    added = put(
        client, "new", png(50), product_id="p9", attributes='{"colour": "black", "price": 1.5}'
    )
    assert added.json() == {"n_added": 1, "n_changed": 0, "n_unchanged": 0}
    hit = client.post("/v1/search", files={"photo": png(50)}).json()["hits"][0]
    assert (hit["photo_id"], hit["product_id"]) == ("new", "p9")
    assert hit["score"] > 0.9
    assert client.get(hit["photo_url"]).content == png(50)
    assert client.get(hit["thumbnail_url"]).status_code == 200
    shown = client.get("/v1/catalog/photos/new").json()
    assert shown["attributes"] == {"colour": "black", "price": 1.5}
    assert (uploads / shown["path"]).read_bytes() == png(50)

    same = put(
        client, "new", png(50), product_id="p9", attributes='{"colour": "black", "price": 1.5}'
    )
    assert same.json() == {"n_added": 0, "n_changed": 0, "n_unchanged": 1}
    changed = put(client, "new", png(51), box="10,10,20,20")
    assert changed.json() == {"n_added": 0, "n_changed": 1, "n_unchanged": 0}
    assert len(list(uploads.iterdir())) == 1
    assert client.get("/v1/catalog/photos/new").json()["product_id"] is None

    assert client.delete("/v1/catalog/photos/new").json() == {"n_removed": 1}
    assert client.delete("/v1/catalog/photos/new").json() == {"n_removed": 0}
    assert client.get("/v1/catalog/photos/new").status_code == 404
    assert client.get("/v1/photos/new").status_code == 404
    assert not list(uploads.iterdir())


def test_an_uploaded_photo_is_as_one_that_was_indexed(folder: Path) -> None:
    data = (folder / "photos" / "2.png").read_bytes()
    with serving(folder / "catalog") as client:
        put(client, "copy", data, box="rel:0,0,0.5,1")
    with open_catalog(folder / "catalog", read_only=True) as catalog:
        entry, other = catalog.get("copy"), catalog.get(2)
    assert entry is not None
    assert other is not None
    assert entry.sha256 == other.sha256
    assert str(entry.box) == "0,0,32,48"
    assert entry.source == str(folder / "catalog-uploads")
    encoder = load_encoder(dimension=64)
    with open_catalog(folder / "catalog") as catalog:
        report = migrate(catalog, encoder)
        assert report.switched, report.failed
        assert (report.n_photos, report.n_changed) == (8, 0)


def test_the_first_photo_of_an_empty_catalogue(tmp_path: Path) -> None:
    open_catalog(tmp_path / "empty", create=True).close()
    with serving(tmp_path / "empty") as client:
        assert client.get("/v1/catalog/photos").json() == {"photos": [], "next": None, "n": 0}
        assert put(client, 1, png(1)).json()["n_added"] == 1
        assert client.get("/v1/catalog").json()["model"]["name"] == load_encoder().name
        assert client.post("/v1/search", files={"photo": png(1)}).json()["hits"][0]["photo_id"] == 1


@pytest.mark.parametrize(
    ("data", "fields", "code"),
    [
        (b"no photo", {}, "unsupported_photo"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {}, "unsupported_photo"),
        (png(1)[:200], {}, "unsupported_photo"),
        (b"\xff\xd8\xff" + bytes(500), {}, "unsupported_photo"),
        (b"", {}, "unsupported_photo"),
        (png(1), {"box": "1,2,3"}, "bad_box"),
        (png(1), {"box": "500,500,5,5"}, "bad_box"),
        (png(1), {"box": "1" * 300}, "bad_request"),
        (png(1), {"attributes": "["}, "bad_request"),
        (png(1), {"attributes": "[]"}, "bad_request"),
        (png(1), {"attributes": "[" * 100_000}, "bad_request"),
        (png(1), {"attributes": '{"a":' * 100_000}, "bad_request"),
        (png(1), {"attributes": '{"a": {"b": 1}}'}, "bad_request"),
        (png(1), {"attributes": '{"a": [1]}'}, "bad_request"),
        (png(1), {"attributes": '{"": 1}'}, "bad_request"),
        (png(1), {"attributes": '{"product_id": "x"}'}, "bad_request"),
        (png(1), {"attributes": '{"photo_id": 1}'}, "bad_request"),
        (png(1), {"attributes": '{"a": 9223372036854775808}'}, "bad_request"),
        (png(1), {"attributes": '{"a": 1e999}'}, "bad_request"),
        (png(1), {"attributes": '{"a": NaN}'}, "bad_request"),
        (png(1), {"attributes": '{"a": "\\ud800"}'}, "bad_request"),
        (png(1), {"attributes": json.dumps({f"a{n}": n for n in range(201)})}, "bad_request"),
        (png(1), {"source": "/etc"}, "bad_request"),
        (png(1), {"path": "../../etc/passwd"}, "bad_request"),
        (png(1), {"product_id": "x" * 1001}, "bad_request"),
    ],
)
def test_what_cannot_be_put_changes_nothing(
    reader: TestClient, shelf: Path, data: bytes, fields: dict[str, str], code: str
) -> None:
    refused = put(reader, "new", data, **fields)
    assert refused.json()["code"] == code, refused.text
    assert str(shelf) not in refused.text
    assert reader.get("/v1/catalog").json()["n_photos"] == 7
    uploads = shelf / "catalog-uploads"
    assert not uploads.exists() or not list(uploads.iterdir())


def test_forms_that_cannot_be_read(reader: TestClient) -> None:
    path = "/v1/catalog/photos/new"
    assert reader.put(path, json={"photo": "x"}).status_code == 415
    assert reader.put(path, data={"product_id": "a"}).status_code in (400, 415)
    assert reader.put(path, files={"other": b"x"}).status_code == 400
    twice = [("photo", ("a", png(1))), ("photo", ("b", png(2)))]
    assert reader.put(path, files=twice).status_code == 400
    assert reader.get(path).status_code == 404


def test_ids_are_what_they_are(client: TestClient) -> None:
    names = [
        "a/b/c.jpg", "/a", "a//b", "ü/100%.png", "a b+c", "?x=1#y", "007", "-5", "x" * 1000, "2 ",
        "6\n", "a\nb",
        "\u202e", "null", "0.5", "é", "e\u0301", "facets", "9223372036854775808", "a\\b",
    ]  # fmt: skip
    for number, name in enumerate(names):
        assert put(client, name, png(200 + number)).json()["n_added"] == 1, name
    assert listed(client)[7:] == [int(name) if name == "-5" else name for name in names]
    for number, name in enumerate(names):
        path = quote(name, safe="")
        shown = client.get(f"/v1/catalog/photos/{path}").json()
        assert str(shown["photo_id"]) == name
        assert client.get(shown["photo_url"]).content == png(200 + number)
    for name in names:
        path = quote(name, safe="")
        assert client.delete(f"/v1/catalog/photos/{path}").json() == {"n_removed": 1}
    assert len(listed(client)) == 7
    assert put(client, "x" * 1025, png(1)).status_code == 400
    assert client.put("/v1/catalog/photos/", files={"photo": png(1)}).status_code in (404, 405)
    assert client.get("/v1/catalog/photos/%ff%fe").status_code == 404
    assert client.put("/v1/catalog/photos/%ff", files={"photo": png(1)}).status_code == 400


def test_strange_names_of_indexed_photos(client: TestClient, folder: Path) -> None:
    source = add_strange(folder)
    for name in STRANGE_NAMES:
        shown = client.get(f"/v1/catalog/photos/{quote(name, safe='')}").json()
        assert shown["photo_id"] == name
        assert client.get(shown["photo_url"]).content == (source / name).read_bytes()
        assert client.get(shown["thumbnail_url"]).status_code == 200


def test_many_are_removed_at_once(client: TestClient, folder: Path) -> None:
    for number in range(4):
        put(client, f"up{number}", png(60 + number), product_id=f'q"{number % 2}')
    uploads = folder / "catalog-uploads"
    assert len(list(uploads.iterdir())) == 4

    def delete(**chosen: object) -> Any:
        return client.post("/v1/catalog/delete", json=chosen).json()

    assert delete(photo_ids=[0, "1", "none", "up0"]) == {"n_removed": 3}
    assert delete(product_ids=['q"1', "p1"]) == {"n_removed": 4}
    assert len(list(uploads.iterdir())) == 1
    assert delete(where="price >= 50") == {"n_removed": 2}
    assert listed(client) == [4, "up2"]
    assert delete(where="product_id is not null") == {"n_removed": 2}
    assert not list(uploads.iterdir())
    for photo in (folder / "photos").glob("*.png"):
        assert photo.is_file()
    assert len(list((folder / "photos").glob("*.png"))) == 7


@pytest.mark.parametrize(
    "body",
    [
        {}, [], "x", {"photo_ids": "0"}, {"photo_ids": [0], "where": "a = 1"}, {"where": " "},
        {"where": ""}, {"photo_ids": [1.5]}, {"photo_ids": [True]}, {"photo_ids": [None]},
        {"photo_ids": [2**64]}, {"photo_ids": [""]}, {"product_ids": [1]}, {"all": True},
        {"photo_ids": list(range(10_001))}, {"where": "x" * 10_001},
    ],
)  # fmt: skip
def test_deletions_that_are_not_clear_remove_nothing(reader: TestClient, body: object) -> None:
    refused = reader.post("/v1/catalog/delete", json=body)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert len(listed(reader)) == 7


def test_deep_json_is_refused(reader: TestClient) -> None:
    for text in ("[" * 100_000, '{"where":' * 100_000):
        headers = {"Content-Type": "application/json"}
        refused = reader.post("/v1/catalog/delete", content=text, headers=headers)
        assert refused.status_code == 400


def test_a_file_that_is_shared_by_content_stays_with_the_other_photo(client: TestClient) -> None:
    put(client, "a", png(70))
    put(client, "b", png(70))
    client.delete("/v1/catalog/photos/a")
    assert client.get("/v1/photos/b").content == png(70)


def test_one_id_is_put_and_removed_by_many_at_once(client: TestClient, folder: Path) -> None:
    def do(number: int) -> int:
        if random.Random(number).random() < 0.4:
            return int(client.delete("/v1/catalog/photos/one").status_code)
        return int(put(client, "one", png(300 + number % 5)).status_code)

    with ThreadPoolExecutor(8) as threads:
        codes = list(threads.map(do, range(60)))
    assert set(codes) == {200}
    uploads = folder / "catalog-uploads"
    shown = client.get("/v1/catalog/photos/one")
    if shown.status_code == 200:
        assert [path.name for path in uploads.iterdir()] == [shown.json()["path"]]
        assert client.get("/v1/photos/one").status_code == 200
    else:
        assert not list(uploads.iterdir())
    with open_catalog(folder / "catalog", read_only=True) as catalog:
        assert catalog.verify().ok


def test_an_upload_that_cannot_be_kept_changes_nothing(folder: Path) -> None:
    (folder / "catalog-uploads").write_text("a file is in the way")
    with serving(folder / "catalog") as client:
        refused = put(client, "new", png(1))
        assert (refused.status_code, refused.json()["code"]) == (503, "catalog_unavailable")
        assert str(folder) not in refused.text
        assert client.get("/v1/catalog/photos/new").status_code == 404
        assert client.delete("/v1/catalog/photos/0").json() == {"n_removed": 1}


def test_uploads_may_be_kept_elsewhere(folder: Path) -> None:
    with serving(folder / "catalog", uploads=folder / "kept") as client:
        assert put(client, "new", png(1)).status_code == 200
        assert client.get("/v1/photos/new").content == png(1)
    assert len(list((folder / "kept").iterdir())) == 1


# What is not allowed.


WRITES: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "/v1/catalog/photos/0", {"files": {"photo": png(1)}}),
    ("DELETE", "/v1/catalog/photos/0", {}),
    ("POST", "/v1/catalog/delete", {"json": {"photo_ids": [0]}}),
    ("POST", "/v1/catalog/compact", {}),
]
READS = [
    ("GET", "/v1/catalog", {}),
    ("GET", "/v1/catalog/photos", {}),
    ("GET", "/v1/catalog/photos/0", {}),
    ("GET", "/v1/catalog/facets?names=colour", {}),
    ("GET", "/v1/photos/0", {}),
    ("GET", "/v1/thumbnails/0", {}),
]
ADMIN = [
    ("GET", "/v1/catalog/failures", {}),
    ("GET", "/v1/catalog/compact", {}),
    ("POST", "/v1/catalog/verify", {}),
    ("GET", "/v1/catalog/verify", {}),
]


def test_a_server_for_reading_only_changes_nothing(folder: Path) -> None:
    with serving(folder / "catalog", read_only=True) as client:
        for method, path, arguments in WRITES:
            refused = client.request(method, path, **arguments)
            assert (refused.status_code, refused.json()["code"]) == (409, "read_only")
        for method, path, arguments in READS:
            assert client.request(method, path, **arguments).status_code == 200
    assert not (folder / "catalog-uploads").exists()


def test_each_scope_opens_what_it_should_and_no_more(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys = {scope: create_key(file, scope).text for scope in SCOPES}
    needed = [
        *((one, "search") for one in READS),
        *((one, "write") for one in WRITES[:3]),
        *((one, "admin") for one in [WRITES[3], *ADMIN]),
    ]
    with serving(folder / "catalog", keys=file) as client:
        for (method, path, arguments), scope in needed:
            assert client.request(method, path, **arguments).status_code == 401, path
            for mine in SCOPES:
                headers = {"Authorization": f"Bearer {keys[mine]}"}
                allowed = SCOPES.index(mine) >= SCOPES.index(scope)
                if allowed and method != "GET":
                    continue
                status = client.request(method, path, headers=headers, **arguments).status_code
                assert status == (200 if allowed else 403), (path, mine)


def test_a_catalogue_that_another_process_writes_is_busy(folder: Path) -> None:
    code = """
import sys
from shoplens import open_catalog
with open_catalog(sys.argv[1]) as catalog:
    catalog.delete([6])
    print("writing", flush=True)
    sys.stdin.readline()
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "catalog")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
    )  # fmt: skip
    assert writer.stdin is not None
    assert writer.stdout is not None
    try:
        assert writer.stdout.readline() == "writing\n"
        with serving(folder / "catalog") as client:
            refused = put(client, "new", png(1))
            assert (refused.status_code, refused.json()["code"]) == (409, "catalog_busy")
            assert str(folder) not in refused.text
            assert client.delete("/v1/catalog/photos/0").status_code == 409
            assert client.get("/v1/catalog").json()["n_photos"] == 6
            uploads = folder / "catalog-uploads"
            assert not uploads.exists() or not list(uploads.iterdir())
    finally:
        writer.communicate("\n")


# Upkeep.


def ended(client: TestClient, name: str) -> dict[str, Any]:
    """Wait for the end of a job."""
    while True:
        job: dict[str, Any] = client.get(f"/v1/catalog/{name}").json()
        if job["state"] != "running":
            return job
        time.sleep(0.02)


def test_upkeep_goes_on_in_the_background(client: TestClient, folder: Path) -> None:
    assert client.get("/v1/catalog/compact").json()["state"] == "none"
    begun = client.post("/v1/catalog/compact")
    assert begun.status_code == 202
    assert put(client, "meanwhile", png(80)).json()["n_added"] == 1
    done = ended(client, "compact")
    assert (done["state"], done["result"]) == ("done", {})
    assert client.post("/v1/catalog/verify").status_code == 202
    verified = ended(client, "verify")
    assert verified["result"] == {"ok": True, "n_photos": 8, "faults": []}
    assert verified["began"] <= verified["ended"]


def test_damage_is_found(folder: Path) -> None:
    with open_catalog(folder / "catalog") as catalog:
        catalog.compact()
    with closing(sqlite3.connect(folder / "catalog" / "catalog.sqlite")) as connection:
        connection.execute("UPDATE photos SET product_id = 'other' WHERE photo_id = 3")
        connection.commit()
    with serving(folder / "catalog") as client:
        client.post("/v1/catalog/verify")
        verified = ended(client, "verify")
        assert verified["result"]["ok"] is False
        assert verified["result"]["faults"]
        refused = client.get("/v1/catalog/photos/3")
        assert (refused.status_code, refused.json()["code"]) == (503, "catalog_unavailable")
        assert str(folder) not in refused.text
        # To put it again, or to remove it, mends it.
        assert put(client, 3, png(3)).status_code == 200
        assert client.get("/v1/catalog/photos/3").status_code == 200


def test_photos_that_failed_are_listed(folder: Path, run: Run) -> None:
    broken = folder / "broken"
    broken.mkdir()
    (broken / "bad.png").write_bytes(b"no photo")
    run("index", broken, "--catalog", folder / "catalog")
    told = run("catalog", "failures", folder / "catalog", "--json", "-").json
    assert told["n_failed"] == 1
    with serving(folder / "catalog") as client:
        assert client.get("/v1/catalog/failures").json() == told


def test_the_right_to_write_is_given_back(folder: Path) -> None:
    with serving(folder / "catalog") as client:
        assert put(client, "new", png(1)).status_code == 200
        for _ in range(600):
            try:
                with open_catalog(folder / "catalog") as catalog:
                    assert catalog.delete(["new"]) == 1
                break
            except CatalogBusyError:
                time.sleep(0.1)
        else:
            pytest.fail("the server keeps the right to write")
        assert client.get("/v1/catalog/photos/new").status_code == 404
        assert put(client, "new", png(1)).status_code == 200
