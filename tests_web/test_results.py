"""What was found, and what can be done with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Visit, Visiting
from playwright.sync_api import Locator, expect
from server_process import ServerProcess, serving


@pytest.fixture
def found(visit: Visiting, server: ServerProcess, gallery_photo: Path) -> Visit:
    seen = visit(server)
    seen.search(gallery_photo)
    seen.page.locator(".surface").press("Escape")
    seen.settled()
    return seen


def assert_shown(image: Locator) -> None:
    """Wait until a picture was loaded or could not be, and check that there is one."""
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("(one) => one.naturalWidth > 0")


def test_a_card_shows_what_is_known(found: Visit) -> None:
    card = found.page.locator("ol.grid .card").first
    expect(card).to_contain_text("Table fan")
    expect(card).to_contain_text("Category")
    expect(card).to_contain_text(re.compile(r"similarity 0\.\d\d"))
    assert_shown(card.locator("img").first)
    # The product has another photo.
    expect(card.locator(".views a")).to_have_count(1)


def test_the_number_of_results_is_announced(found: Visit) -> None:
    expect(found.page.get_by_role("status").filter(has_text="20 products found")).to_have_count(1)


def test_photos_instead_of_products(found: Visit) -> None:
    found.page.get_by_label("Photos").check(force=True)
    found.settled()
    expect(found.page.locator("#found-title")).to_have_text("20 photos")
    found.page.get_by_role("button", name="Show more").click()
    found.settled()
    expect(found.page.locator("#found-title")).to_have_text("40 photos")
    expect(found.page.get_by_role("button", name="Show more")).to_have_count(1)
    found.page.go_back()
    found.settled()
    expect(found.page.locator("#found-title")).to_have_text("20 products")


def test_a_result_is_searched_with(found: Visit) -> None:
    found.page.locator("ol.grid .card .shot").nth(1).click()
    found.page.wait_for_url("**/#/search?photo_id=*")
    found.settled()
    expect(found.page.get_by_text("from the catalogue")).to_be_visible()
    assert found.titles()
    # A photo is not among its own results, and a box can be drawn on it.
    found.page.get_by_role("button", name="Draw a box on it").click()
    found.page.locator(".surface").wait_for()
    found.settled()
    assert found.titles()


def test_details_of_a_result(found: Visit) -> None:
    opener = found.page.get_by_role("button", name="Details: Table fan").first
    opener.click()
    dialog = found.page.get_by_role("dialog")
    expect(dialog).to_contain_text("1504752807")
    photo = dialog.locator(".photo-sheet > .picture img")
    first = photo.get_attribute("src") or ""
    dialog.locator(".views button").nth(1).click()
    expect(photo).not_to_have_attribute("src", first)
    found.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()


def test_a_link_is_copied(found: Visit) -> None:
    found.context.grant_permissions(["clipboard-read", "clipboard-write"])
    # What the page says of it stays until it was read.
    found.page.evaluate("globalThis.setTimeout = () => 0")
    found.page.get_by_role("button", name="Copy a link to this search").click()
    expect(found.page.get_by_text("The link was copied")).to_have_count(1)
    assert found.page.evaluate("navigator.clipboard.readText()") == found.page.url


def test_the_time_and_the_kind_of_search_are_told(found: Visit) -> None:
    expect(found.page.locator(".found .soft").first).to_have_text(
        re.compile(r"\d+ ms · 40 photos compared exactly")
    )


def test_why_a_result_matches(found: Visit) -> None:
    found.page.get_by_role("button", name="Details: Table fan").first.click()
    dialog = found.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Why?").click()
    expect(dialog.get_by_text("Orange where the two photos match")).to_be_visible()
    expect(dialog.locator(".heat canvas")).to_have_count(2)
    for image in dialog.locator(".heat img").all():
        assert_shown(image)
    hottest = """(canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return Math.max(...data.filter((_, place) => place % 4 === 3));
    }"""
    for canvas in dialog.locator(".heat canvas").all():
        assert canvas.evaluate(hottest) == round(255 * 0.75)
    dialog.get_by_role("button", name="Show the photo").click()
    expect(dialog.locator(".heat")).to_have_count(0)


def test_why_a_result_matches_a_photo_of_the_catalogue(found: Visit) -> None:
    found.page.locator("ol.grid .card .shot").nth(1).click()
    found.page.wait_for_url("**/#/search?photo_id=*")
    found.settled()
    found.page.locator("ol.grid .card").first.get_by_role("button").first.click()
    dialog = found.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Why?").click()
    expect(dialog.locator(".heat canvas")).to_have_count(2)


def test_scores_of_a_search_that_was_re_ranked(visit: Visiting, shop: Path, photo: Path) -> None:
    with serving("--catalog", shop, "--read-only", "--rerank", "product-score") as reranking:
        seen = visit(reranking)
        seen.search(photo)
        expect(seen.page.get_by_text("re-ranked by product-score")).to_be_visible()
        card = seen.page.locator("ol.grid .card").first
        expect(card).to_contain_text(re.compile(r"score 0\.\d\d"))
        expect(card).not_to_contain_text("similarity")
        card.get_by_role("button", name="Details").click()
        expect(seen.page.get_by_role("dialog")).to_contain_text("Score")
