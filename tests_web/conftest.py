"""What the tests of the page share: a catalogue, a real server and a real browser.

`python3 make.py web` runs them.
"""

from __future__ import annotations

import base64
import csv
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "src" / "shoplens" / "sample"
CHROMIUM = os.environ.get("SHOPLENS_CHROMIUM", "/usr/bin/chromium")
DESKTOP, PHONE, SMALL = (1280, 800), (390, 844), (360, 740)
PATIENCE = 60_000
"""Milliseconds until something that does not come fails a test: machines may be slow."""

sys.path.insert(0, str(ROOT / "tests"))
from server_process import ServerProcess, serving  # noqa: E402

import shoplens  # noqa: E402

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOPLENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue: 20 products with two photos each, with attributes."""
    folder = tmp_path_factory.mktemp("shop")
    shutil.copytree(SAMPLE / "gallery", folder / "photos" / "gallery")
    lines = (SAMPLE / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line[2:3].isdigit()]
    products = {cell[0]: (cell[1], 10 * n + 9.5) for n, cell in enumerate(cells)}
    with (SAMPLE / "gallery.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "photos" / "gallery.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*rows[0], "title", "category", "price", "in_stock"])
        for row in rows:
            title, price = products[row["product_id"]]
            category = title.split()[-1].lower() if "with" not in title else "chair"
            table.writerow([*row.values(), title, category, price, "true"])
    shoplens.index(folder / "photos", str(folder / "catalog"))
    return folder / "catalog"


@pytest.fixture(scope="session")
def server(shop: Path) -> Iterator[ServerProcess]:
    """A server that no test changes."""
    with serving("--catalog", shop, "--read-only") as running:
        yield running


@pytest.fixture
def own_shop(shop: Path, tmp_path: Path) -> Path:
    """A catalogue that a test may change."""
    return Path(shutil.copytree(shop, tmp_path / "catalog"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        # The tests run as root in containers, where its sandbox cannot be set up.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


GIVE = """([text, kind]) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], 'photo.jpg', { type: 'image/jpeg' }));
  const event = kind === 'paste'
    ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true })
    : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""
"""Hands the page a file: its bytes in base64, and the kind of the event."""

IS_SETTLED = """() => {
  const found = document.querySelector('section[aria-busy]');
  if (found?.ariaBusy !== 'false') return false;
  const surface = document.querySelector('.surface');
  if (!surface) return true;
  const box = new URLSearchParams(location.hash.split('?')[1]).get('box');
  return box === (surface.ariaLabel.match(/\\d+/g) ?? ['all']).join();
}"""
"""Whether what is found is that of the box that is shown. A box is searched for, and comes into the
address, when it has not changed for a while."""

IS_REMEMBERED = """() => new Promise((resolve, reject) => {
  const opening = indexedDB.open('shoplens', 1);
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const database = opening.result;
    const reading = database.transaction('searches').objectStore('searches').getAll();
    reading.onsuccess = () => {
      database.close();
      resolve(reading.result.some((search) => search.hash === location.hash));
    };
  };
})"""
"""Whether the browser has stored the search that is shown."""


@dataclass
class Visit:
    """A browser of one person, on a page; what it complains of fails the test."""

    page: Page
    url: str
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)
    """Errors of the console, scripts that failed, and what the page's policy blocked."""
    expected: list[str] = field(default_factory=list)
    """Parts of complaints that fail no test."""

    def expect_complaint(self, part: str) -> None:
        """Wait for a complaint that a test is about; it and its like are no fault of the page."""
        deadline = time.monotonic() + PATIENCE / 1000
        while not any(part in one for one in self.complaints):
            assert time.monotonic() < deadline, (part, self.complaints)
            self.page.wait_for_timeout(20)
        self.expected.append(part)

    def choose(self, photo: Path) -> None:
        """Choose a photo, as with the button."""
        self.page.locator("input[type=file]").first.set_input_files(photo)

    def give(self, photo: Path, kind: str) -> None:
        """Paste a photo (`paste`), hold one over the page (`dragover`) or drop it (`drop`)."""
        text = base64.b64encode(photo.read_bytes()).decode()
        self.page.evaluate(GIVE, [text, kind])

    def search(self, photo: Path) -> None:
        """Choose a photo and wait for what is found."""
        self.choose(photo)
        self.page.locator("ol.grid .card").first.wait_for()
        self.settled()

    def settled(self) -> None:
        """Wait until no search is under way or about to begin."""
        self._until(IS_SETTLED)

    def remembered(self) -> None:
        """Wait until the history of the browser holds the search that is shown."""
        self._until(IS_REMEMBERED)

    def _until(self, condition: str) -> None:
        # Not `wait_for_function`, which the policy of the page keeps from evaluating texts.
        deadline = time.monotonic() + PATIENCE / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, condition
            self.page.wait_for_timeout(20)

    def titles(self) -> list[str]:
        """Return the titles of the cards."""
        return self.page.locator("ol.grid .card h3").all_inner_texts()


Visiting = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visiting]:
    """Open the page of a server as a new visitor."""
    visits: list[Visit] = []

    def opened(
        server: ServerProcess | str,
        path: str = "/",
        size: tuple[int, int] = DESKTOP,
        **options: Any,
    ) -> Visit:
        url = server if isinstance(server, str) else server.url
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            has_touch=size != DESKTOP,
            is_mobile=size != DESKTOP,
            reduced_motion="reduce",
            **options,
        )
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        made = Visit(page, url, context)
        visits.append(made)
        page.on(
            "console",
            lambda told: made.complaints.append(told.text) if told.type == "error" else None,
        )
        page.on("pageerror", lambda error: made.complaints.append(str(error)))
        # From the beginning: a key can reach the page before a listener added just then does.
        page.on("filechooser", lambda _: None)
        page.add_init_script(
            "addEventListener('securitypolicyviolation',"
            " (event) => console.error(`blocked: ${event.blockedURI} ${event.violatedDirective}`))"
        )
        page.goto(url + path)
        page.locator("header.bar").wait_for()
        return made

    yield opened
    complaints = [
        complaint
        for one in visits
        for complaint in one.complaints
        if not any(part in complaint for part in one.expected)
    ]
    for one in visits:
        one.context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def photo() -> Path:
    """A photo of a user: a table fan, 240 x 320 pixels."""
    with (SAMPLE / "queries.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["product_id"] == "1504752807")
    return SAMPLE / row["img_path"]


@pytest.fixture
def gallery_photo() -> Path:
    """A photo of the catalogue itself: it is found first."""
    return SAMPLE / "gallery" / "523649418.jpg"
