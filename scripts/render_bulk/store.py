"""The output folder: pictures, a note for each finished product, and the tables made of them."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from catalogue import Product
from PIL import Image

QUALITY = 85
TRAIN = ("img_path", "source", "domain", "product_id", "category")
CREDITS = ("product_id", "name", "author", "licence", "archive")


@dataclass(frozen=True)
class Settings:
    """What decides how the pictures look; products finished with others are made anew."""

    seller_views: int
    user_views: int
    size: int
    seed: int

    def shots(self) -> list[tuple[str, int]]:
        """The kind and number of each picture of a product."""
        kinds = [("seller", self.seller_views), ("user", self.user_views)]
        return [(kind, number) for kind, count in kinds for number in range(count)]


@dataclass(frozen=True)
class Note:
    """How a product ended: ``reason`` is empty for one whose pictures are there."""

    product_id: str
    settings: Settings
    geometry: str = ""
    look: str = ""
    reason: str = ""


class Store:
    """An output folder; whatever stands in it under its final name is whole."""

    def __init__(self, out: Path, settings: Settings) -> None:
        self.out, self.settings = out, settings

    def picture_path(self, product_id: str, kind: str, number: int) -> Path:
        """Where a picture stands, from the output folder."""
        return Path("images") / product_id / f"{kind}-{number:02d}.webp"

    def save_picture(self, product_id: str, kind: str, number: int, picture: Image.Image) -> None:
        """Write a picture with its transparency."""
        path = self.out / self.picture_path(product_id, kind, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        picture.save(part, "WEBP", quality=QUALITY, alpha_quality=95, method=3)
        part.replace(path)

    def note_path(self, product_id: str) -> Path:
        """Where a product's note stands."""
        return self.out / "notes" / f"{product_id}.json"

    def save_note(self, note: Note) -> None:
        """Write how a product ended, after its last picture."""
        write_whole(self.note_path(note.product_id), json.dumps(asdict(note)) + "\n")

    def note(self, product_id: str) -> Note | None:
        """A product's note; None if it is not finished with these settings."""
        path = self.note_path(product_id)
        if not path.exists():
            return None
        try:
            fields = json.loads(path.read_text())
            note = Note(**{**fields, "settings": Settings(**fields["settings"])})
        except (KeyError, TypeError, ValueError):  # another version's
            return None
        return note if note.settings == self.settings else None

    def clear(self, product_id: str) -> None:
        """Remove what an interrupted run, or one with other settings, left of a product."""
        self.note_path(product_id).unlink(missing_ok=True)
        shutil.rmtree(self.out / "images" / product_id, ignore_errors=True)

    def write_tables(
        self, products: Iterable[Product], broken: Sequence[tuple[str, str]]
    ) -> tuple[list[Product], list[tuple[str, str]]]:
        """Write train.csv, credits.csv and failures.csv from what is finished of ``products``.

        Of products with the same look the first one counts. Returns those in train.csv, and
        (product, reason) of the others.
        """
        train, credits, kept = [], [], []
        failures = list(broken)
        looks: dict[str, str] = {}
        for product in products:
            note = self.note(product.id)
            if note is None:
                continue
            if note.reason:
                failures.append((product.id, note.reason))
                continue
            if looks.setdefault(note.look, product.id) != product.id:
                failures.append((product.id, "duplicate of another product"))
                continue
            kept.append(product)
            for kind, number in self.settings.shots():
                path = self.picture_path(product.id, kind, number).as_posix()
                train.append((path, "renders", kind, product.id, product.category))
            about = (product.name, product.author, product.licence, product.archive)
            credits.append((product.id, *about))
        write_table(self.out / "train.csv", TRAIN, train)
        write_table(self.out / "credits.csv", CREDITS, credits)
        write_table(self.out / "failures.csv", ("product", "reason"), failures)
        return kept, failures


def write_whole(path: Path, text: str) -> None:
    """Write a file beside its place, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    part.replace(path)
