"""How a photo comes to the page, and which are refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import PHONE, Visit, Visiting
from PIL import Image
from playwright.sync_api import Request, expect
from server_process import ServerProcess, serving

from shoplens.server.kept_photos import MOST_BYTES


def test_a_chosen_photo_is_found(
    visit: Visiting, server: ServerProcess, gallery_photo: Path
) -> None:
    seen = visit(server)
    seen.search(gallery_photo)
    seen.page.locator(".surface").press("Escape")
    seen.settled()
    assert seen.titles()[0] == "Table fan"
    assert len(seen.titles()) == 20


def test_a_pasted_photo_is_found(visit: Visiting, server: ServerProcess, photo: Path) -> None:
    seen = visit(server)
    seen.give(photo, "paste")
    seen.page.locator("ol.grid .card").first.wait_for()


def test_a_dropped_photo_is_found(visit: Visiting, server: ServerProcess, photo: Path) -> None:
    seen = visit(server)
    seen.give(photo, "dragover")
    expect(seen.page.get_by_text("Drop the photo to search with it")).to_be_visible()
    seen.give(photo, "drop")
    seen.page.locator("ol.grid .card").first.wait_for()
    expect(seen.page.get_by_text("Drop the photo")).to_have_count(0)


def test_a_phone_offers_its_camera(visit: Visiting, server: ServerProcess, photo: Path) -> None:
    seen = visit(server, size=PHONE)
    with seen.page.expect_file_chooser() as chooser:
        seen.page.get_by_role("button", name="Take a photo").tap()
    chooser.value.set_files(photo)
    seen.page.locator("ol.grid .card").first.wait_for()


def test_a_desktop_offers_no_camera(visit: Visiting, server: ServerProcess) -> None:
    seen = visit(server)
    expect(seen.page.get_by_role("button", name="Take a photo")).to_have_count(0)


def test_a_sideways_photo_is_shown_upright(
    visit: Visiting, server: ServerProcess, photo: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = tmp_path / "turned.jpg"
    Image.open(photo).save(turned, exif=exif)
    seen = visit(server)
    seen.search(turned)
    legend = seen.page.locator(".numbers legend")
    expect(legend).to_contain_text("of 320 \N{MULTIPLICATION SIGN} 240")


def test_a_heic_photo_is_shown_and_found(
    visit: Visiting, server: ServerProcess, gallery_photo: Path, tmp_path: Path
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    heic = tmp_path / "photo.heic"
    pillow_heif.from_pillow(Image.open(gallery_photo)).save(heic, quality=90)
    seen = visit(server)
    with seen.page.expect_response("**/v1/preview") as preview:
        seen.search(heic)
    assert preview.value.status == 200
    seen.page.locator(".surface").press("Escape")
    seen.settled()
    assert seen.titles()[0] == "Table fan"
    shown = seen.page.locator(".stage > img")
    assert shown.evaluate("(image) => image.naturalWidth") == 288


def test_a_file_that_is_no_photo_is_refused(
    visit: Visiting, server: ServerProcess, photo: Path, tmp_path: Path
) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("These are notes.")
    seen = visit(server)
    seen.choose(text)
    expect(seen.page.get_by_role("alert")).to_be_visible()
    seen.expect_complaint("422")
    # Another photo can be chosen at once.
    seen.page.locator("input[type=file]").last.set_input_files(photo)
    seen.page.locator("ol.grid .card").first.wait_for()


def test_a_photo_that_is_too_large_is_not_even_sent(
    visit: Visiting, shop: Path, tmp_path: Path
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("max_upload_bytes = 20000\n")
    buffer = io.BytesIO()
    Image.effect_noise((400, 400), 90).save(buffer, "PNG")
    large = tmp_path / "large.png"
    large.write_bytes(buffer.getvalue())
    with serving("--catalog", shop, "--config", config) as small:
        seen = visit(small)
        sent = []
        seen.page.on("request", lambda request: sent.append(request.method))
        seen.choose(large)
        expect(seen.page.get_by_role("alert")).to_contain_text("too large")
        assert "POST" not in sent


def followed(seen: Visit) -> list[Request]:
    """Return the requests that the page makes from now on; it grows."""
    asked: list[Request] = []

    def note(request: Request) -> None:
        asked.append(request)

    seen.page.on("request", note)
    return asked


def by_token(asked: list[Request]) -> list[bool]:
    """Return for each search whether it named the photo by a token instead of sending it."""
    searches = [one for one in asked if urlsplit(one.url).path == "/v1/search"]
    return [b"photo_token" in (one.post_data_buffer or b"") for one in searches]


def move(seen: Visit) -> None:
    """Move the box a little, and wait for what is found."""
    seen.page.locator(".surface").focus()
    with seen.page.expect_response("**/v1/search"):
        seen.page.keyboard.press("Shift+ArrowLeft")
    seen.settled()


def test_a_photo_is_sent_once_for_all_boxes(
    visit: Visiting, server: ServerProcess, photo: Path
) -> None:
    seen = visit(server)
    asked = followed(seen)
    seen.search(photo)
    move(seen)
    move(seen)
    searches = by_token(asked)
    assert len(searches) >= 3
    assert all(searches)


def crowd_out(seen: Visit, photo: Path) -> None:
    """Let the server keep other photos until it has no memory for earlier ones."""
    padded = photo.read_bytes().ljust(16_000_000, b"\0")
    for _ in range(MOST_BYTES // len(padded) + 1):
        form: Any = {
            "photo": {"name": photo.name, "mimeType": "image/jpeg", "buffer": padded},
            "keep": "true",
        }
        answer = seen.page.request.post(f"{seen.url}/v1/boxes", multipart=form)
        assert answer.json()["photo_token"]


def test_a_photo_that_the_server_forgot_is_sent_again(
    visit: Visiting, server: ServerProcess, photo: Path
) -> None:
    seen = visit(server)
    seen.search(photo)
    crowd_out(seen, photo)
    asked = followed(seen)
    before = seen.titles()
    move(seen)
    seen.settled()
    assert by_token(asked) == [True, False]
    assert seen.titles()
    assert len(before) == len(seen.titles())
    seen.expect_complaint("404")
    move(seen)
    assert by_token(asked) == [True, False, False]
