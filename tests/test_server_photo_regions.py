"""Photos put into a catalogue with regions over HTTP, by a real server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx2", reason="needs the extra client")

import httpx2
from conftest import picture
from PIL import Image
from server_process import serving

from shoplens import Entry, load_encoder, open_catalog
from shoplens.catalog.indexing import index

UPLOADED = 9


def scene(number: int) -> Image.Image:
    """Draw a thing at the left of a plain photo."""
    image = Image.new("RGB", (200, 120), "white")
    image.paste(picture(number), (10, 30))
    return image


def file_of(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    photos = folder / "photos"
    photos.mkdir()
    for number in range(3):
        scene(number).save(photos / f"{number}.png")
    index(photos, folder / "catalog", regions=2, cache=False)
    return folder / "catalog"


@pytest.fixture(scope="module")
def server(catalog: Path) -> Iterator[httpx2.Client]:
    with (
        serving("--catalog", catalog) as process,
        httpx2.Client(base_url=process.url, timeout=60) as client,
    ):
        yield client


def put(server: httpx2.Client, photo_id: int, image: Image.Image, **fields: str) -> None:
    answer = server.put(
        f"/v1/catalog/photos/{photo_id}", data=fields, files={"photo": file_of(image)}
    )
    assert (answer.status_code, answer.json()["n_added"]) == (200, 1), answer.text


def stored(catalog: Path, photo_id: int) -> Entry:
    with open_catalog(catalog, read_only=True) as opened:
        entry = opened.get(photo_id)
    assert entry is not None
    return entry


def test_an_upload_has_the_regions_that_index_gives_it(
    server: httpx2.Client, catalog: Path, tmp_path: Path
) -> None:
    put(server, UPLOADED, scene(UPLOADED))
    found = stored(catalog, UPLOADED).regions
    assert found is not None
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / "photo.png").write_bytes(file_of(scene(UPLOADED)))
    index(tmp_path / "same", tmp_path / "catalog", regions=2, cache=False)
    with open_catalog(tmp_path / "catalog") as opened:
        [expected] = opened.entries()
    assert expected.regions is not None
    assert (found.limit, found.boxes) == (2, expected.regions.boxes)
    assert len(found.boxes) == 2
    np.testing.assert_allclose(found.vectors, expected.regions.vectors, atol=1e-5)


def test_a_search_finds_an_upload_by_its_region(server: httpx2.Client, catalog: Path) -> None:
    put(server, 20, scene(20))
    answer = server.post("/v1/search", files={"photo": file_of(picture(20))}).json()
    hit = next(hit for hit in answer["hits"] if hit["photo_id"] == 20)
    regions = stored(catalog, 20).regions
    assert regions is not None
    assert hit["region"] in [str(box) for box in regions.boxes]


def test_an_upload_with_a_box_is_not_divided(server: httpx2.Client, catalog: Path) -> None:
    put(server, 30, scene(30), box="10,30,64,48")
    entry = stored(catalog, 30)
    assert entry.box is not None
    assert entry.regions is not None
    assert (entry.regions.limit, entry.regions.boxes) == (2, ())
    assert entry.regions.vectors.shape == (0, load_encoder().dimension)
