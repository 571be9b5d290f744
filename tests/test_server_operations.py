"""What docs/deployment.md promises of a service that is looked after while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx2", reason="needs the extra client")

from made_shops import make_shop, png
from server_process import serving

from shoplens import load_encoder, open_catalog
from shoplens.catalog import migrate, restore
from shoplens.client import Client, SearchResponse
from shoplens.errors import ServiceError
from shoplens.models import DEFAULT_MODEL
from shoplens.server.keys import create_key, revoke_key

OTHER_MODEL = "lite0-products-int8"


@contextmanager
def searching(url: str) -> Iterator[list[SearchResponse]]:
    """Search all the time, and keep what is found; an error fails the test."""
    found: list[SearchResponse] = []
    errors: list[Exception] = []
    begun, ended = threading.Event(), threading.Event()

    def search() -> None:
        with Client(url, retries=0) as client:
            while not ended.is_set():
                try:
                    found.append(client.search(png(3), k=1))
                except ServiceError as error:
                    errors.append(error)
                    return
                finally:
                    begun.set()

    thread = threading.Thread(target=search)
    thread.start()
    try:
        begun.wait()
        yield found
    finally:
        ended.set()
        thread.join()
    assert errors == []


def test_the_model_is_changed_while_searches_go_on(tmp_path: Path) -> None:
    catalog = make_shop(tmp_path)
    encoder = load_encoder(OTHER_MODEL)
    with serving("--catalog", catalog) as server:
        with searching(server.url) as found:
            with open_catalog(catalog) as opened:
                migrate(opened, encoder)
            for _ in range(600):
                if found[-1].model_name == OTHER_MODEL:
                    break
                time.sleep(0.1)
        assert {response[0].photo_id for response in found} == {3}
        assert {response.model_name for response in found} == {DEFAULT_MODEL, OTHER_MODEL}
        assert server.stop() == 0


def test_a_backup_is_made_while_photos_are_put_in(tmp_path: Path) -> None:
    catalog = make_shop(tmp_path)
    with serving("--catalog", catalog) as server, Client(server.url) as client:
        client.put_photo("before", png(50))
        with open_catalog(catalog, read_only=True) as opened:
            opened.backup(tmp_path / "shop.backup")
        client.put_photo("after", png(51))
        assert client.stats().n_photos == 9
    restore(tmp_path / "shop.backup", tmp_path / "restored")
    with open_catalog(tmp_path / "restored", read_only=True) as again:
        assert again.verify().ok
        assert again.count() == 8
        assert again.get("after") is None
        assert again.search(png(50), k=1)[0].photo_id == "before"


def test_keys_come_and_go_without_a_restart(tmp_path: Path) -> None:
    catalog, file = make_shop(tmp_path), tmp_path / "keys.json"
    old = create_key(file, "search")
    with serving("--catalog", catalog, "--keys", file) as server:
        with Client(server.url, key=old.text) as client:
            assert client.search(photo_id=1, k=1)
            new = create_key(file, "search")
            revoke_key(file, old.key.id)
            with pytest.raises(ServiceError, match="no_key"):
                client.search(photo_id=1)
        with Client(server.url, key=new.text) as client:
            assert client.search(photo_id=1, k=1)
