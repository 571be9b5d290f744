"""Make the README's picture: four queries of the sample data, found by the built-in model.

python scripts/readme_picture.py      (needs shoplens installed, and chromium)
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from shoplens import embed, evaluate, load_encoder, rank, read_dataset
from shoplens.report import show_ranking, write_page

ROOT = Path(__file__).parents[1]
QUERIES = (28, 35, 46, 53)
"""Rows of queries.csv."""
RESULTS = 7
SIZE = "1180,960"


def main() -> None:
    """Rank the sample data, write a page with four queries, and photograph it."""
    dataset = read_dataset(ROOT / "examples" / "furniture")
    encoder = load_encoder()
    ranking = rank(embed(dataset.queries, encoder), embed(dataset.gallery, encoder))
    scores = evaluate(ranking, dataset)
    best = scores["map@1000"]
    facts = [
        ("mAP@1000", f"{best.value:.3f}"),
        ("95 % interval", f"{best.low:.3f} .. {best.high:.3f}"),
        ("queries", str(scores.n_queries)),
        ("gallery photos", str(scores.n_gallery)),
    ]
    shown = show_ranking(scores, dataset, RESULTS)
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / "page.html"
        write_page(page, "shoplens: furniture (renders)", facts, [shown[row] for row in QUERIES])
        subprocess.run(
            [
                "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                "--disable-background-networking", f"--user-data-dir={scratch}/profile",
                f"--window-size={SIZE}", f"--screenshot={ROOT / 'docs/images/demo.png'}",
                page.as_uri(),
            ],
            check=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
