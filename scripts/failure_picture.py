"""Make the model card's picture: the sample's queries that the built-in model does worst on.

python scripts/failure_picture.py      (needs shoplens installed)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shoplens import embed, evaluate, load_encoder, rank, read_dataset
from shoplens.pixels.crops import crop
from shoplens.pixels.decoding import decode, read_bytes
from shoplens.records import Photo

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "failures.png"
QUERIES, RESULTS, TILE, GAP = 8, 5, 130, 8


def tile(photo: Photo) -> Image.Image:
    """Return a photo's region as a square."""
    decoded = decode(read_bytes(photo.path), box=photo.box, target=TILE)
    return Image.fromarray(crop(decoded, size=TILE, fit="pad", pad_colour=(255, 255, 255)))


def main() -> None:
    """Rank the sample, pick the worst, draw."""
    dataset = read_dataset(ROOT / "examples" / "furniture")
    encoder = load_encoder()
    ranking = rank(embed(dataset.queries, encoder), embed(dataset.gallery, encoder))
    precision = evaluate(ranking, dataset).per_query["map@1000"]
    rows = np.argsort(precision, kind="stable")[:QUERIES]
    by_id = {photo.id: photo for photo in dataset.gallery}
    step = TILE + GAP
    sheet = Image.new("RGB", ((RESULTS + 1) * step + 40, QUERIES * step + 24), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    draw.text((GAP, 4), "query, and its AP", "black", font)
    draw.text((step + 40, 4), "best results; framed: the same product", "black", font)
    for line, row in enumerate(rows):
        top, query = 24 + line * step, dataset.queries[int(row)]
        sheet.paste(tile(query), (GAP, top))
        draw.text((TILE + GAP + 4, top + TILE // 2), f"{precision[row]:.2f}", "black", font)
        for column in range(RESULTS):
            photo = by_id[int(ranking.ids[row, column])]
            left = step + 40 + column * step
            sheet.paste(tile(photo), (left, top))
            if photo.product_id == query.product_id:
                frame = (left, top, left + TILE - 1, top + TILE - 1)
                draw.rectangle(frame, outline="#0072b2", width=5)
    sheet.save(PICTURE, optimize=True)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
