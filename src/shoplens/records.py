"""The nouns that travel through the package: boxes, photos, faults and failures."""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import numpy.typing as npt

from shoplens.attributes import NO_ATTRIBUTES, AttributeColumns, Value
from shoplens.errors import DataError, PhotoError

if TYPE_CHECKING:
    from shoplens.sources.file import File

Domain = Literal["user", "seller"]
"""Who took the photo. Encoders treat the two differently (per-domain centring)."""

BoxFrame = Literal["upright", "stored"]
"""What the pixels of a box refer to: the photo after its EXIF turn, or as stored in the file."""

REASONS = {
    "missing": "the file is not there",
    "empty": "the file has no bytes",
    "not_an_image": "the bytes are not an image in a known format",
    "truncated": "the file ends before the image does",
    "corrupt": "the image data are damaged",
    "not_installed": "what reads this format is not installed",
    "too_large": "more pixels or bytes than the limit (it may be a decompression bomb)",
    "too_slow": "decoding it took longer than the limit",
    "crashed": "its decoder crashed, or the system ended it",
    "unsupported": "a pixel type that cannot be converted to RGB",
    "bad_box": "the box is not four finite numbers with a positive width and height",
    "outside_box": "the box lies entirely outside the photo",
    "unreadable": "the file could not be opened (permissions, disk error)",
    "unreachable": "the network or the service that holds the file did not deliver it",
    "no_direction": "the model's vector for it is zero or not finite",
    "no_vector": "the given vectors contain none for this photo",
}
"""Why a photo could not be used: the words that failures are counted by, and their meanings."""

Vector = np.ndarray[tuple[int], np.dtype[np.float32]]
"""(d,) float32: what stands for one photo."""
Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]
"""(n, d) float32, a row for each photo."""

_INT32 = np.iinfo(np.int32)
_DIGITS = re.compile(r"[0-9][0-9,.]*")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels, half-open: it covers x0 <= x < x1 and y0 <= y < y1.

    Coordinates may be fractions of a pixel. Raises `PhotoError` (reason `bad_box`) when a
    coordinate is not finite or the box has no area.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        values = (self.x0, self.y0, self.x1, self.y1)
        if not all(math.isfinite(v) for v in values):
            raise PhotoError("bad_box", f"box {values} is not four finite numbers")
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise PhotoError(
                "bad_box",
                f"box {self} is empty: width and height must be positive",
            )

    def __str__(self) -> str:
        return f"{self.x0:g},{self.y0:g},{self.x1 - self.x0:g},{self.y1 - self.y0:g}"

    @classmethod
    def from_xywh(cls, x: float, y: float, w: float, h: float) -> Box:
        """Make a box from its top-left corner and size in pixels (as the tables have it)."""
        if not (w > 0 and h > 0):
            raise PhotoError(
                "bad_box", f"box {x:g},{y:g},{w:g},{h:g} is empty: width and height must be > 0"
            )
        return cls(x, y, x + w, y + h)

    @classmethod
    def from_relative(cls, x: float, y: float, w: float, h: float, size: tuple[int, int]) -> Box:
        """Make a box from fractions (0..1) of a photo of `size` (width, height)."""
        width, height = size
        return cls.from_xywh(x * width, y * height, w * width, h * height)

    @classmethod
    def parse(cls, text: str, size: tuple[int, int]) -> Box:
        """Read `x,y,w,h` in pixels, or `rel:x,y,w,h` in fractions of `size` (width, height).

        Raises `PhotoError` (reason `bad_box`) when the text is neither.
        """
        relative = text.startswith("rel:")
        parts = text.removeprefix("rel:").split(",")
        try:
            x, y, w, h = (float(part) for part in parts)
        except ValueError:
            raise PhotoError(
                "bad_box",
                f"box {text!r} is not x,y,w,h in pixels (120,40,300,200) "
                "or rel:x,y,w,h in fractions (rel:0.2,0.1,0.5,0.6)",
            ) from None
        return cls.from_relative(x, y, w, h, size) if relative else cls.from_xywh(x, y, w, h)

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y1 - self.y0

    def is_within(self, size: tuple[int, int]) -> bool:
        """Whether the whole box lies inside a photo of `size` (width, height)."""
        return self.x0 >= 0 and self.y0 >= 0 and self.x1 <= size[0] and self.y1 <= size[1]

    def clip(self, size: tuple[int, int]) -> Box:
        """Return the part inside a photo of `size` (width, height).

        Raises `PhotoError` (reason `outside_box`) when there is none.
        """
        x0, y0 = max(self.x0, 0.0), max(self.y0, 0.0)
        x1, y1 = min(self.x1, float(size[0])), min(self.y1, float(size[1]))
        if x1 <= x0 or y1 <= y0:
            raise PhotoError(
                "outside_box",
                f"box {self} lies entirely outside the photo of {size[0]} x {size[1]} pixels",
            )
        return Box(x0, y0, x1, y1)

    def scaled(self, factor: float) -> Box:
        """Return the same region of the photo shrunk (or grown) by `factor`."""
        return Box(self.x0 * factor, self.y0 * factor, self.x1 * factor, self.y1 * factor)


