"""Small tables of the kind that scripts/product_views.py reads."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from product_views import Tables

N_PRODUCTS = 12


def picture(path: Path, colour: tuple[int, int, int], transparent: bool) -> None:
    """Draw an ellipse, on white or on nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGBA", (96, 96), (0, 0, 0, 0) if transparent else (255, 255, 255, 255))
    ImageDraw.Draw(image).ellipse((20, 30, 70, 60), fill=colour)
    image.save(path) if transparent else image.convert("RGB").save(path)


def write_tables(folder: Path) -> Tables:
    """Write all that the head of clip-b16 is fitted to, a few products of each source."""
    rows: dict[str, list[list[str]]] = {
        table: [] for table in ("train-photos", "scan-renders", "renders")
    }
    kinds = [
        ("train-photos", "grocery", ("user", "seller")),
        ("train-photos", "clothing", ("user",)),
        ("train-photos", "gso", ("seller",)),
        ("train-photos", "dreambooth", ("user",)),
        ("scan-renders", "renders", ("user", "seller")),
        ("renders", "renders", ("user", "seller")),
    ]
    for table, source, domains in kinds:
        for number in range(N_PRODUCTS):
            for domain in domains:
                for take in range(3):
                    name = f"{source}-{number}-{domain}-{take}.png"
                    colour = (20 * number, 255 - 20 * number, 90)
                    picture(folder / table / name, colour, table != "train-photos")
                    product = str(number)
                    if source == "gso":  # There are previews of two of the scans.
                        product = f"gso/{number}" if number < 2 else f"gso/other {number}"
                    elif table == "scan-renders":
                        product = f"gso/{number}"
                    rows[table].append([name, source, domain, product, "kind"])
    for table, of in rows.items():
        with (folder / table / "train.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["img_path", "source", "domain", "product_id", "category"])
            writer.writerows(of)
    return Tables(folder)
