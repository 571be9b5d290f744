"""What the page says when a server is away, busy, or wants a key."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

from conftest import Visiting
from playwright.sync_api import expect
from server_process import ServerProcess, serving

SHOPLENS = (sys.executable, "-m", "shoplens")


def test_a_server_that_went_away_and_came_back(visit: Visiting, shop: Path, photo: Path) -> None:
    with serving("--catalog", shop, "--read-only") as first:
        seen = visit(first)
        seen.search(photo)
        port = first.url.rsplit(":", 1)[1]
        first.stop()
        seen.page.get_by_label("Photos").check(force=True)
        expect(seen.page.get_by_role("alert")).to_contain_text("The server cannot be reached")
        expect(seen.page.get_by_role("alert")).to_contain_text("Trying again in")
    # The later --port counts.
    with serving("--catalog", shop, "--read-only", "--port", port):
        seen.page.locator("ol.grid .card").first.wait_for()
        seen.expect_complaint("net::ERR_")
        # The new server does not have the photo that the first one kept: the page sends it again.
        seen.expect_complaint("404")


def test_a_server_that_admits_few_requests(
    visit: Visiting, shop: Path, photo: Path, tmp_path: Path
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("rate = 60\n")
    with serving("--catalog", shop, "--read-only", "--config", config) as slow:
        seen = visit(slow)
        seen.search(photo)
        # A request is allowed again every second: others take it, or now and then the page.
        seen.page.evaluate(
            "async () => {"
            " window.others = true;"
            " const ask = () => fetch('/v1/search', { method: 'POST' });"
            " while ((await ask()).status !== 429);"
            " (async () => { while (window.others) await ask() })() }"
        )
        busy = seen.page.get_by_role("alert")
        for shown in itertools.cycle(["Photos", "Products"]):
            seen.page.get_by_label(shown, exact=True).check(force=True)
            seen.settled()
            if busy.count():
                break
        expect(busy).to_contain_text("The server is busy")
        seen.page.evaluate("window.others = false")
        # It asks again by itself.
        expect(busy).to_have_count(0)
        seen.page.locator("ol.grid .card").first.wait_for()
        seen.expect_complaint("429")
        seen.expect_complaint("415")


def test_a_server_that_wants_a_key(
    visit: Visiting, shop: Path, photo: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    made = subprocess.run(
        [*SHOPLENS, "keys", "create", "--file", keys, "--scope", "search", "--json", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    key = json.loads(made.stdout)["key"]
    with serving("--catalog", shop, "--keys", keys) as locked:
        seen = visit(locked)
        alert = seen.page.get_by_role("alert").first
        expect(alert).to_contain_text("An API key is needed")
        alert.get_by_label("API key").fill("sl_wrong")
        alert.get_by_role("button", name="Use").click()
        expect(alert).to_contain_text("The server does not know this key.")
        # What was given before the key is searched for with it.
        seen.give(photo, "paste")
        expect(seen.page.locator(".home")).to_have_count(0)
        alert.get_by_label("API key").fill(key)
        alert.get_by_role("button", name="Use").click()
        card = seen.page.locator("ol.grid .card").first
        card.wait_for()
        # An img sends no key: the page fetches the pictures.
        expect(card.locator("img").first).to_have_attribute("src", re.compile("^blob:"))
        seen.expect_complaint("401")
        # The key is forgotten with the tab, unless the user keeps it.
        assert seen.page.evaluate("localStorage.getItem('shoplens.key')") is None


def test_an_empty_catalogue(visit: Visiting, tmp_path: Path) -> None:
    import shoplens

    shoplens.open_catalog(str(tmp_path / "empty"), create=True).close()
    with serving("--catalog", tmp_path / "empty") as empty:
        seen = visit(empty)
        expect(seen.page.get_by_role("heading", name="This catalogue is empty")).to_be_visible()


def test_a_photo_of_the_catalogue_that_is_not_there(visit: Visiting, server: ServerProcess) -> None:
    seen = visit(server, path="/#/search?photo_id=404")
    expect(seen.page.get_by_role("alert")).to_contain_text("There is no photo 404")
    seen.expect_complaint("404")
