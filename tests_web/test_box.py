"""The box: drawn, moved and resized by mouse, touch and keyboard, and in numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import PHONE, Visit, Visiting
from playwright.sync_api import Route, expect
from server_process import ServerProcess

WIDTH, HEIGHT = 240, 320  # of the photo


class Stage:
    """The photo on the screen."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self.page = visit.page

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a pixel of the photo is on the screen."""
        place = self.page.locator(".stage > img").bounding_box()
        assert place is not None
        scale = place["width"] / WIDTH
        return place["x"] + x * scale, place["y"] + y * scale

    @property
    def box(self) -> tuple[int, ...]:
        """The box in the number fields."""
        fields = self.page.locator(".numbers input")
        return tuple(int(fields.nth(i).input_value()) for i in range(4))

    def settled(self) -> None:
        """Wait until what is found is that of the box."""
        self._visit.settled()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag the mouse between two pixels of the photo."""
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*end), steps=6)
        self.page.mouse.up()

    def swipe(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        shift: tuple[float, float] = (0, 0),
    ) -> None:
        """Swipe a finger between two pixels of the photo; it begins `shift` px beside the first."""
        session = self._visit.context.new_cdp_session(self.page)
        (x0, y0), (x1, y1) = self.at(*start), self.at(*end)
        x0, y0 = x0 + shift[0], y0 + shift[1]
        steps = [(x0 + (x1 - x0) * i / 12, y0 + (y1 - y0) * i / 12) for i in range(13)]
        for i, (x, y) in enumerate(steps):
            kind = "touchStart" if i == 0 else "touchMove"
            session.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]}
            )
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        session.detach()


def near(box: tuple[int, ...], wanted: tuple[int, ...], most: int = 2) -> bool:
    return all(abs(a - b) <= most for a, b in zip(box, wanted, strict=True))


@pytest.fixture
def stage(visit: Visiting, server: ServerProcess, photo: Path) -> Stage:
    seen = visit(server)
    seen.search(photo)
    seen.page.locator(".surface").focus()
    seen.page.keyboard.press("Escape")
    seen.settled()
    return Stage(seen)


@pytest.fixture
def phone(visit: Visiting, server: ServerProcess, photo: Path) -> Stage:
    seen = visit(server, size=PHONE)
    seen.search(photo)
    seen.page.get_by_role("button", name="Box in numbers").tap()
    seen.page.locator(".surface").focus()
    seen.page.keyboard.press("Escape")
    seen.settled()
    seen.page.evaluate("scrollTo(0, 0)")
    return Stage(seen)


def test_a_box_is_drawn_and_searched_by_itself(stage: Stage) -> None:
    with stage.page.expect_response("**/v1/search") as answered:
        stage.drag((60, 80), (160, 220))
    assert near(stage.box, (60, 80, 100, 140))
    assert answered.value.json()["query"]["box"] == ",".join(map(str, stage.box))


def test_a_box_is_drawn_from_any_corner(stage: Stage) -> None:
    stage.drag((160, 220), (60, 80))
    assert near(stage.box, (60, 80, 100, 140))


def test_a_box_is_moved_and_stays_in_the_photo(stage: Stage) -> None:
    stage.drag((60, 80), (160, 220))
    stage.drag((110, 150), (130, 160))
    assert near(stage.box, (80, 90, 100, 140))
    stage.drag((130, 160), (235, 315))
    assert near(stage.box, (140, 180, 100, 140))


@pytest.mark.parametrize(
    ("grip", "to", "wanted"),
    [
        ((160, 220), (180, 250), (60, 80, 120, 170)),
        ((60, 80), (40, 50), (40, 50, 120, 170)),
        ((160, 150), (200, 150), (60, 80, 140, 140)),
        ((110, 80), (110, 20), (60, 20, 100, 200)),
    ],
)
def test_a_box_is_pulled_by_edges_and_corners(
    stage: Stage, grip: tuple[int, int], to: tuple[int, int], wanted: tuple[int, ...]
) -> None:
    stage.drag((60, 80), (160, 220))
    stage.drag(grip, to)
    assert near(stage.box, wanted)


def test_a_box_that_is_pulled_over_itself_keeps_a_width(stage: Stage) -> None:
    stage.drag((60, 80), (160, 220))
    stage.drag((160, 150), (20, 150))
    x, _, width, _ = stage.box
    assert x == 60
    assert 10 <= width <= 14


def test_a_click_beside_the_box_changes_nothing(stage: Stage) -> None:
    stage.drag((60, 80), (160, 220))
    before = stage.box
    stage.page.mouse.click(*stage.at(220, 300))
    stage.drag((200, 300), (204, 303))
    assert stage.box == before


