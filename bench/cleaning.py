"""What cleaning finds: wrong pairs of a user's and a seller's photo among right ones.

Runs on the sample data, and on the challenge's open development photos where they are at hand: log
that in docs/devset-log.md.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
from measuring import REAL, SAMPLE, finish, table

from shoplens.curation.cleaning import DatasetTables, find_unlike_pairs, read_tables

WRONG = 0.1
"""Share of user photos that get the id of another product."""
RIGHT_LOST = (0.01, 0.05, 0.1)
"""Shares of the right pairs that a threshold may cost."""


def measured(tables: DatasetTables) -> dict[str, Any]:
    """Return how many wrong pairs are left out at thresholds that cost a share of the right."""
    random = np.random.default_rng(0)
    products = sorted({photo.product_id or "" for photo in tables.of("seller")})
    users = [p for p in tables.of("user") if p.product_id in products]
    chosen = random.choice(len(users), round(WRONG * len(users)), replace=False)
    wrong = {}
    for place in chosen.tolist():
        others = [product for product in products if product != users[place].product_id]
        wrong[users[place].id] = others[random.integers(len(others))]
    spoilt = replace(
        tables,
        photos=tuple(replace(p, product_id=wrong.get(p.id, p.product_id)) for p in tables.photos),
    )
    found = find_unlike_pairs(spoilt, 1.0 + 1e-6)
    # All are left out, the most similar first.
    similarity = dict(
        zip((c.photo.id for c in reversed(found.changes)), found.similarities, strict=True)
    )
    of_wrong = np.array([s for photo, s in similarity.items() if photo in wrong])
    of_right = np.array([s for photo, s in similarity.items() if photo not in wrong])
    auc = float((of_wrong[:, None] < of_right).mean() + (of_wrong[:, None] == of_right).mean() / 2)
    thresholds = {}
    for share in RIGHT_LOST:
        threshold = float(np.quantile(of_right, share))
        thresholds[str(share)] = {
            "threshold": threshold,
            "wrong_left_out": float((of_wrong < threshold).mean()),
        }
    return {
        "n_right": len(of_right),
        "n_wrong": len(of_wrong),
        "auc": auc,
        "at_right_lost": thresholds,
    }


def text(name: str, result: dict[str, Any]) -> str:
    """Return the table of a test set."""
    named = f"{name[0].upper()}{name[1:]}"
    return (
        f"{named}: {result['n_right']} right pairs, {result['n_wrong']} wrong; a wrong one is "
        f"the less similar of a wrong and a right one in {100 * result['auc']:.0f} %.\n\n"
        + table(
            ["right pairs left out", "wrong pairs left out", "threshold"],
            [
                [
                    f"{100 * float(share):.0f} %",
                    f"{100 * at['wrong_left_out']:.0f} %",
                    f"{at['threshold']:.2f}",
                ]
                for share, at in result["at_right_lost"].items()
            ],
        )
    )


def main() -> None:
    """Measure, print, write."""
    results, shown = {}, []
    for name, folder in (("challenge, open development set", REAL), ("sample furniture", SAMPLE)):
        if not (folder / "gallery.csv").is_file():
            print(f"{name}: not at {folder}, left out", file=sys.stderr)
            continue
        results[name] = measured(read_tables(folder))
        shown.append(text(name, results[name]))
    finish("cleaning", "python3 make.py bench cleaning", {"sets": results}, "\n\n".join(shown))


if __name__ == "__main__":
    main()
