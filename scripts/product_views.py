"""What the heads of clip-b16 and lite0-lite2-products are fitted to.

A view is a photo as an encoder sees it, or one made of it: a product on clutter, or cleaned up and
recoloured, where there is no photo of that domain. FOLDER (`--tables`) holds

- `train-photos/train.csv` with its photos, of the sources grocery (GroceryStore, MIT), clothing
  (CC0), gso (Google Scanned Objects, CC BY 4.0) and dreambooth (CC BY 4.0);
- `scan-renders/`, which `scripts/render_bulk` makes of scanned products (see
  `scripts/build_clip.py`);
- `renders/`, which it makes of furniture (docs/training.md), without the sample's products.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shoplens.pixels.crops import crop
from shoplens.pixels.decoding import decode, read_bytes
from shoplens.records import Domain
from shoplens.training.augment import Augmenter
from shoplens.training.config import Augmentation

GROCERY_SHARE = 0.15
"""Of the groceries' products, kept out; the rule of `shoplens.training.photos.split`."""
SCANS_KEPT_OUT = 30
"""Products of the scans, in the order of their hashes."""
RENDERS_SHARE = 1 / 3
"""Of the furniture's products, taken."""
PLAIN = 250
"""Photos of a source and domain that are taken as they are, at most, evenly spaced."""

MILD = Augmentation.none().model_copy(
    update={
        "foreground_cut": 1.0, "clean_up": 1.0, "backdrop": 0.3, "shadow": 0.4,
        "perspective": 0.3, "rotation": 6.0, "box_jitter": 0.06, "mirror": 0.3, "occlusion": 0.1,
        "blur": 0.1, "low_resolution": 0.15, "noise": 0.1, "jpeg": 0.3, "low_light": 0.05,
        "contrast": 0.3, "colour_cast": 0.3, "colour_variant": 0.3,
    }
)  # fmt: skip
"""Of products that were photographed or rendered from several sides."""
STRONG = MILD.model_copy(
    update={
        "perspective": 0.7, "rotation": 15.0, "box_jitter": 0.12, "mirror": 0.5, "occlusion": 0.15,
        "contrast": 0.5, "colour_cast": 0.5, "colour_variant": 0.5,
    }
)  # fmt: skip
"""Where the other domain's photos are all made of a user's photos."""


class Row(NamedTuple):
    """A photo, as a table has it."""

    name: str
    """Relative to the folder of tables."""
    source: str
    domain: Domain
    product: str
    category: str


@dataclass(frozen=True, slots=True)
class View:
    """A photo, or what is made of it."""

    name: str
    """The photo's, relative to the folder of tables."""
    source: str
    taken_by: Domain
    domain: Domain
    """Whom it stands for."""
    product: str
    """Unique among all sources."""
    made: Augmentation | None = None
    """How it differs from the photo; None: not at all."""

    @classmethod
    def of(
        cls,
        row: Row,
        source: str,
        domain: Domain | None = None,
        made: Augmentation | None = None,
    ) -> View:
        """Return a view of a photo, for its own domain where none is named."""
        product = f"{source}/{row.product}"
        return cls(row.name, source, row.domain, domain or row.domain, product, made)

    @property
    def key(self) -> str:
        """What stored features and seeds go by."""
        if self.made is None:
            return f"{self.name} as it is"
        return f"{self.name} as {self.domain}, {self.made.model_dump_json()}"


class Prepared(NamedTuple):
    """How an encoder is shown a photo."""

    size: int
    """Side of the square, in pixels."""
    pad_colour: tuple[int, int, int]


