"""Take the pictures of pages in docs/your-own-shop.md, with photos of the sample data.

python scripts/guide_pictures.py      (needs shoplens installed, and chromium)
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from shoplens.cli import main as shoplens

ROOT = Path(__file__).parents[1]
SHOP = str(ROOT / "examples" / "furniture")
PAGES = {
    "clean-pairs": (
        ("dataset", "clean", "pairs", SHOP, "--min-similarity", "0.15", "--dry-run", "-o"),
        "1000,1060",
    ),
    "confidence": (("calibrate", SHOP, "-o", "confidence.json", "--html"), "1000,570"),
}
"""By the name of the picture: the command that writes the page, which it is given last, and the
size of the window."""


def main() -> None:
    """Write the pages and photograph them."""
    with tempfile.TemporaryDirectory() as scratch:
        for name, (words, size) in PAGES.items():
            page = Path(scratch) / f"{name}.html"
            here = (word.replace("confidence.json", f"{scratch}/confidence.json") for word in words)
            if code := shoplens([*here, str(page)]):
                raise SystemExit(code)
            subprocess.run(
                [
                    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                    "--disable-background-networking", f"--user-data-dir={scratch}/profile",
                    f"--window-size={size}", f"--screenshot={ROOT / 'docs/images' / name}.png",
                    page.as_uri(),
                ],
                check=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