@dataclass(frozen=True, slots=True)
class Photo:
    """One row of a table: a photo, whose it is, and where in it the product is."""

    id: int
    """`seller_img_id` or `user_img_id`; any int32."""
    name: str
    """The path as the table writes it."""
    path: Path
    """The photo's file on disk; where there is a `file`, a path that names that."""
    domain: Domain
    box: Box | None = None
    """The product's box; None means the whole photo."""
    box_frame: BoxFrame = "upright"
    product_id: str | None = None
    """Ground truth, read as text and never interpreted; None where it is not known."""
    problem: PhotoError | None = None
    """Why the photo cannot be used, if the table alone shows it (a bad box, a missing file)."""
    file: File | None = None
    """Where its bytes are (an archive, a column, a URL); None means the file at `path`.
    `shoplens.sources.read_photo` reads either."""
    attributes: Mapping[str, Value] = NO_ATTRIBUTES
    """Further columns of its table (category, brand, price), by name. Immutable."""


_Others = tuple[Domain, Box | None, BoxFrame, PhotoError | None]


class PhotoColumns(Sequence[Photo]):
    """A growing list of photos that stores columns and makes a `Photo` when you ask for one.

    A catalogue of millions is listed in memory, where a `Photo` with its `Path` takes about 0.6 KB
    and a row of columns a third of it.

    Raises `DataError` when an id is not an int32.
    """

    def __init__(self, photos: Iterable[Photo] = ()) -> None:
        self._ids = array("i")
        self._names: list[str] = []
        self._paths: list[str | Path] = []
        """What comes before the name where a path ends with it: usually the text of one folder."""
        self._others: list[_Others] = []
        self._products: list[str | None] = []
        self._files: list[File | None] = []
        self._attributes = AttributeColumns()
        self._shared: dict[_Others, _Others] = {}
        """What most photos of a table have in common, once."""
        for photo in photos:
            self.append(photo)

    @classmethod
    def counted(
        cls, names: Sequence[str], product_ids: Sequence[str | None], domain: Domain
    ) -> PhotoColumns:
        """Make photos that are numbered from 0, all at once; where their files are is not known.

        Args:
            names: (n) theirs.
            product_ids: (n) theirs; None where one is not known.
            domain: of all of them.
        """
        photos, n = cls(), len(names)
        photos._ids = array("i", range(n))
        photos._names = list(names)
        photos._paths = [Path()] * n
        photos._others = [(domain, None, "upright", None)] * n
        photos._products = list(product_ids)
        photos._files = [None] * n
        photos._attributes = AttributeColumns(n_rows=n)
        return photos

    @property
    def ids(self) -> npt.NDArray[np.int32]:
        """(n,) int32, a copy."""
        return np.array(self._ids, dtype=np.int32)

    def append(self, photo: Photo) -> None:
        """Add a photo at the end."""
        if not _INT32.min <= photo.id <= _INT32.max:
            raise DataError(f"photo id {photo.id} ({photo.name}) does not fit 32 bits")
        self._ids.append(photo.id)
        self._names.append(photo.name)
        text = str(photo.path)
        named = bool(photo.name) and text.endswith(photo.name)
        self._paths.append(sys.intern(text[: -len(photo.name)]) if named else photo.path)
        others = (photo.domain, photo.box, photo.box_frame, photo.problem)
        if photo.box is None and photo.problem is None:
            others = self._shared.setdefault(others, others)
        self._others.append(others)
        product = photo.product_id
        self._products.append(None if product is None else sys.intern(product))
        self._files.append(photo.file)
        self._attributes.append(photo.attributes)

    @property
    def product_ids(self) -> list[str | None]:
        """The products of the photos, a copy."""
        return list(self._products)

    def set_attributes(self, columns: Mapping[str, Sequence[Value]]) -> None:
        """Replace the attributes of all photos.

        Args:
            columns: by name, a value for each photo.
        """
        self._attributes = AttributeColumns(columns, len(self))

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> Photo: ...
    @overload
    def __getitem__(self, index: slice) -> list[Photo]: ...
    def __getitem__(self, index: int | slice) -> Photo | list[Photo]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        name, path = self._names[index], self._paths[index]
        domain, box, box_frame, problem = self._others[index]
        return Photo(
            id=self._ids[index],
            name=name,
            path=Path(path + name) if isinstance(path, str) else path,
            domain=domain,
            box=box,
            box_frame=box_frame,
            product_id=self._products[index],
            problem=problem,
            file=self._files[index],
            attributes=self._attributes[index],
        )


