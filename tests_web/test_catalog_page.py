"""The page of the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import Visiting
from playwright.sync_api import expect
from server_process import ServerProcess, serving


def test_photos_are_listed_page_by_page(visit: Visiting, server: ServerProcess) -> None:
    seen = visit(server, path="/#/catalog")
    expect(seen.page.locator("#photos-title")).to_have_text("40 photos")
    expect(seen.page.locator("ul.grid .card")).to_have_count(40)
    seen.page.get_by_role("checkbox", name=re.compile("^fan")).check()
    expect(seen.page.locator("#photos-title")).to_have_text("4 photos")


def test_a_server_for_reading_only_offers_no_changes(
    visit: Visiting, server: ServerProcess
) -> None:
    seen = visit(server, path="/#/catalog")
    expect(seen.page.get_by_text("This server does not change its catalogue.")).to_be_visible()
    expect(seen.page.get_by_role("button", name="Add a photo")).to_have_count(0)
    expect(seen.page.locator(".card input")).to_have_count(0)


def test_a_photo_is_added_found_and_removed(visit: Visiting, own_shop: Path, photo: Path) -> None:
    with serving("--catalog", own_shop) as running:
        seen = visit(running, path="/#/catalog")
        page = seen.page
        page.get_by_role("button", name="Add a photo").click()
        dialog = page.get_by_role("dialog")
        dialog.locator("input[type=file]").set_input_files(photo)
        expect(dialog.get_by_label("Photo id")).to_have_value(photo.name)
        dialog.get_by_label("Product id").fill("new fan")
        dialog.get_by_label("Title").fill("A new fan")
        dialog.get_by_label("Price").fill("12.5")
        dialog.get_by_label("In stock").select_option("yes")
        dialog.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_text(f"Added {photo.name}")).to_be_visible()
        expect(page.locator("#photos-title")).to_have_text("41 photos")

        page.goto(running.url + "/#/")
        seen.search(photo)
        page.locator(".surface").press("Escape")
        seen.settled()
        assert seen.titles()[0] == "A new fan"

        page.goto(running.url + "/#/catalog?where=price+%3D+12.5")
        page.get_by_role("checkbox", name=re.compile("^A new fan")).check()
        page.get_by_role("button", name="Remove 1").click()
        dialog.get_by_role("button", name="Cancel").click()
        expect(page.locator("#photos-title")).to_have_text("1 photo")
        page.get_by_role("button", name="Remove 1").click()
        dialog.get_by_role("button", name="Remove", exact=True).click()
        expect(page.get_by_text("1 photo removed")).to_be_visible()
        expect(page.get_by_role("heading", name="No photo passes the filter")).to_be_visible()


def test_a_photo_that_cannot_be_added(visit: Visiting, own_shop: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    with serving("--catalog", own_shop) as running:
        seen = visit(running, path="/#/catalog")
        seen.page.get_by_role("button", name="Add a photo").click()
        dialog = seen.page.get_by_role("dialog")
        dialog.locator("input[type=file]").set_input_files(broken)
        dialog.get_by_role("button", name="Add", exact=True).click()
        expect(dialog.get_by_role("alert")).to_be_visible()
        seen.expect_complaint("422")


def test_failures_are_listed(visit: Visiting, tmp_path: Path, photo: Path) -> None:
    import shoplens

    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "fine.jpg").write_bytes(photo.read_bytes())
    (photos / "cut.jpg").write_bytes(photo.read_bytes()[:2000])
    shoplens.index(photos, str(tmp_path / "catalog"))
    with serving("--catalog", tmp_path / "catalog") as running:
        seen = visit(running, path="/#/catalog")
        seen.page.get_by_text("Photos that failed").click()
        expect(seen.page.locator(".failures li")).to_contain_text("cut.jpg")


def test_details_and_search_with_a_photo(visit: Visiting, server: ServerProcess) -> None:
    seen = visit(server, path="/#/catalog")
    seen.page.get_by_role("button", name=re.compile("^Details: Table fan")).first.click()
    seen.page.get_by_role("dialog").get_by_role("link", name="Search with this photo").click()
    seen.page.locator("ol.grid .card").first.wait_for()
    assert seen.titles()[0] == "Table fan"
