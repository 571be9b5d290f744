"""What this browser remembers, and links that restore a search."""

from __future__ import annotations

from pathlib import Path

from conftest import Visit, Visiting
from playwright.sync_api import expect
from server_process import ServerProcess


def searched(visit: Visiting, server: ServerProcess, photo: Path) -> Visit:
    seen = visit(server)
    seen.search(photo)
    field = seen.page.get_by_label("Filter as text")
    field.fill("price < 150")
    field.press("Enter")
    seen.settled()
    seen.remembered()
    return seen


def test_a_link_restores_a_search(visit: Visiting, server: ServerProcess, photo: Path) -> None:
    seen = searched(visit, server, photo)
    titles, link = seen.titles(), seen.page.url
    seen.page.goto(server.url + "/")
    seen.page.reload()
    seen.page.goto(link)
    seen.page.locator("ol.grid .card").first.wait_for()
    seen.settled()
    assert seen.titles() == titles
    expect(seen.page.get_by_label("Filter as text")).to_have_value("price < 150")
    assert seen.page.url == link


def test_elsewhere_a_link_says_what_is_missing(
    visit: Visiting, server: ServerProcess, photo: Path
) -> None:
    first = searched(visit, server, photo)
    titles = first.titles()
    other = visit(server, path="/" + first.page.url.removeprefix(server.url + "/"))
    expect(
        other.page.get_by_role("heading", name="This photo is not on this device")
    ).to_be_visible()
    other.choose(photo)
    other.page.locator("ol.grid .card").first.wait_for()
    other.settled()
    assert set(other.titles()) == set(titles)


def test_a_link_to_a_photo_of_the_catalogue_works_anywhere(
    visit: Visiting, server: ServerProcess
) -> None:
    seen = visit(server, path="/#/search?photo_id=523649418&group=none")
    seen.page.locator("ol.grid .card").first.wait_for()
    assert seen.titles()[0] == "Table fan"


def test_history_is_kept_and_forgotten(
    visit: Visiting, server: ServerProcess, photo: Path, gallery_photo: Path
) -> None:
    seen = searched(visit, server, photo)
    seen.search(gallery_photo)
    seen.remembered()
    seen.page.goto(server.url + "/")
    seen.page.reload()
    expect(seen.page.get_by_role("heading", name="Your searches")).to_be_visible()
    seen.page.get_by_role("button", name="Your searches").click()
    dialog = seen.page.get_by_role("dialog")
    expect(dialog.locator("li")).to_have_count(2)
    dialog.get_by_role("link", name=photo.name).click()
    seen.page.locator("ol.grid .card").first.wait_for()
    seen.page.get_by_role("button", name="Your searches").click()
    dialog.get_by_role("button", name=f"Forget {gallery_photo.name}").click()
    expect(dialog.locator("li")).to_have_count(1)
    dialog.get_by_role("button", name="Forget all").click()
    expect(dialog).to_contain_text("There are none yet.")
    seen.page.goto(server.url + "/")
    seen.page.reload()
    expect(seen.page.get_by_role("heading", name="Your searches")).to_have_count(0)
