"""How well near-duplicates are found: recall by edit, and false pairs among different photos.

    python3 make.py bench near_duplicates [FOLDER ...]

Every photo is compared with every other of its folder: what is found there is no edit, and has to
be looked at to tell whether it is false. Then some photos, drawn with seed 0, are edited and looked
for among all photos of the folder. An edit counts as found when its original is among the pairs at
the default threshold; any other photo found for it is a false pair.
"""

from __future__ import annotations

import io
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measuring import REAL, SAMPLE, finish, table
from PIL import Image, ImageEnhance, ImageOps

from shoplens.curation.duplicates import (
    Sketch,
    find_duplicates,
    find_shared,
    sketch_decoded,
    sketch_photos,
)
from shoplens.curation.reading import read_photos
from shoplens.curation.sketches import TARGET
from shoplens.pixels.decoding import decode
from shoplens.records import Photo
from shoplens.sources import read_photo

FOLDERS = (SAMPLE, *(REAL.parent / "train-photos" / name for name in ("clothing", "magento")))
EDITED = 180
"""Photos to edit, of each folder."""


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    """Encode as JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def edits(image: Image.Image, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield edited copies, each with what was done."""
    width, height = image.size
    yield "JPEG, quality 70", jpeg(image, 70)
    yield "JPEG, quality 30", jpeg(image, 30)
    yield "half the size", jpeg(image.resize((width // 2, height // 2)))
    yield "twice the size", jpeg(image.resize((width * 2, height * 2)))
    yield "15 % brighter", jpeg(ImageEnhance.Brightness(image).enhance(1.15))
    yield "15 % darker", jpeg(ImageEnhance.Brightness(image).enhance(0.85))
    yield "20 % more contrast", jpeg(ImageEnhance.Contrast(image).enhance(1.2))
    yield "40 % less colour", jpeg(ImageEnhance.Color(image).enhance(0.6))
    warm = (np.asarray(image) * np.array([1.08, 1, 0.92])).clip(0, 255).astype(np.uint8)
    yield "warmer light", jpeg(Image.fromarray(warm))
    yield "white border of 15 %", jpeg(ImageOps.expand(image, int(0.15 * width), "white"))
    side = max(width, height) + 40
    yield "on a white square", jpeg(ImageOps.pad(image, (side, side), color="white"))
    for percent in (2, 5, 10):
        left, top, right, bottom = (chance.uniform(0, percent / 100) for _ in range(4))
        box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
        yield f"cut by up to {percent} % a side", jpeg(image.crop(tuple(map(int, box))))
    label = image.copy()
    label.paste((200, 30, 30), (width * 3 // 4, height * 11 // 12, width - 5, height - 5))
    yield "a label in a corner", jpeg(label)


def sketched(photo: Photo, data: bytes) -> Sketch:
    """Sketch an edited photo as a whole."""
    return sketch_decoded(photo, data, decode(data, target=TARGET))


def measure(folder: Path) -> dict[str, Any]:
    """Compare the photos of a folder with each other, and with edited ones."""
    photos = read_photos(str(folder))
    start = time.perf_counter()
    sketches, _ = sketch_photos(photos)
    sketching = time.perf_counter() - start
    start = time.perf_counter()
    among = find_duplicates(sketches)
    comparing = time.perf_counter() - start
    chance = random.Random(0)
    chosen = chance.sample(range(len(sketches)), min(EDITED, len(sketches)))
    known = {frozenset((pair.first, pair.second)) for pair in among}
    originals: list[tuple[int, str]] = []
    edited: list[Sketch] = []
    for position in chosen:
        photo = sketches[position].photo
        image = decode(read_photo(photo)).image
        for name, data in edits(image, chance):
            originals.append((position, name))
            edited.append(sketched(photo, data))
    hits: dict[int, set[int]] = {}
    for pair in find_shared(edited, sketches):
        hits.setdefault(pair.first, set()).add(pair.second)
    found: dict[str, list[bool]] = {}
    n_false = 0
    for number, (position, name) in enumerate(originals):
        of = hits.get(number, set())
        found.setdefault(name, []).append(position in of)
        n_false += sum(frozenset((o, position)) not in known for o in of - {position})
    return {
        "folder": folder.name,
        "n_photos": len(sketches),
        "n_edited": len(edited),
        "sketch_seconds": sketching,
        "compare_seconds": comparing,
        "pairs": dict(Counter(pair.kind for pair in among)),
        "n_false": n_false,
        "recall": {name: float(np.mean(values)) for name, values in found.items()},
    }


def main() -> None:
    """Measure, print, write."""
    named = [Path(word) for word in sys.argv[1:]]
    folders = named or [folder for folder in FOLDERS if folder.is_dir()]
    results = [measure(folder) for folder in folders]
    names = [result["folder"] for result in results]
    rows: list[list[object]] = [
        [edit, *(f"{result['recall'][edit]:.2f}" for result in results)]
        for edit in results[0]["recall"]
    ]
    text = table(["share found of edited photos", *names], rows) + "\n\n"
    text += table(
        ["folder", "photos", "pairs compared", "found among them", "edits", "false pairs",
         "sketching, s", "comparing, s"],
        [
            [
                result["folder"], f"{(n := result['n_photos']):,}", f"{n * (n - 1) // 2:,}",
                ", ".join(f"{k} {v}" for v, k in result["pairs"].items()) or "none",
                f"{result['n_edited']:,}", result["n_false"], f"{result['sketch_seconds']:.1f}",
                f"{result['compare_seconds']:.1f}",
            ]
            for result in results
        ],
    )  # fmt: skip
    finish("near_duplicates", "python3 make.py bench near_duplicates", {"folders": results}, text)


if __name__ == "__main__":
    main()
