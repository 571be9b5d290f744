"""How well near-duplicates are found: recall by edit, and false pairs among different photos.

    .venv/bin/python bench/near_duplicates.py examples/furniture [MORE_FOLDERS] [--edited 180]

Every photo is compared with every other of its folder: what is found there is no edit, and has to
be looked at to tell whether it is false. Then some photos, drawn with seed 0, are edited and looked
for among all photos of the folder. An edit counts as found when its original is among the pairs at
the default threshold; any other photo found for it is a false pair.
"""

from __future__ import annotations

import argparse
import io
import random
import time
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from shoplens.curation.duplicates import (
    THRESHOLD,
    Sketch,
    find_duplicates,
    find_shared,
    sketch_decoded,
    sketch_photos,
)
from shoplens.curation.reading import read_photos
from shoplens.curation.sketches import TARGET
from shoplens.images import decode
from shoplens.records import Photo
from shoplens.sources import read_photo


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


def main() -> None:
    """Measure and print a table a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--edited", type=int, default=180, help="photos to edit, of each folder")
    options = parser.parse_args()
    for folder in options.folders:
        photos = read_photos(folder)
        start = time.perf_counter()
        sketches, _ = sketch_photos(photos)
        sketch_seconds = time.perf_counter() - start
        start = time.perf_counter()
        among = find_duplicates(sketches)
        seconds = time.perf_counter() - start
        n = len(sketches)
        print(f"{folder}: {n:,} photos, {n * (n - 1) // 2:,} pairs, threshold {THRESHOLD}")
        print(
            f"  sketched in {sketch_seconds:.1f} s, {n * (n - 1) // 2:,} pairs in {seconds:.1f} s"
        )
        kinds = [pair.kind for pair in among]
        told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        print(f"  pairs among them: {told or 'none'}")
        for pair in among[: 0 if len(among) > 40 else 40]:
            names = (sketches[i].photo.name for i in (pair.first, pair.second))
            print(f"    {pair.kind} {pair.distance:.4f}", *names)
        chance = random.Random(0)
        chosen = chance.sample(range(n), min(options.edited, n))
        found: dict[str, list[bool]] = {}
        false: dict[str, int] = {}
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
        for number, (position, name) in enumerate(originals):
            of = hits.get(number, set())
            found.setdefault(name, []).append(position in of)
            others = [o for o in of - {position} if frozenset((o, position)) not in known]
            false[name] = false.get(name, 0) + len(others)
        for name, values in found.items():
            print(f"  {name:26} recall {np.mean(values):.3f}  false pairs {false[name]}")


if __name__ == "__main__":
    main()