class PhotoSet(Sequence[Photo]):
    """Photos in the order of their table: a gallery or a list of queries.

    `numbered` says that ids only count the photos, as in a folder without a table: one photo more,
    and others have them. Such photos are known again by their names. `n_others` is how many files
    in such a folder are not photos.

    Raises `DataError` when an id is repeated or is not an int32.
    """

    def __init__(
        self, photos: Iterable[Photo], *, numbered: bool = False, n_others: int = 0
    ) -> None:
        self.numbered = numbered
        self.n_others = n_others
        self._photos = photos if isinstance(photos, PhotoColumns) else PhotoColumns(photos)
        self.ids: npt.NDArray[np.int32] = self._photos.ids
        """(n,) int32, in table order."""
        values, counts = np.unique(self.ids, return_counts=True)
        if (counts > 1).any():
            repeated = int(values[counts > 1][0])
            first, second = np.flatnonzero(self.ids == repeated)[:2].tolist()
            names = f"{self._photos[first].name} and {self._photos[second].name}"
            raise DataError(f"photo id {repeated} is used twice: {names}")

    def __len__(self) -> int:
        return len(self._photos)

    @overload
    def __getitem__(self, index: int) -> Photo: ...
    @overload
    def __getitem__(self, index: slice) -> PhotoSet: ...
    def __getitem__(self, index: int | slice) -> Photo | PhotoSet:
        if isinstance(index, slice):
            return PhotoSet(self._photos[index], numbered=self.numbered)
        return self._photos[index]

    def __iter__(self) -> Iterator[Photo]:
        return iter(self._photos)

    def __repr__(self) -> str:
        return f"PhotoSet({len(self)} photos)"

    @property
    def product_ids(self) -> list[str | None]:
        """The products of the photos, in table order; None where one is not known."""
        return self._photos.product_ids

    @property
    def has_products(self) -> bool:
        """Whether every photo's product is known (an empty set counts as known)."""
        return None not in self.product_ids


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in a table or one of its photos, and where.

    `row` counts as a spreadsheet does: the header is row 1. 0 means the file as a whole, and an
    empty `column` the row as a whole.
    """

    file: str
    row: int
    column: str
    value: str
    problem: str

    @property
    def cause(self) -> tuple[str, str, str]:
        """What faults of one kind share: file, column, and the problem without its details."""
        problem = self.problem.replace(self.value, "") if self.value else self.problem
        reason = problem.partition(": ")[0]
        return self.file, self.column, reason if reason in REASONS else _DIGITS.sub("", problem)

    def __str__(self) -> str:
        place = self.file
        if self.row:
            place += f", row {self.row}"
        if self.column:
            place += f", column {self.column}"
        value = f" {self.value!r}" if self.value else ""
        return f"{place}:{value} {self.problem}"


def by_cause(faults: Iterable[Fault]) -> list[list[Fault]]:
    """Return faults grouped by their cause, in order of the first of each."""
    groups: dict[tuple[str, str, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault(fault.cause, []).append(fault)
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class Failure:
    """A photo that could not be embedded: a record, not an exception."""

    row: int
    """Position in its `PhotoSet`, from 0."""
    id: int
    name: str
    reason: str
    """A key of `REASONS`."""
    detail: str
