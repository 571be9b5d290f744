"""Make the picture of the page in the docs: a search of the sample data, with a box.

.venv-web/bin/python scripts/page_picture.py      (needs Chromium)
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import shoplens

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from server_process import serving  # noqa: E402

FURNITURE = ROOT / "examples" / "furniture"
QUERY = 35
"""Row of queries.csv."""
SIZE = {"width": 1280, "height": 800}
CHROMIUM = os.environ.get("SHOPLENS_CHROMIUM", "/usr/bin/chromium")


def make_shop(folder: Path) -> str:
    """Index the furniture with the names of its products, from the credits; return the URI."""
    lines = (FURNITURE / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line[2:3].isdigit()]
    names = {cell[0]: cell[2] for cell in cells if len(cell) > 3}
    shutil.copytree(FURNITURE / "gallery", folder / "gallery")
    with (FURNITURE / "gallery.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (folder / "gallery.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*rows[0], "title", "category"])
        for row in rows:
            name = names[row["product_id"]]
            table.writerow([*row.values(), name, name.split()[-1].lower()])
    uri = str(folder / "catalog")
    shoplens.index(folder, uri)
    return uri


def main() -> None:
    """Serve a catalogue, search it in a browser, and photograph the page."""
    with (FURNITURE / "queries.csv").open(newline="", encoding="utf-8") as file:
        query = list(csv.DictReader(file))[QUERY]
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving("--catalog", make_shop(Path(scratch)), "--read-only") as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(server.url)
        page.locator("input[type=file]").first.set_input_files(FURNITURE / query["img_path"])
        page.locator("ol.grid .card").first.wait_for()
        # A place can be typed only when the box is small enough for it.
        for name, column in (("width", "w"), ("height", "h"), ("x", "x"), ("y", "y")):
            page.get_by_label(name, exact=True).fill(query[f"bbox_{column}"])
            page.keyboard.press("Tab")
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(1500)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=ROOT / "docs" / "images" / "page.png")
        browser.close()


if __name__ == "__main__":
    main()
