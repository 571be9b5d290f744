from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from PIL import Image

import shoplens

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from shoplens.server.application import create_app
from shoplens.server.settings import ServerSettings

TURNED = 6
"""The EXIF orientation of a photo whose top is on the right."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    uri = str(tmp_path_factory.mktemp("catalog") / "empty")
    shoplens.open_catalog(uri, create=True).close()
    settings = ServerSettings(catalog=uri, decoders=1, embedders=1)
    with TestClient(create_app(settings), base_url="http://localhost") as opened:
        yield opened


def preview(client: TestClient, data: bytes) -> Image.Image:
    answer = client.post("/v1/preview", files={"photo": ("photo", data)})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return Image.open(io.BytesIO(answer.content))


def photo(size: tuple[int, int], kind: str, **saving: object) -> bytes:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", size, "red")
    picture.paste("blue", (size[0] // 2, 0, *size))
    buffer = io.BytesIO()
    picture.save(buffer, kind, **saving)
    return buffer.getvalue()


def test_a_preview_is_upright(client: TestClient) -> None:
    exif = Image.Exif()
    exif[0x0112] = TURNED
    shown = preview(client, photo((80, 40), "JPEG", exif=exif))
    assert shown.size == (40, 80)
    red, _, blue = shown.getpixel((20, 5))
    assert red > 200
    assert blue < 60
    assert not shown.getexif()


def test_a_large_photo_is_shown_with_1600_pixels(client: TestClient) -> None:
    assert preview(client, photo((2000, 1000), "PNG")).size == (1600, 800)


def test_a_heic_photo_is_shown(client: TestClient) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(photo((80, 40), "PNG")))
    pillow_heif.from_pillow(picture).save(buffer)
    assert preview(client, buffer.getvalue()).size == (80, 40)


def test_what_is_no_photo_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/preview", files={"photo": ("photo.jpg", b"not a photo")})
    assert answer.status_code == 422
    assert answer.json()["code"] == "unsupported_photo"


def test_the_photo_must_be_there(client: TestClient) -> None:
    answer = client.post("/v1/preview", files={"picture": ("photo.jpg", b"x")})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "picture: only photo is a file, a part with a name"
