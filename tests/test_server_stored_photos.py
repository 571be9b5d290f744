"""Photos of the catalogue that are no files on disk: in tables of columns, and behind URLs."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_shops import make_shop, png, serving
from pyarrow import feather
from starlette.testclient import TestClient

from shoplens import open_catalog
from shoplens.catalog.indexing import index
from shoplens.catalog.originals import Originals, urls_of
from shoplens.server.fetching import PhotoFetcher
from shoplens.sources import read_photo

PHOTOS = [png(number) for number in range(10)]


def write_parquet(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path.with_suffix(".parquet"), row_group_size=3)
    return path.with_suffix(".parquet")


def write_arrow(table: pa.Table, path: Path) -> Path:
    feather.write_feather(table, str(path.with_suffix(".arrow")), chunksize=3)
    return path.with_suffix(".arrow")


def write_lance(table: pa.Table, path: Path) -> Path:
    lance = pytest.importorskip("lance")
    lance.write_dataset(table, str(path.with_suffix(".lance")))
    return path.with_suffix(".lance")


@pytest.mark.parametrize("write", [write_parquet, write_arrow, write_lance])
@pytest.mark.parametrize("structs", [False, True])
def test_photos_in_a_column(
    tmp_path: Path, write: Callable[[pa.Table, Path], Path], structs: bool
) -> None:
    names = [f"in/{number}.png" for number in range(10)]
    if structs:
        rows = [{"bytes": data, "path": name} for data, name in zip(PHOTOS, names, strict=True)]
        table = pa.table({"the photo": rows})
    else:
        table = pa.table({"path": names, "image": PHOTOS})
    index(write(table, tmp_path / "photos"), tmp_path / "catalog")
    with serving(tmp_path / "catalog") as client:
        for number in (9, 0, 4, 3, 8):
            sent = client.get(f"/v1/photos/in%2F{number}.png")
            assert (sent.status_code, sent.content) == (200, PHOTOS[number])
            assert sent.headers["content-type"] == "image/png"
            known = {"If-None-Match": sent.headers["etag"]}
            assert client.get(f"/v1/photos/in%2F{number}.png", headers=known).status_code == 304
        assert client.get("/v1/thumbnails/in%2F5.png").status_code == 200


def test_photos_in_a_folder_of_parts(tmp_path: Path) -> None:
    folder = tmp_path / "parts" / "data"
    folder.mkdir(parents=True)
    for part in range(2):
        data = PHOTOS[5 * part : 5 * part + 5]
        ids = list(range(5 * part, 5 * part + 5))
        table = pa.table({"photo_id": ids, "image": data})
        pq.write_table(table, folder / f"part-{part}.parquet")
    index(tmp_path / "parts", tmp_path / "catalog")
    with serving(tmp_path / "catalog") as client:
        for number, data in enumerate(PHOTOS):
            assert client.get(f"/v1/photos/{number}").content == data


def test_another_photo_is_never_shown_in_its_place(tmp_path: Path) -> None:
    source = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"photo_id": [0, 1], "image": PHOTOS[:2]}), source)
    index(source, tmp_path / "catalog")
    with serving(tmp_path / "catalog") as client:
        assert client.get("/v1/photos/0").content == PHOTOS[0]
        pq.write_table(pa.table({"photo_id": [0, 1], "image": PHOTOS[2:4]}), source)
        assert client.get("/v1/photos/0").json()["code"] == "not_found"
        index(source, tmp_path / "catalog")
        assert client.get("/v1/photos/0").content == PHOTOS[2]
    # What a table is known by may be the same although its rows are others.
    with open_catalog(tmp_path / "catalog") as catalog:
        [entry] = catalog.get_many([0])
        assert entry is not None
        catalog.upsert([replace(entry, sha256="0" * 64)])
    with serving(tmp_path / "catalog") as client:
        assert client.get("/v1/photos/0").json()["code"] == "not_found"


@pytest.mark.parametrize(
    "stamp",
    [
        "{stamp} image 2", "{stamp} image 99999999999999999999", "{stamp} image -1",
        "{stamp} image \N{SUPERSCRIPT TWO}", "{stamp} photo_id 0", "{stamp} none 0", "1 2 image 0",
        "{stamp}  0", "",
    ],
)  # fmt: skip
def test_rows_that_there_are_not(tmp_path: Path, stamp: str) -> None:
    source = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"photo_id": [0, 1], "image": PHOTOS[:2]}), source)
    index(source, tmp_path / "catalog")
    with open_catalog(tmp_path / "catalog") as catalog:
        entry = catalog.get(0)
        assert entry is not None
        known = entry.stamp.removesuffix(" image 0")
        assert known != entry.stamp
        wrong = replace(entry, stamp=stamp.format(stamp=known))
        assert Originals().photo(wrong).problem is not None
        assert read_photo(Originals().photo(entry)) == PHOTOS[0]


def test_a_folder_is_not_searched_for_tables_for_a_photo_that_was_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shop(tmp_path, 1)
    (tmp_path / "photos" / "0.png").unlink()
    with open_catalog(tmp_path / "catalog", read_only=True) as catalog:
        entry = catalog.get(0)
    assert entry is not None

    def never(*_: object) -> Any:
        raise AssertionError("the folder is listed")

    monkeypatch.setattr("shoplens.catalog.originals.column_files", never)
    assert Originals().photo(entry).problem is not None


@contextmanager
def web_of(folder: Path) -> Iterator[int]:
    """Serve a folder over HTTP; yield the port."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A catalogue with photos behind URLs, and the port of the server that has them."""
    web = tmp_path / "web" / "data"
    web.mkdir(parents=True)
    (web / "a.png").write_bytes(PHOTOS[5])
    (web / "page.html").write_text("<script>")
    make_shop(tmp_path, 1)
    with web_of(tmp_path / "web") as port, open_catalog(tmp_path / "catalog") as catalog:
        entry = catalog.get(0)
        assert entry is not None
        bare = replace(entry, stamp="", sha256=None)
        here = f"http://127.0.0.1:{port}"
        catalog.upsert(
            [
                replace(bare, photo_id="url", source="/t.csv", path=f"{here}/data/a.png"),
                replace(bare, photo_id="table", source=f"{here}/gallery.csv", path="a.png"),
                replace(bare, photo_id="page", source="", path=f"{here}/data/page.html"),
                replace(bare, photo_id="none", source="", path=f"{here}/none.png"),
                replace(bare, photo_id="private", source="", path="http://10.0.0.1/a.png"),
                replace(bare, photo_id="bucket", source="s3://bucket", path="a.png"),
                replace(bare, photo_id="packed", source=f"{here}/a.zip", path="a.png"),
            ]
        )
        yield tmp_path / "catalog", port


