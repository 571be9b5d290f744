"""The catalogue's photos and small pictures over HTTP."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from made_shops import make_shop, png, serving
from PIL import Image
from starlette.testclient import TestClient

from shoplens import open_catalog
from shoplens.catalog.indexing import index
from shoplens.server import originals
from shoplens.server.originals import StoredPhotos, ThumbnailCache, media_type_of


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with photos of all kinds, which no test changes."""
    folder = tmp_path_factory.mktemp("shelf")
    make_shop(folder, 3)
    kinds = folder / "kinds"
    kinds.mkdir()
    for name, options in {
        "a.jpg": {}, "a.webp": {}, "a.gif": {}, "a.bmp": {}, "a.tif": {}, "a.avif": {},
    }.items():  # fmt: skip
        picture(5, (120, 80)).save(kinds / name, **options)
    turned = picture(6, (120, 80))
    exif = turned.getexif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    turned.save(kinds / "turned.jpg", exif=exif)
    index(kinds, folder / "catalog")
    with zipfile.ZipFile(folder / "shop.zip", "w") as archive:
        archive.writestr("in/side.png", png(8))
    index(folder / "shop.zip", folder / "catalog")
    return folder


@pytest.fixture(scope="module")
def client(shelf: Path) -> Iterator[TestClient]:
    with serving(shelf / "catalog") as client:
        yield client


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.jpg", "image/jpeg"),
        ("a.webp", "image/webp"),
        ("a.gif", "image/gif"),
        ("a.bmp", "image/bmp"),
        ("a.tif", "image/tiff"),
        ("a.avif", "image/avif"),
    ],
)
def test_a_photo_is_sent_as_it_is(
    client: TestClient, shelf: Path, name: str, media_type: str
) -> None:
    sent = client.get(f"/v1/photos/{name}")
    assert sent.content == (shelf / "kinds" / name).read_bytes()
    assert sent.headers["content-type"] == media_type
    assert sent.headers["x-content-type-options"] == "nosniff"
    assert sent.headers["content-disposition"] == "inline"
    assert sent.headers["cache-control"].startswith("private")
    assert client.get(f"/v1/thumbnails/{name}?size=32").headers["content-type"] == "image/jpeg"


def test_a_photo_in_an_archive(client: TestClient) -> None:
    assert client.get("/v1/photos/in%2Fside.png").content == png(8)
    assert client.get("/v1/thumbnails/in%2Fside.png").status_code == 200


def test_a_thumbnail_is_upright_small_and_tells_nothing(client: TestClient) -> None:
    small = client.get("/v1/thumbnails/turned.jpg", params={"size": 60})
    image = Image.open(io.BytesIO(small.content))
    assert (image.format, image.size, dict(image.getexif())) == ("JPEG", (40, 60), {})
    expected = picture(6, (120, 80)).transpose(Image.Transpose.ROTATE_270).resize((40, 60))
    difference = np.abs(np.asarray(image, np.int16) - np.asarray(expected, np.int16))
    assert difference.mean() < 6
    assert Image.open(io.BytesIO(client.get("/v1/thumbnails/0").content)).size == (64, 48)


@pytest.mark.parametrize("path", ["/v1/photos/1", "/v1/thumbnails/1", "/v1/thumbnails/1?size=16"])
def test_what_the_client_has_is_not_sent_again(client: TestClient, path: str) -> None:
    first = client.get(path)
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == first.headers["cache-control"]
    for unknown in ("", '"x"', tag.strip('"')):
        assert client.get(path, headers={"If-None-Match": unknown}).status_code == 200


