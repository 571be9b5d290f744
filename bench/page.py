"""What the page of the service weighs, and when it can be used.

    .venv-web/bin/python bench/page.py

The page of a real server is loaded without a cache in Debian's Chromium, as on a desktop and as on
a phone: 4 times slower, over 4G (9 Mbit/s, 85 ms there and back).
"""

from __future__ import annotations

import gzip
import os
import sys
from statistics import median
from typing import Any

from measuring import ROOT, finish, table
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(ROOT / "tests"))
from server_process import serving

PAGE = ROOT / "src" / "shoplens" / "server" / "page"
CHROMIUM = os.environ.get("SHOPLENS_CHROMIUM", "/usr/bin/chromium")
ROUNDS = 9
WAYS: dict[str, dict[str, Any]] = {
    "desktop": {"size": (1280, 800), "slower": 1, "network": None},
    "phone": {
        "size": (390, 844),
        "slower": 4,
        "network": {"latency": 85, "downloadThroughput": 9e6 / 8, "uploadThroughput": 9e6 / 8},
    },
}
READY = "() => performance.getEntriesByName('interactive')[0]?.startTime"
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def compressed() -> dict[str, int]:
    """Return the bytes of the page's files, compressed as the server sends them."""
    sizes: dict[str, int] = {}
    for file in PAGE.rglob("*"):
        if file.is_file() and file.suffix in (".js", ".css", ".html"):
            size = len(gzip.compress(file.read_bytes(), mtime=0))
            sizes[file.suffix[1:]] = sizes.get(file.suffix[1:], 0) + size
    return sizes


def load(browser: Browser, url: str, way: dict[str, Any]) -> dict[str, float]:
    """Load the page once without a cache; return milliseconds from the start of that."""
    width, height = way["size"]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": way["slower"]})
    if way["network"]:
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", {"offline": False, **way["network"]})
    page.goto(url)
    page.wait_for_function(READY)
    page.wait_for_function(PAINT)
    times = {"first paint": page.evaluate(PAINT), "interactive": page.evaluate(READY)}
    context.close()
    return times


def main() -> None:
    """Measure, print, write."""
    sizes = compressed()
    times: dict[str, dict[str, dict[str, float]]] = {}
    with serving("--demo") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, way in WAYS.items():
            load(browser, server.url, way)  # The server reads its files.
            loads = [load(browser, server.url, way) for _ in range(ROUNDS)]
            times[name] = {
                moment: {
                    "median": median(one[moment] for one in loads),
                    "min": min(one[moment] for one in loads),
                    "max": max(one[moment] for one in loads),
                }
                for moment in loads[0]
            }
        version = browser.version
        browser.close()
    rows = [
        [
            name,
            *(
                f"{one['median']:.0f} ({one['min']:.0f} .. {one['max']:.0f})"
                for one in moments.values()
            ),
        ]
        for name, moments in times.items()
    ]
    text = "\n\n".join(
        (
            table(
                ["file", "bytes, compressed"],
                [
                    ["script", f"{sizes['js']:,}"],
                    ["style", f"{sizes['css']:,}"],
                    ["page", f"{sizes['html']:,}"],
                ],
            ),
            table(["loaded as on a", "first paint, ms", "interactive, ms"], rows),
            f"Chromium {version}, {ROUNDS} loads without a cache: median (range).",
        )
    )
    values = {"bytes": sizes, "milliseconds": times, "chromium": version, "rounds": ROUNDS}
    finish("page", ".venv-web/bin/python bench/page.py", values, text)


if __name__ == "__main__":
    main()
