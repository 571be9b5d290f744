"""Photos to measure with: those at hand, and made ones."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from measuring import REAL, SAMPLE
from PIL import Image

from shoplens import read_dataset
from shoplens.datasets.format import BOX_COLUMNS
from shoplens.records import Photo

UPRIGHT_BY_90 = 6
"""The EXIF orientation of a phone held upright."""


def photos_at_hand(n: int | None = None) -> tuple[str, list[Photo]]:
    """Return the challenge's open development photos, or the sample data where they are not there.

    Args:
        n: how many to take, spread evenly over queries and gallery; None takes all.

    Returns:
        What they are, in words, and the photos; queries have boxes.
    """
    real = (REAL / "gallery.csv").is_file()
    dataset = read_dataset(REAL if real else SAMPLE)
    photos = [*dataset.queries, *dataset.gallery]
    if n is not None and n < len(photos):
        photos = [photos[int(i)] for i in np.linspace(0, len(photos) - 1, n)]
    return "open development set" if real else "sample furniture", photos


def write_queries(photos: Sequence[Photo], folder: Path) -> None:
    """Copy photos into a test set folder, all as queries with a box, and number them from 0."""
    (folder / "photos").mkdir(parents=True)
    rows = []
    for number, photo in enumerate(photos):
        name = f"photos/{number}{photo.path.suffix}"
        shutil.copyfile(photo.path, folder / name)
        box = photo.box
        if box is None:
            with Image.open(photo.path) as image:
                sides: tuple[float, ...] = (0, 0, *image.size)
        else:
            sides = (box.x0, box.y0, box.width, box.height)
        rows.append((number, name, *(round(side) for side in sides)))
    _write_table(folder / "queries.csv", ("user_img_id", "img_path", *BOX_COLUMNS), rows)
    _write_table(folder / "gallery.csv", ("seller_img_id", "img_path"), [(0, rows[0][1])])


def write_catalogue(n: int, templates: Sequence[bytes], folder: Path) -> None:
    """Write a gallery of n JPEGs of different content, though of few different pictures."""
    (folder / "photos").mkdir(parents=True)
    for number in range(n):
        jpeg = numbered(templates[number % len(templates)], number)
        (folder / "photos" / f"{number}.jpg").write_bytes(jpeg)
    write_gallery_table(folder / "gallery.csv", n)


def write_gallery_table(file: Path, n: int) -> None:
    """Write the table of the first n photos of a catalogue of `write_catalogue`."""
    rows = [(number, f"photos/{number}.jpg") for number in range(n)]
    _write_table(file, ("seller_img_id", "img_path"), rows)


def numbered(jpeg: bytes, number: int) -> bytes:
    """Return the same JPEG with a number as its comment: other bytes, the same pixels."""
    text = str(number).encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


def made_jpegs(n: int, size: tuple[int, int], seed: int = 0) -> list[bytes]:
    """Make JPEGs of smooth colourful pictures of (width, height) pixels."""
    random = np.random.default_rng(seed)
    jpegs = []
    for _ in range(n):
        small = random.integers(256, size=(12, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
        jpegs.append(_jpeg(picture, quality=90))
    return jpegs


def phone_jpegs(n: int, seed: int = 0) -> list[bytes]:
    """Make JPEGs as phones write them: 4000 x 3000 pixels, with noise, lying on their side."""
    random = np.random.default_rng(seed)
    exif = Image.Exif()
    exif[0x0112] = UPRIGHT_BY_90
    files = sorted((SAMPLE / "queries").glob("*.jpg"))[:n]
    jpegs = []
    for file in files:
        with Image.open(file) as image:
            large = image.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC)
        noise = random.normal(0, 4, size=(3000, 4000, 1)).astype(np.int16)
        noisy = np.clip(np.asarray(large, dtype=np.int16) + noise, 0, 255).astype(np.uint8)
        jpegs.append(_jpeg(Image.fromarray(noisy), quality=92, exif=exif))
    return jpegs


def _jpeg(picture: Image.Image, **settings: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", **settings)
    return stream.getvalue()


def _write_table(file: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