def hashed(text: str) -> float:
    """Return a number from 0 to 1 that depends on a text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def spread_out(rows: list[Row], most: int) -> list[Row]:
    """Return at most so many, evenly spaced."""
    places = np.linspace(0, len(rows) - 1, min(most, len(rows))).round()
    return [rows[int(place)] for place in places]


class Tables:
    """The tables of a folder, and the views that each source gives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: dict[str, list[Row]] = {}
        self._augmenters: dict[tuple[Augmentation, Prepared], Augmenter] = {}

    def views(self, source: str) -> list[View]:
        """Return the views of one of `SOURCES`; none of products that are kept out."""
        return SOURCES[source](self)

    def rows(self, table: str, source: str | None = None) -> list[Row]:
        """Return the rows of a table, or of one source in it, in its order."""
        if table not in self._tables:
            file = self.folder / table / "train.csv"
            with file.open(encoding="utf-8", newline="") as stream:
                self._tables[table] = [
                    Row(
                        f"{table}/{row['img_path']}",
                        row["source"],
                        "user" if row["domain"] == "user" else "seller",
                        row["product_id"],
                        row["category"],
                    )
                    for row in csv.DictReader(stream)
                ]
        return [row for row in self._tables[table] if source in (None, row.source)]

    def photos(self, table: str, source: str | None = None) -> dict[tuple[str, Domain], list[Row]]:
        """Return the same by product and domain."""
        found: dict[tuple[str, Domain], list[Row]] = {}
        for row in self.rows(table, source):
            found.setdefault((row.product, row.domain), []).append(row)
        return found

    def groceries(self) -> list[Row]:
        """Return the rows of groceries, without the products that are kept out."""
        return [
            row
            for row in self.rows("train-photos", "grocery")
            if hashed(f"0/grocery/{row.product}") >= GROCERY_SHARE
        ]

    def scans_kept_out(self) -> set[str]:
        """Return the products of scans that nothing is fitted to; there are no previews of them."""
        previews = {row.product for row in self.rows("train-photos", "gso")}
        products = {row.product for row in self.rows("scan-renders")} - previews
        return set(sorted(products, key=lambda p: hashed(f"0/scans/{p}"))[:SCANS_KEPT_OUT])

    def pixels(self, view: View, prepared: Prepared) -> npt.NDArray[np.uint8]:
        """Return (size, size, 3) uint8; the same each time."""
        path = self.folder / view.name
        if view.made is None:
            photo = decode(read_bytes(path), target=prepared.size)
            return crop(photo, size=prepared.size, fit="pad", pad_colour=prepared.pad_colour)
        seed = hashlib.sha256(view.key.encode()).digest()[:8]
        augmenter = self._augmenter(view.made, prepared)
        rng = np.random.default_rng(int.from_bytes(seed, "big"))
        return augmenter.view(path, view.taken_by, view.domain, rng)

    def _augmenter(self, settings: Augmentation, prepared: Prepared) -> Augmenter:
        if (settings, prepared) not in self._augmenters:
            clutter = [
                self.folder / view.name
                for source in ("clothing", "grocery")
                for view in self.views(source)
                if view.made is None and view.taken_by == "user"
            ]
            self._augmenters[settings, prepared] = Augmenter(
                settings, size=prepared.size, pad_colour=prepared.pad_colour, clutter=clutter
            )
        return self._augmenters[settings, prepared]


def _grocery(tables: Tables) -> list[View]:
    rows = tables.groceries()
    views = []
    for domain in ("user", "seller"):
        of_domain = [row for row in rows if row.domain == domain]
        views += [View.of(row, "grocery") for row in spread_out(of_domain, PLAIN)]
    return views


def _scans(tables: Tables) -> list[View]:
    """Two studio pictures and two snapshots, on clutter, of each product."""
    kept_out = tables.scans_kept_out()
    views = []
    for (product, domain), rows in tables.photos("scan-renders").items():
        if product not in kept_out:
            made = None if domain == "seller" else MILD
            views += [View.of(row, "scans", made=made) for row in rows[:2]]
    return views


def _gso(tables: Tables) -> list[View]:
    """Previews, and two of each product on clutter."""
    previews = spread_out(tables.rows("train-photos", "gso"), PLAIN)
    views = [View.of(row, "gso") for row in previews]
    for rows in tables.photos("train-photos", "gso").values():
        views += [View.of(row, "gso", "user", MILD) for row in spread_out(rows, 2)]
    return views


def _dreambooth(tables: Tables) -> list[View]:
    return [View.of(row, "dreambooth") for row in tables.rows("train-photos", "dreambooth")]


def _clothing(tables: Tables) -> list[View]:
    """Photos as they are, and made to look like a seller's."""
    rows = spread_out(tables.rows("train-photos", "clothing"), PLAIN)
    views = [View.of(row, "clothing") for row in rows]
    return views + [View.of(row, "clothing", "seller", STRONG) for row in rows]


def _renders(tables: Tables) -> list[View]:
    """A studio picture and a snapshot, on clutter, of some products."""
    views = []
    for (product, domain), rows in tables.photos("renders").items():
        if hashed(f"r/{product}") < RENDERS_SHARE:
            made = None if domain == "seller" else MILD
            views.append(View.of(rows[0], "renders", made=made))
    return views


SOURCES: dict[str, Callable[[Tables], list[View]]] = {
    "grocery": _grocery,
    "scans": _scans,
    "gso": _gso,
    "dreambooth": _dreambooth,
    "clothing": _clothing,
    "renders": _renders,
}
"""By worth: photos of users and sellers first."""