def allow_port(client: TestClient, port: int) -> None:
    """Let a server fetch from a port of this machine."""
    service = client.app.state.service  # type: ignore[attr-defined]
    networks = [ip_network("127.0.0.0/8")]
    service._fetcher = PhotoFetcher(
        max_bytes=10**6, seconds=10, ports=(80, port), networks=networks
    )


def test_photos_behind_urls_are_told_and_not_fetched(linked: tuple[Path, int]) -> None:
    with serving(linked[0]) as client:
        for photo_id in ("url", "table", "private", "bucket", "packed"):
            for kind in ("photos", "thumbnails"):
                refused = client.get(f"/v1/{kind}/{photo_id}")
                assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
                assert "behind a URL" in refused.json()["detail"]


def test_photos_behind_urls_are_shown_where_fetching_is_on(linked: tuple[Path, int]) -> None:
    catalog, port = linked
    with serving(catalog, urls=True) as client:
        allow_port(client, port)
        for photo_id in ("url", "table"):
            sent = client.get(f"/v1/photos/{photo_id}")
            assert (sent.status_code, sent.content) == (200, PHOTOS[5])
            assert client.get(f"/v1/thumbnails/{photo_id}").status_code == 200
        for photo_id, code in {
            "page": "not_found", "none": "fetch_failed", "private": "url_refused",
            "bucket": "url_refused", "packed": "not_found",
        }.items():  # fmt: skip
            for kind in ("photos", "thumbnails"):
                assert client.get(f"/v1/{kind}/{photo_id}").json()["code"] == code, photo_id
        assert client.get("/v1/photos/0").status_code == 200


def test_the_urls_of_photos(tmp_path: Path) -> None:
    make_shop(tmp_path, 1)
    with open_catalog(tmp_path / "catalog", read_only=True) as catalog:
        entry = catalog.get(0)
    assert entry is not None
    bare = replace(entry, stamp="")
    shop = "https://shop.example"
    assert urls_of(entry) == []
    for source, path, urls in [
        ("/photos", "a.png", []),
        ("/photos", f"{shop}/a.png?x=1", [f"{shop}/a.png?x=1"]),
        (f"{shop}/photos/", "a b.png",
         [f"{shop}/photos/a%20b.png", f"{shop}/photos/data/a%20b.png"]),
        (f"{shop}/g/gallery.csv?key=1", "1.png", [f"{shop}/g/1.png", f"{shop}/g/data/1.png"]),
        (shop, "../secret", []),
        (shop, "", []),
        (f"{shop}/photos.zip", "1.png", []),
        (f"{shop}/photos.parquet", "photos.parquet#1", []),
        (f"{shop}/photos.lance", "photos.lance#1", []),
    ]:  # fmt: skip
        assert urls_of(replace(bare, source=source, path=path)) == urls, (source, path)
    # The name beside the bytes in a column may look like one.
    assert urls_of(replace(entry, path=f"{shop}/a.png", stamp="1 2 image 3")) == []
