"""The photos of a published dataset, and how they are collected from its lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shoplens.errors import DataError, PhotoError
from shoplens.records import Box, Domain, Fault, Photo
from shoplens.sources.folder import DiskFolder

ALL = "all"
"""As a split: all splits together. Every layout has it."""


@dataclass(frozen=True, slots=True)
class PublishedPhotos:
    """The photos of a split of a published dataset."""

    root: Path
    """What names are relative to."""
    photos: tuple[Photo, ...]
    """Numbered from 0, in the order of the lists. Boxes refer to the pixels as stored. A photo that
    is named but not there has a `problem`. The attribute `category` is set where the dataset has
    one."""
    rows: tuple[int, ...]
    """The line of each photo in the list that names it first; empty where there are no lists."""
    undivided: frozenset[int]
    """The ids of photos of which the dataset does not say whether they are searched with or
    searched in. They are marked as sellers'."""
    n_repeated: int
    """Lines that name a photo again."""
    strays: tuple[str, ...]
    """Images outside the layout, which belong to no product."""
    notes: tuple[str, ...]
    """What the user should know about how the dataset was read, in sentences."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout in which a dataset is published."""

    name: str
    title: str
    """The dataset's name."""
    splits: tuple[str, ...]
    """Its splits, `ALL` among them."""
    find: Callable[[Path], Path | None]
    """Returns the folder that has the layout: the one given or one in it; None where neither
    has."""
    read: Callable[[Path, str], PublishedPhotos]
    """Takes the folder that `find` returned and one of `splits`."""
    recognisable: bool = True
    """Whether nothing else looks like it. If not, it must be named."""


def folders_to_try(root: Path) -> list[Path]:
    """Return a folder and those in it: archives often hold one folder that holds the rest."""
    if not root.is_dir():
        return []
    inside = (p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [root, *sorted(inside)]


class Collector:
    """Collects the photos that the lists of a dataset name, and what is wrong with the lists.

    Names are found whatever their case: datasets are packed and unpacked on systems that ignore
    it, so a list may say `.jpg` where the file is called `.JPG`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = DiskFolder(root)
        self._children: dict[Path, dict[str, list[str]]] = {}
        self._photos: list[Photo] = []
        self._rows: list[int] = []
        self._undivided: set[int] = set()
        self._known: dict[tuple[Path, Domain], tuple[int, str]] = {}
        self._faults: list[Fault] = []
        self._notes: list[str] = []
        self._strays: list[str] = []
        self._n_repeated = 0

    def fault(self, file: str, row: int, value: str, problem: str) -> None:
        """Record what makes a list unusable."""
        self._faults.append(Fault(file, row, "", value[:80], problem))

    def note(self, sentence: str) -> None:
        """Record what the user should know."""
        self._notes.append(sentence)

    def stray(self, name: str) -> None:
        """Record an image that belongs to no product."""
        self._strays.append(name)

    def add(
        self,
        name: str,
        product: str,
        *,
        domain: Domain | None,
        file: str = "",
        row: int = 0,
        box: Box | None = None,
        problem: PhotoError | None = None,
        category: str = "",
    ) -> None:
        """Add a photo, once; naming it again with another product is a fault.

        Args:
            name: its path, as a list has it: relative to the root, with either slash.
            product: the id of its product.
            domain: `user` for a photo to search with, `seller` for one to search in; None where the
                dataset does not say.
            file: the list.
            row: the line in it, from 1; 0 where there is no list.
            box: the product's, in pixels as stored.
            problem: what is wrong with its box. It spoils the photo only if it is searched with.
            category: the product's; empty where there is none.
        """
        name = name.replace("\\", "/").lstrip("/")
        try:
            path, is_there = self._locate(name)
        except (ValueError, OSError) as error:
            self.fault(file, row, name, str(error))
            return
        side = domain or "seller"
        if (path, side) in self._known:
            first, known = self._known[path, side]
            if known != product:
                said = f"has product {product}, but {known} in line {first}"
                self.fault(file, row, name, said)
            self._n_repeated += 1
            return
        self._known[path, side] = row, product
        if domain != "user":
            problem = None
        if not is_there:
            problem = PhotoError("missing", f"no file {name} in {self._root}")
        number = len(self._photos)
        if domain is None:
            self._undivided.add(number)
        self._photos.append(
            Photo(
                number,
                name,
                path,
                side,
                box=box,
                box_frame="stored",
                product_id=product,
                problem=problem,
                attributes={"category": category} if category else {},
            )
        )
        self._rows.append(row)

    def result(self) -> PublishedPhotos:
        """Return what was collected.

        Raises `DataError` when the lists have faults, with all of them, or name no photo.
        """
        if self._faults:
            n = len(self._faults)
            raise DataError(f"{self._root}: {n:,} fault{'s' * (n > 1)} in the lists", self._faults)
        if not self._photos:
            raise DataError(f"{self._root} has no photos of this split")
        return PublishedPhotos(
            root=self._root,
            photos=tuple(self._photos),
            rows=tuple(self._rows) if any(self._rows) else (),
            undivided=frozenset(self._undivided),
            n_repeated=self._n_repeated,
            strays=tuple(self._strays),
            notes=tuple(self._notes),
        )

    def _locate(self, name: str) -> tuple[Path, bool]:
        file, is_there = self._folder.locate(name)
        if is_there:
            return file.path, True
        other = self._in_other_case(name)
        return (file.path, False) if other is None else (other, True)

    def _in_other_case(self, name: str) -> Path | None:
        path = self._root
        for part in name.split("/"):
            alike = self._names_in(path).get(part.casefold(), [])
            # Of two that differ only in case, neither is meant more than the other.
            if len(alike) != 1:
                return None
            path = path / alike[0]
        return path if path.is_file() else None

    def _names_in(self, folder: Path) -> Mapping[str, list[str]]:
        if folder not in self._children:
            names: dict[str, list[str]] = {}
            if folder.is_dir():
                for child in folder.iterdir():
                    names.setdefault(child.name.casefold(), []).append(child.name)
            self._children[folder] = names
        return self._children[folder]
