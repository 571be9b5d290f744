"""Filters: ticked values, ranges, and their text."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from conftest import PHONE, Visit, Visiting
from playwright.sync_api import Page, expect
from server_process import ServerProcess


@pytest.fixture
def found(visit: Visiting, server: ServerProcess, photo: Path) -> Visit:
    seen = visit(server)
    seen.search(photo)
    return seen


def where(page: Page) -> str:
    return parse_qs(page.evaluate("location.hash").split("?", 1)[1]).get("where", [""])[0]


def test_a_value_is_chosen_and_the_others_stay_to_be_chosen(found: Visit) -> None:
    page = found.page
    page.get_by_role("checkbox", name=re.compile("^fan")).check()
    found.settled()
    assert where(page) == 'category = "fan"'
    assert set(found.titles()) == {"Table fan", "Rigged fan"}
    page.get_by_role("button", name=re.compile("^Show all")).click()
    page.get_by_role("checkbox", name=re.compile("^plant")).check()
    found.settled()
    assert where(page) == 'category in ("fan", "plant")'
    assert set(found.titles()) == {"Table fan", "Rigged fan", "Plant"}
    page.get_by_role("checkbox", name=re.compile("^fan")).uncheck()
    found.settled()
    assert found.titles() == ["Plant"]


def test_a_range(found: Visit) -> None:
    page = found.page
    page.get_by_label("Price, from").fill("100")
    page.get_by_label("Price, to").fill("140.5")
    page.keyboard.press("Tab")
    found.settled()
    assert where(page) == "price >= 100 and price <= 140.5"
    expect(page.locator("#found-title")).to_have_text("4 products")


def test_the_text_says_what_is_chosen_and_the_other_way_round(found: Visit) -> None:
    page = found.page
    field = page.get_by_label("Filter as text")
    field.fill("price > 20 and category in ('chair', \"fan\")")
    field.press("Enter")
    found.settled()
    expect(page.get_by_role("checkbox", name=re.compile("^fan"))).to_be_checked()
    page.get_by_role("checkbox", name=re.compile("^chair")).uncheck()
    found.settled()
    assert where(page) == 'category = "fan" and price > 20'
    expect(field).to_have_value('category = "fan" and price > 20')


def test_an_alternative_is_kept_whole(found: Visit) -> None:
    page = found.page
    field = page.get_by_label("Filter as text")
    field.fill('category = "fan" or price < 30')
    field.press("Enter")
    found.settled()
    page.get_by_role("checkbox", name=re.compile("^yes")).check()
    found.settled()
    assert where(page) == 'in_stock = true and (category = "fan" or price < 30)'


def test_an_error_is_shown_where_it_is(found: Visit) -> None:
    page = found.page
    field = page.get_by_label("Filter as text")
    field.fill("price < 50 and category = shoes")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("put texts in quotes")
    expect(page.locator("mark").first).to_have_text("shoes")
    expect(field).to_have_attribute("aria-invalid", "true")
    found.expect_complaint("400")
    page.get_by_role("button", name="Clear").click()
    found.settled()
    assert found.titles()


def test_nothing_passes(found: Visit) -> None:
    page = found.page
    field = page.get_by_label("Filter as text")
    field.fill("price > 100000")
    field.press("Enter")
    expect(page.get_by_role("heading", name="Nothing was found")).to_be_visible()
    page.get_by_role("button", name="Remove the filter").click()
    found.settled()
    assert found.titles()


def test_filters_are_folded_on_a_phone(visit: Visiting, server: ServerProcess, photo: Path) -> None:
    seen = visit(server, size=PHONE)
    seen.search(photo)
    expect(seen.page.get_by_label("Filter as text")).to_have_count(0)
    seen.page.get_by_role("button", name="Filters").tap()
    seen.page.get_by_role("checkbox", name=re.compile("^fan")).tap()
    seen.settled()
    expect(seen.page.get_by_role("button", name="Filters (1)")).to_be_visible()