@pytest.mark.parametrize("size", ["15", "1025", "0", "-1", "x", "1e2", ""])
def test_sizes_that_there_are_not(client: TestClient, size: str) -> None:
    refused = client.get("/v1/thumbnails/1", params={"size": size})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "photo_id",
    [
        "none", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "a.jpg%00", "..", "../catalog.sqlite",
        "..%5C..%5Cx", "%252e%252e%252f", "a.jpg/", "kinds%2Fa.jpg", "%0A", "file:%2F%2F%2Fetc",
        "a.JPG", "0.png", "gallery.csv", "-0", "00", "+1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["photos", "thumbnails"])
def test_an_id_is_no_path(client: TestClient, shelf: Path, kind: str, photo_id: str) -> None:
    refused = client.get(f"/v1/{kind}/{photo_id}")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert str(shelf) not in refused.text


def test_what_is_no_photo_is_never_sent(tmp_path: Path) -> None:
    make_shop(tmp_path, 2)
    (tmp_path / "photos" / "page.html").write_text("<script>alert(1)</script>")
    (tmp_path / "photos" / "drawing.svg").write_text("<svg/>")
    (tmp_path / "secret").write_text("secret")
    with open_catalog(tmp_path / "catalog") as catalog:
        entry = catalog.get(0)
        assert entry is not None
        for number, (source, path) in enumerate(
            [
                (entry.source, "page.html"),
                (entry.source, "drawing.svg"),
                (entry.source, "../secret"),
                (entry.source, "gallery.csv"),
                (str(tmp_path), "secret"),
                (str(tmp_path), "catalog"),
                ("/", "etc/passwd"),
                ("/proc/self", "environ"),
                ("/dev", "zero"),
                ("", "photos/0.png"),
                ("relative", "0.png"),
                ("http://127.0.0.1:9", "0.png"),
                (entry.source, "http://127.0.0.1:9/0.png"),
                (entry.source, ""),
                (entry.source, "\0"),
                (f"{entry.source}/0.png", "0.png"),
            ]
        ):
            catalog.upsert([replace(entry, photo_id=f"bad{number}", source=source, path=path)])
    with serving(tmp_path / "catalog") as client:
        for number in range(16):
            for kind in ("photos", "thumbnails"):
                refused = client.get(f"/v1/{kind}/bad{number}")
                assert (refused.status_code, refused.json()["code"]) == (404, "not_found"), number
                assert "secret" not in refused.text
                assert str(tmp_path) not in refused.text
        assert client.get("/v1/photos/0").status_code == 200


def test_a_photo_that_is_damaged_by_now(tmp_path: Path) -> None:
    make_shop(tmp_path, 2)
    path = tmp_path / "photos" / "0.png"
    path.write_bytes(path.read_bytes()[:100])
    with serving(tmp_path / "catalog") as client:
        assert client.get("/v1/photos/0").status_code == 200
        refused = client.get("/v1/thumbnails/0")
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


def test_a_source_that_was_away_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shop(tmp_path, 1)
    away = (tmp_path / "photos").rename(tmp_path / "away")
    monkeypatch.setattr(originals, "_AGAIN_SECONDS", 0.0)
    with serving(tmp_path / "catalog") as client:
        assert client.get("/v1/photos/0").status_code == 404
        away.rename(tmp_path / "photos")
        assert client.get("/v1/photos/0").status_code == 200


def test_a_source_that_is_away_is_not_looked_for_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shop(tmp_path, 1)
    with open_catalog(tmp_path / "catalog", read_only=True) as catalog:
        entry = catalog.get(0)
    assert entry is not None
    photos = StoredPhotos()
    before = photos._found()
    for _ in range(3):
        with pytest.raises(originals.Problem):
            photos.find(replace(entry, source=str(tmp_path / "none")))
    assert photos._found() is before


def test_files_that_are_too_large_are_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shop(tmp_path, 1)
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        archive.writestr("side.png", png(8))
    index(tmp_path / "shop.zip", tmp_path / "catalog")
    monkeypatch.setattr(originals, "MAX_BYTES", 100)
    with serving(tmp_path / "catalog") as client:
        for path in ("/v1/photos/side.png", "/v1/thumbnails/0"):
            refused = client.get(path)
            assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
            assert "too large" in refused.json()["detail"]
        assert client.get("/v1/photos/0").status_code == 200


def test_a_small_picture_is_made_once(tmp_path: Path) -> None:
    make_shop(tmp_path, 1)
    with serving(tmp_path / "catalog") as client:
        first = client.get("/v1/thumbnails/0").content
        (tmp_path / "photos" / "0.png").unlink()
        assert client.get("/v1/thumbnails/0").content == first
        assert client.get("/v1/thumbnails/0?size=17").status_code == 404
        # The photo of an id that was replaced is another one.
        client.put("/v1/catalog/photos/0", files={"photo": png(9)})
        assert client.get("/v1/thumbnails/0").content != first


def test_the_memory_for_small_pictures_is_bounded() -> None:
    cache = ThumbnailCache(most_bytes=1000)
    for number in range(100):
        cache.put(number, bytes(99))
        assert cache.get(0) is not None
    assert cache.n_bytes == 990
    assert cache.get(50) is None
    cache.put(0, bytes(10))
    assert cache.n_bytes == 901
    cache.put("huge", bytes(2000))
    assert (cache.n_bytes, cache.get("huge")) == (0, None)


@pytest.mark.parametrize(
    "head",
    [
        b"", b"<html>", b"%PDF-1.7", b"GIF88a", b"BM", b"BMnot zero", b"RIFF\0\0\0\0WAVE",
        b"\0\0\0\x18ftypmp42", b"\0\0\0\x18ftypqt  ", b"MZ", b"PK\x03\x04", b" \xff\xd8\xff",
    ],
)  # fmt: skip
def test_other_files_have_no_type(head: bytes) -> None:
    assert media_type_of(head) is None


def test_a_file_that_was_replaced_has_another_tag(tmp_path: Path) -> None:
    make_shop(tmp_path, 1)
    with serving(tmp_path / "catalog") as client:
        tag = client.get("/v1/photos/0").headers["etag"]
        (tmp_path / "photos" / "0.png").write_bytes(png(44))
        again = client.get("/v1/photos/0", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (200, png(44))


def test_a_large_photo_is_sent_whole(tmp_path: Path) -> None:
    make_shop(tmp_path, 1)
    data = png(3) + bytes(3_000_000)
    (tmp_path / "photos" / "0.png").write_bytes(data)
    with serving(tmp_path / "catalog") as client:
        sent = client.get("/v1/photos/0")
        assert sent.content == data
        assert sent.headers["content-length"] == str(len(data))
