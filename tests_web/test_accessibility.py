"""No serious finding of axe in any state, theme or size; nothing is wider than the screen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import DESKTOP, SAMPLE, SMALL, Visit, Visiting
from playwright.sync_api import expect
from server_process import ServerProcess, serving

SERIOUS = {"serious", "critical"}


def home(seen: Visit, photo: Path) -> None:
    seen.page.locator(".strip .picture").first.wait_for()


def results(seen: Visit, photo: Path) -> None:
    seen.search(photo)


def unfolded(seen: Visit, photo: Path) -> None:
    seen.search(photo)
    for button in seen.page.locator(".fold > button").all():
        button.click()


def details(seen: Visit, photo: Path) -> None:
    seen.search(photo)
    seen.page.get_by_role("button", name="Details").first.click()
    seen.page.get_by_role("dialog").wait_for()


def history(seen: Visit, photo: Path) -> None:
    seen.search(photo)
    seen.page.get_by_role("button", name="Your searches").click()
    seen.page.get_by_role("dialog").locator("li").first.wait_for()


def settings(seen: Visit, photo: Path) -> None:
    seen.page.get_by_role("button", name="Settings").click()
    seen.page.get_by_role("dialog").wait_for()


def wrong_filter(seen: Visit, photo: Path) -> None:
    seen.page.goto(seen.url + "/#/search?photo_id=523649418&where=price+%3C")
    seen.page.get_by_role("alert").wait_for()
    for button in seen.page.locator(".fold > button").all():
        button.click()
    seen.expect_complaint("400")


def nothing(seen: Visit, photo: Path) -> None:
    seen.page.goto(seen.url + "/#/search?photo_id=523649418&where=price+%3C+0")
    seen.page.get_by_role("heading", name="Nothing was found").wait_for()


def missing(seen: Visit, photo: Path) -> None:
    seen.page.goto(seen.url + "/#/search?photo=0123456789abcdef")
    seen.page.get_by_role("heading", name="This photo is not on this device").wait_for()


def catalogue(seen: Visit, photo: Path) -> None:
    seen.page.goto(seen.url + "/#/catalog")
    seen.page.locator("ul.grid .card").first.wait_for()


def like_this(seen: Visit, photo: Path) -> None:
    seen.page.goto(seen.url + "/#/search?photo_id=523649418&group=none")
    seen.page.locator("ol.grid .card").first.wait_for()


def refused(seen: Visit, photo: Path) -> None:
    seen.choose(photo.parents[1] / "gallery.csv")
    seen.page.get_by_role("alert").wait_for()
    seen.expect_complaint("422")


def opening(seen: Visit, photo: Path) -> None:
    seen.page.route("**/v1/boxes", lambda route: None)
    seen.choose(photo)
    seen.page.get_by_text("Looking for products").wait_for()


STATES: list[Callable[[Visit, Path], None]] = [
    *(home, results, unfolded, details, history, settings),
    *(wrong_filter, nothing, missing, catalogue, like_this, refused, opening),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, SMALL], ids=["desktop", "360px"])
def test_axe(
    visit: Visiting,
    server: ServerProcess,
    photo: Path,
    state: Callable[[Visit, Path], None],
    scheme: str,
    size: tuple[int, int],
) -> None:
    seen = visit(server, size=size, color_scheme=scheme)
    state(seen, photo)
    assert serious(seen) == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_boxes_to_choose_fit_into_a_narrow_window(visit: Visiting, server: ServerProcess) -> None:
    seen = visit(server, size=(320, 740))
    seen.search(SAMPLE / "queries" / "85549505.jpg")
    # Five that are proposed, and the whole photo.
    expect(seen.page.locator(".crop")).to_have_count(6)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 320
    for choice in seen.page.locator(".crop").all():
        at = choice.bounding_box()
        assert at is not None
        assert at["x"] + at["width"] <= 320


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_where_changes_are_allowed_and_a_key_is_needed(
    visit: Visiting, shop: Path, photo: Path, tmp_path: Path, scheme: str
) -> None:
    keys = tmp_path / "keys.json"
    words = [sys.executable, "-m", "shoplens", "keys", "create", "--scope", "admin", "--json", "-"]
    made = subprocess.run(
        [*words, "--file", keys], capture_output=True, text=True, check=True
    ).stdout
    with serving("--catalog", shop, "--keys", keys) as locked:
        seen = visit(locked, size=SMALL, color_scheme=scheme)
        seen.page.get_by_label("API key").wait_for()
        assert serious(seen) == []
        seen.page.get_by_label("API key").fill(json.loads(made)["key"])
        seen.page.get_by_role("button", name="Use").click()
        catalogue(seen, photo)
        seen.page.get_by_text("Photos that failed").click()
        seen.page.get_by_text("None: every photo could be read.").wait_for()
        seen.page.locator(".card input").first.check()
        assert serious(seen) == []
        dialog = seen.page.get_by_role("dialog")
        seen.page.get_by_role("button", name="Remove 1").click()
        dialog.wait_for()
        assert serious(seen) == []
        seen.page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        seen.page.get_by_role("button", name="Add a photo").click()
        dialog.wait_for()
        assert serious(seen) == []
        seen.expect_complaint("401")


def serious(seen: Visit) -> list[tuple[str, str, list[str]]]:
    """Return what axe finds: the rule, how bad it is, and where."""
    return [
        (one["id"], one["impact"], [node["html"][:200] for node in one["nodes"]])
        for one in Axe().run(seen.page).response["violations"]
        if one["impact"] in SERIOUS
    ]


def test_the_theme_can_be_chosen(visit: Visiting, server: ServerProcess) -> None:
    seen = visit(server, color_scheme="light")
    seen.page.get_by_role("button", name="Settings").click()
    seen.page.get_by_label("Dark").check(force=True)
    seen.page.reload()
    expect(seen.page.locator("html")).to_have_attribute("data-theme", "dark")