def test_keys_move_resize_and_reset(stage: Stage) -> None:
    stage.drag((60, 80), (160, 220))
    x, y, width, height = stage.box
    stage.page.locator(".surface").focus()
    for key in ("ArrowRight", "ArrowDown"):
        stage.page.keyboard.press(key)
    assert stage.box == (x + 5, y + 5, width, height)
    for key in ("Shift+ArrowRight", "Shift+ArrowUp"):
        stage.page.keyboard.press(key)
    assert stage.box == (x + 5, y + 5, width + 5, height - 5)
    stage.page.keyboard.press("Control+ArrowLeft")
    assert stage.box == (x + 4, y + 5, width + 5, height - 5)
    stage.page.keyboard.press("Escape")
    assert stage.box == (0, 0, WIDTH, HEIGHT)


def test_the_whole_search_works_without_a_mouse(
    visit: Visiting, server: ServerProcess, photo: Path
) -> None:
    seen = visit(server)
    seen.page.get_by_role("button", name="Choose a photo").wait_for()
    _tab_to(seen, "textContent === 'Choose a photo'")
    with seen.page.expect_file_chooser() as chooser:
        seen.page.keyboard.press("Enter")
    chooser.value.set_files(photo)
    seen.page.locator("ol.grid .card").first.wait_for()
    _tab_to(seen, "classList.contains('surface')")
    seen.page.keyboard.press("Escape")
    seen.settled()
    with seen.page.expect_response("**/v1/search"):
        seen.page.keyboard.press("Shift+ArrowLeft")
    assert Stage(seen).box == (0, 0, WIDTH - 5, HEIGHT)


def test_numbers_set_the_box(stage: Stage) -> None:
    page = stage.page
    for label, value in (("width", 100), ("height", 150), ("x", 30), ("y", 40)):
        page.get_by_label(label, exact=True).fill(str(value))
        page.keyboard.press("Tab")
    assert stage.box == (30, 40, 100, 150)
    page.get_by_label("x", exact=True).fill("9999")
    page.keyboard.press("Tab")
    assert stage.box == (WIDTH - 100, 40, 100, 150)
    page.get_by_label("width", exact=True).fill("0")
    page.keyboard.press("Tab")
    assert stage.box[2] == 1
    page.get_by_label("y", exact=True).fill("")
    page.keyboard.press("Tab")
    assert stage.box[1] == 40


def test_a_finger_draws_and_moves(phone: Stage) -> None:
    phone.swipe((50, 60), (170, 240))
    assert near(phone.box, (50, 60, 120, 180))
    phone.swipe((110, 150), (130, 170))
    assert near(phone.box, (70, 80, 120, 180))


@pytest.mark.parametrize("shift", [(20, 20), (-20, -20), (20, -20)])
def test_a_corner_is_taken_within_44_pixels(phone: Stage, shift: tuple[float, float]) -> None:
    phone.swipe((50, 60), (170, 240))
    before = phone.box
    phone.swipe((170, 240), (200, 270), shift=shift)
    assert phone.box[:2] == before[:2]
    assert phone.box[2] > before[2]
    assert phone.box[3] > before[3]


def test_a_swipe_up_beside_the_box_scrolls_and_keeps_the_box(phone: Stage) -> None:
    phone.swipe((50, 60), (130, 180))
    before = phone.box
    phone.swipe((220, 300), (222, 60))
    assert phone.box == before
    assert phone.page.evaluate("scrollY") > 50


def test_a_small_box_can_still_be_moved_by_a_finger(phone: Stage) -> None:
    phone.swipe((100, 100), (135, 135))
    before = phone.box
    x, y, width, height = before
    phone.swipe((x + width / 2, y + height / 2), (x + width / 2 + 40, y + height / 2 + 30))
    assert near(phone.box, (x + 40, y + 30, width, height))


def test_the_box_is_in_the_address(stage: Stage) -> None:
    stage.drag((60, 80), (160, 220))
    text = ",".join(map(str, stage.box))
    expect(stage.page).to_have_url(re.compile(f"box={text}"))


def test_a_filter_that_is_chosen_before_the_box_is_searched_for_is_kept(stage: Stage) -> None:
    stage.page.locator(".surface").press("Shift+ArrowLeft")
    stage.page.get_by_role("checkbox", name=re.compile("^fan")).check()
    stage.settled()
    address = stage.page.evaluate("decodeURIComponent(location.hash)")
    assert f"box=0,0,{WIDTH - 5},{HEIGHT}" in address
    assert 'where=category+=+"fan"' in address


def test_answers_to_earlier_boxes_are_dropped(stage: Stage) -> None:
    page = stage.page
    held: list[Route] = []
    # Not `times=1`: with it, Playwright can lose a request that begins while it removes the route.
    page.route("**/v1/search", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/v1/search"):
        stage.drag((10, 10), (60, 60))
    with (
        page.expect_event("requestfailed") as given_up,
        page.expect_response("**/v1/search") as answered,
    ):
        stage.drag((100, 100), (200, 300))
    assert given_up.value.url == answered.value.url
    stage.settled()
    assert near(stage.box, (100, 100, 100, 200))


def _tab_to(seen: Visit, what: str) -> None:
    """Press Tab until the element is reached of which something is true."""
    for _ in range(30):
        seen.page.keyboard.press("Tab")
        if seen.page.evaluate(f"document.activeElement.{what}"):
            return
    raise AssertionError(f"Tab leads to no element with {what}")
