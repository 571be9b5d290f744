"""The products of Sweet Home 3D furniture archives, and the files their models are made of."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

FOLDER = Path("/usr/share/sweethome3d/furniture")
LIST = "PluginFurnitureCatalog.properties"
LICENCE = re.compile(r"Creative\s+Commons\s+(?:CC-?)?(Zero|[-\w. ]*?Attribution[-\w ]*)", re.I)
VERSION = re.compile(
    r"creativecommons\.org/licenses/[-a-z]+/(\d\.\d)"
    r"|Creative\s+Commons\s+[-a-z ]*(\d\.\d)",
    re.I,
)
"""The version of a licence, in its address or in the words of its name."""


@dataclass(frozen=True)
class Product:
    """One model of an archive: ``size`` is width, height and depth in metres, y upward.

    ``rotation`` holds nine numbers, row by row, or none; ``elevation`` is how far above the floor
    the product hangs, in metres; ``model`` and ``icon`` name files inside the archive.
    """

    id: str
    name: str
    category: str
    author: str
    licence: str
    archive: str
    model: str
    icon: str
    size: tuple[float, float, float]
    rotation: tuple[float, ...] = ()
    elevation: float = 0.0


class Archive:
    """A furniture archive, open for reading; files are found whatever the case of their names."""

    def __init__(self, file: Path | io.BytesIO) -> None:
        self.zip = zipfile.ZipFile(file)
        self.names = {n.lower(): n for n in self.zip.namelist() if not n.endswith("/")}

    def find(self, path: str) -> str | None:
        """A file's name as stored, or None."""
        path = posixpath.normpath(path.replace("\\", "/")).lstrip("/")
        return self.names.get(path.lower())

    def read(self, path: str) -> bytes:
        """A file's bytes; `KeyError` where there is none."""
        name = self.find(path)
        if name is None:
            raise KeyError(path)
        return self.zip.read(name)

    def beside(self, path: str) -> list[str]:
        """The files in a file's folder and below."""
        folder = posixpath.dirname(posixpath.normpath(path).lstrip("/")).lower() + "/"
        return [name for low, name in self.names.items() if low.startswith(folder)]

    def model(self, path: str) -> tuple[Archive, str]:
        """The archive and the OBJ file a model stands for: itself, or the first in a nested zip."""
        if not path.lower().endswith((".zip", ".sh3f")):
            return self, path
        inner = Archive(io.BytesIO(self.read(path)))
        return inner, next(n for low, n in sorted(inner.names.items()) if low.endswith(".obj"))


def read_properties(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """A list's own properties, and one dict of properties for each numbered entry, in order."""
    top: dict[str, str] = {}
    entries: dict[int, dict[str, str]] = {}
    for line in text.splitlines():
        if found := re.match(r"\s*(\w+)(?:#(\d+))?\s*[=:]\s*(.*?)\s*$", line):
            key, number, value = found.groups()
            value = re.sub(r"\\u([0-9a-fA-F]{4})", lambda u: chr(int(u[1], 16)), value)
            (entries.setdefault(int(number), {}) if number else top)[key] = value
    return top, [entries[n] for n in sorted(entries)]


def slug(text: str) -> str:
    """Text as part of a file name: letters, digits, ``_``, ``.`` and ``-``."""
    return re.sub(r"[^\w.]+", "-", text, flags=re.ASCII).strip("-.") or "unnamed"


def licence_name(text: str) -> str | None:
    """The short name of the licence a text states, such as ``CC0`` or ``CC-BY-3.0``.

    Where the text states no version, the name has none.
    """
    if re.search(r"public domain", text[:200], re.I):
        return "CC0"
    found = LICENCE.search(re.sub(r"<[^>]*>", " ", text))
    if not found:
        return None
    stated = " ".join(found[1].lower().replace("-", "").split())
    if stated == "zero":
        return "CC0"
    parts = [("noncommercial", "NC"), ("sharealike", "SA"), ("noderiv", "ND")]
    marks = "".join(f"-{mark}" for word, mark in parts if word in stated)
    version = VERSION.search(text)
    return f"CC-BY{marks}" + (f"-{version[1] or version[2]}" if version else "")


def licence_of(archive: Archive, model: str, whole: str) -> str:
    """A model's licence: that of a licence file in its own folder, else the archive's."""
    for name in archive.beside(model):
        if "licen" in name.lower():
            stated = licence_name(archive.read(name).decode("utf-8", "replace"))
            if stated:
                return stated
    return licence_name(whole) or "unknown"


def read_catalogue(path: Path) -> tuple[list[Product], list[tuple[str, str]]]:
    """The products of one archive, in its order, and (entry, reason) of those it lists wrongly."""
    archive = Archive(path)
    top, entries = read_properties(archive.read(LIST).decode("latin-1"))
    products: dict[str, Product] = {}
    broken = []
    for number, entry in enumerate(entries, 1):
        try:
            product = read_entry(archive, path, entry, top.get("license", ""))
        except KeyError as error:
            broken.append((f"{path.name}#{number}", f"the list gives no {error.args[0]}"))
            continue
        except ValueError:
            broken.append((f"{path.name}#{number}", "the list gives a size that is no number"))
            continue
        count, stem = 1, product.id
        while product.id in products:
            count += 1
            product = replace(product, id=f"{stem}-{count}")
        products[product.id] = product
    return list(products.values()), broken


def read_entry(archive: Archive, path: Path, entry: dict[str, str], licence: str) -> Product:
    """The product of one entry in an archive's list."""
    model = entry["model"].lstrip("/")
    rotation = tuple(float(x) for x in entry.get("modelRotation", "").split())
    return Product(
        id=f"{slug(path.stem).lower()}/{slug(Path(model).stem)}",
        name=entry["name"],
        category=entry["category"],
        author=entry.get("creator", "unknown"),
        licence=licence_of(archive, model, licence),
        archive=path.name,
        model=model,
        icon=entry.get("icon", "").lstrip("/"),
        size=(metres(entry["width"]), metres(entry["height"]), metres(entry["depth"])),
        rotation=rotation if len(rotation) == 9 else (),
        elevation=metres(entry.get("elevation", "0")),
    )


def metres(centimetres: str) -> float:
    """A length as the list writes it, in metres."""
    return float(centimetres) / 100
