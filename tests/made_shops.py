"""Small shops for the tests of the service: photos on disk, indexed, and their application."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import picture
from starlette.testclient import TestClient

from shoplens.catalog.indexing import index
from shoplens.server.application import create_app
from shoplens.server.settings import ServerSettings

COLOURS = ("red", "green", "blue")
STRANGE_NAMES = ("deep/er/a b.png", "ü/100%.png", "x?y=z&.png", "dots../#1.png", "plus+.png")
"""Names of photos in a folder, which are their ids."""


def make_shop(folder: Path, n_photos: int = 7) -> Path:
    """Index n photos of a table, with ids 0 to n - 1, two of each product; return the catalogue."""
    source = folder / "photos"
    source.mkdir(parents=True)
    lines = ["seller_img_id,img_path,product_id,colour,price"]
    for number in range(n_photos):
        picture(number).save(source / f"{number}.png")
        colour = COLOURS[number % 3]
        lines.append(f"{number},{number}.png,p{number // 2},{colour},{10 * number}")
    (source / "gallery.csv").write_text("\n".join(lines) + "\n")
    index(source, folder / "catalog")
    return folder / "catalog"


def add_strange(folder: Path) -> Path:
    """Index photos with strange names as ids into the catalogue of `make_shop`; return their
    folder."""
    source = folder / "strange"
    for number, name in enumerate(STRANGE_NAMES):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(100 + number).save(path)
    index(source, folder / "catalog")
    return source


@contextmanager
def serving(catalog: Path, **settings: Any) -> Iterator[TestClient]:
    """Serve a catalogue in this process."""
    app = create_app(ServerSettings(catalog=str(catalog), **{"decoders": 1, **settings}))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def png(seed: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """Return a made photo as a file."""
    stream = io.BytesIO()
    picture(seed, size).save(stream, "PNG")
    return stream.getvalue()
