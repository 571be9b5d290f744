"""Make ``src/shoplens/sample``, the small test set inside the wheel, from ``examples/furniture``.

    python3 scripts/render_furniture/mini.py

Twenty of the products, photos made smaller, ids of its own. The kinds are few on purpose: a
search is only worth a look when several chairs compete for a chair. Needs Pillow.
"""

# ruff: noqa: SIM905
from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

from make import BOX, number_of, save, write_table
from PIL import Image

MODELS = """
oakChair chair chairWithCushion chair2 osakaChair thonet armchair2 sofa2 couch2 bed3
oakTable table drawersCabinet lowerCabinet desklamp plant cactus tableFan riggedFan plasticCup
""".split()
SIDES = {"gallery": 288, "queries": 320}

Row = dict[str, str]


def read_products(source: Path) -> dict[str, Row]:
    """The table of products in the README, by model."""
    products = {}
    for line in (source / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].isdigit():
            names = ("product_id", "model", "name", "author", "colours")
            products[cells[1]] = dict(zip(names, cells, strict=True))
    return products


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def shrink(source: Path, target: Path, side: int) -> float:
    """Save a photo with this longest side; the scale."""
    picture = Image.open(source).convert("RGB")
    scale = side / max(picture.size)
    width, height = (round(n * scale) for n in picture.size)
    save(picture.resize((width, height), Image.Resampling.LANCZOS), target, 80)
    return scale


def scaled_box(row: Row, scale: float, image: Path) -> list[int]:
    """The box in the smaller photo: whole pixels around all of it, inside the image."""
    x, y, w, h = (int(row[name]) for name in BOX)
    width, height = Image.open(image).size
    left, top = math.floor(x * scale), math.floor(y * scale)
    right, bottom = math.ceil((x + w) * scale), math.ceil((y + h) * scale)
    return [left, top, min(right, width) - left, min(bottom, height) - top]


def write_readme(out: Path, products: list[Row]) -> None:
    """What the pictures are and whom to thank."""
    lines = [
        "# Sample set",
        "",
        f"{len(products)} household products, each with two seller photos (`gallery/`) and two",
        "user photos with a box (`queries/`). **They are renders, not photographs**, made from 3D",
        "models by `scripts/render_furniture` in the source repository, and smaller copies of a",
        "part of `examples/furniture` there. Products that differ only by colour share an id.",
        "",
        "The models are from Sweet Home 3D's Blend Swap CC-0 collection; models and renders are",
        "[CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/). Thanks to the authors:",
        "",
        "| product_id | name | author | colours |",
        "|---|---|---|---|",
    ]
    for row in products:
        cells = (row["product_id"], row["name"], row["author"], row["colours"])
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Other furniture around them is from the same collection.", ""]
    (out / "README.md").write_text("\n".join(lines))


def main() -> None:
    """Copy the chosen products' photos, smaller, and write tables and README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=Path("examples/furniture"))
    parser.add_argument("--out", type=Path, default=Path("src/shoplens/sample"))
    args = parser.parse_args()
    products = read_products(args.source)
    chosen = {products[model]["product_id"]: products[model] for model in MODELS}
    for row in chosen.values():
        row["product_id"] = str(number_of(f"sample {row['model']}"))
    for kind, side in SIDES.items():
        folder = args.out / kind
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.jpg"):
            old.unlink()
        rows = [r for r in read_rows(args.source / f"{kind}.csv") if r["product_id"] in chosen]
        name = "seller_img_id" if kind == "gallery" else "user_img_id"
        header = [name, "img_path", *(BOX if kind == "queries" else ()), "product_id"]
        table = []
        for row in rows:
            number = number_of(f"sample {row[name]}")
            path = f"{kind}/{number}.jpg"
            scale = shrink(args.source / row["img_path"], args.out / path, side)
            box = scaled_box(row, scale, args.out / path) if kind == "queries" else []
            table.append([number, path, *box, chosen[row["product_id"]]["product_id"]])
        write_table(args.out / f"{kind}.csv", header, table)
    write_readme(args.out, list(chosen.values()))
    size = sum(p.stat().st_size for p in args.out.rglob("*") if p.is_file()) / 1e6
    print(f"{len(chosen)} products, {size:.2f} MB in {args.out}")


if __name__ == "__main__":
    main()
