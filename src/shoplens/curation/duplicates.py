"""Photos that show the same picture: the same bytes, the same pixels, or nearly.

Near-duplicates are copies of one photo that were scaled, encoded again, brightened a little,
framed, or trimmed by a few per cent. Two different photos of one product are not near-duplicates.
They are found in two steps: photos whose hashes differ in few bits are candidates (`hamming`), and
a comparison of thumbnails decides. One thumbnail is first aligned with the other by a small shift
and stretch; brightness and contrast are ignored; the remaining difference is the distance. Colours
are compared last: a pair that is the same in grey but not in colour is called recoloured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from shoplens.curation.alignment import align
from shoplens.curation.hamming import near_pairs
from shoplens.curation.sketches import SIDE, TARGET, Region, SketchView, hash_of, sketch
from shoplens.errors import PhotoError
from shoplens.looking import decoded_photo, look_at, photo_bytes
from shoplens.pixels.decoding import Decoded, decoding
from shoplens.progress import Progress, silent
from shoplens.records import Box, Photo
from shoplens.report.findings import SamePicture

RADIUS = 11
"""Bits in which the hashes of candidates may differ."""
THRESHOLD = 0.03
"""Largest distance of near-duplicates: the share of a thumbnail's contrast (its variance) that the
other does not explain."""

Kind = Literal["bytes", "pixels", "near", "recoloured", "mirrored"]
"""How two photos are the same: same bytes; same pixels; nearly the same; nearly the same except for
colours; nearly the same when one is mirrored."""

_KINDS = get_args(Kind)
_ASPECT = 1.3
"""The largest ratio of the aspect ratios of two views."""
_COLOUR = 17.0
"""A difference of colours (Cb, Cr, as 0..255) that is larger than what warmer light causes."""
_COLOURED = 0.6
"""The same as a share of the stronger colour: a paler copy differs less."""
_MAY_BE_PIXELS = 0.002
"""Largest distance of thumbnails of equal pixels: decoders may scale them differently."""
_BLOCK = 2048
"""Candidates compared at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """What photos are compared by."""

    photo: Photo
    sha256: bytes
    """Of the file's bytes."""
    size: tuple[int, int]
    """Width and height in pixels, upright."""
    views: tuple[SketchView, ...]
    """Empty where the photo has no contrast: it is compared by bytes only."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two photos that show the same picture."""

    first: int
    """Position in the first list of sketches."""
    second: int
    """Position in the second list."""
    kind: Kind
    distance: float
    """0 for the same bytes or pixels, else 0..`THRESHOLD` (see there)."""
    parts: tuple[Region, Region] = ("whole", "whole")
    """What of each photo shows the picture: `whole`, `trimmed` (inside its border) or `box`."""


def sketch_photo(photo: Photo) -> Sketch:
    """Read, decode and sketch one photo.

    Raises `PhotoError` when it cannot be used.
    """
    data = photo_bytes(photo)
    with decoding(data, box=photo.box, box_frame=photo.box_frame, target=TARGET) as decoded:
        return sketch_decoded(photo, data, decoded)


def sketch_decoded(photo: Photo, data: bytes, decoded: Decoded) -> Sketch:
    """Sketch a photo from its bytes and its pixels, decoded towards `TARGET` or more."""
    return Sketch(photo, hashlib.sha256(data).digest(), decoded.size, sketch(decoded))


def sketch_photos(
    photos: Sequence[Photo],
    *,
    workers: int | None = None,
    progress: Progress = silent,
    stage: str = "sketch",
) -> tuple[list[Sketch], list[tuple[Photo, PhotoError]]]:
    """Sketch photos on all cores.

    Returns:
        The sketches of the photos that can be used, in order, and the other photos with their
        errors.
    """
    sketches: list[Sketch] = []
    failed: list[tuple[Photo, PhotoError]] = []
    looked = look_at(photos, sketch_photo, workers=workers, progress=progress, stage=stage)
    for photo, made in looked:
        if isinstance(made, PhotoError):
            failed.append((photo, made))
        else:
            sketches.append(made)
    return sketches, failed


def find_duplicates(
    sketches: Sequence[Sketch],
    *,
    threshold: float = THRESHOLD,
    mirrored: bool = False,
    progress: Progress = silent,
) -> list[Duplicate]:
    """Return the pairs of photos of one list that show the same picture, closest first.

    Args:
        sketches: of the photos.
        threshold: largest distance of near-duplicates; 0 takes equal bytes and pixels only.
        mirrored: whether to look for mirror images as well.
        progress: told how many candidates are compared.

    Returns:
        Each pair once, with `first` < `second`. Photos with the same bytes are each paired with the
        first of them, which represents all of them.
    """
    return find_shared(
        sketches, sketches, threshold=threshold, mirrored=mirrored, progress=progress
    )


def find_shared(
    first: Sequence[Sketch],
    second: Sequence[Sketch],
    *,
    threshold: float = THRESHOLD,
    mirrored: bool = False,
    progress: Progress = silent,
) -> list[Duplicate]:
    """Return the pairs of a photo of each list that show the same picture, closest first.

    Only the closest pair of views of two photos counts. If several photos in `first` have the same
    bytes, the first of them represents all of them. Arguments as for `find_duplicates`.
    """
    ours = _distinct(first)
    theirs = ours if first is second else _distinct(second)
    some = [first[copies[0]] for copies in ours]
    others = some if first is second else [second[copies[0]] for copies in theirs]
    # Thumbnails of equal pixels may differ a little: whether they are equal is seen below.
    candidate = max(threshold, _MAY_BE_PIXELS)
    near = _near(some, others, candidate, mirror=False, progress=progress)
    if mirrored:
        near += _near(some, others, threshold, mirror=True, progress=progress)
    closest: dict[tuple[int, int], Duplicate] = {}
    for pair in near:
        known = closest.get((pair.first, pair.second))
        if known is None or _closer(pair, known):
            closest[pair.first, pair.second] = pair
    found = [Duplicate(a, b, "bytes", 0.0) for a, b in _equal_bytes(first, second)]
    for pair in closest.values():
        if some[pair.first].sha256 != others[pair.second].sha256:
            settled = _settled(pair, some, others)
            if settled.distance > threshold:
                continue
            copies = theirs[pair.second][: 1 if first is second else None]
            found += [replace(settled, first=ours[pair.first][0], second=b) for b in copies]
    return sorted(found, key=lambda p: (p.distance, _KINDS.index(p.kind), p.first, p.second))


def same_pictures(
    pairs: Sequence[Duplicate], first: Sequence[Sketch], second: Sequence[Sketch]
) -> tuple[SamePicture, ...]:
    """Return pairs with their photos in place of positions in the lists of sketches."""
    return tuple(
        SamePicture(first[p.first].photo, second[p.second].photo, p.distance, p.kind, p.parts)
        for p in pairs
    )


def _distinct(sketches: Sequence[Sketch]) -> list[list[int]]:
    """Return the positions of photos with the same bytes and box, by their first.

    A catalogue may show one picture ("no photo yet") thousands of times: it is compared once.
    """
    groups: dict[tuple[bytes, Box | None], list[int]] = {}
    for position, one in enumerate(sketches):
        groups.setdefault((one.sha256, one.photo.box), []).append(position)
    return list(groups.values())


def _equal_bytes(first: Sequence[Sketch], second: Sequence[Sketch]) -> Iterator[tuple[int, int]]:
    """Yield each photo of `second` with the first of the same bytes in `first`."""
    earliest: dict[bytes, int] = {}
    for position, one in enumerate(first):
        earliest.setdefault(one.sha256, position)
    for position, one in enumerate(second):
        match = earliest.get(one.sha256)
        if match is not None and not (first is second and match == position):
            yield match, position


def _closer(pair: Duplicate, known: Duplicate) -> bool:
    """Whether a pair of views is closer than another pair of the same photos."""
    return (pair.kind == "mirrored", pair.distance) < (known.kind == "mirrored", known.distance)


def _settled(pair: Duplicate, first: Sequence[Sketch], second: Sequence[Sketch]) -> Duplicate:
    """Compare all pixels of a pair whose pixels may be equal."""
    a, b = first[pair.first], second[pair.second]
    may_be = pair.kind == "near" and pair.parts[0] == pair.parts[1] and a.size == b.size
    if may_be and pair.distance < _MAY_BE_PIXELS and _pixels(a.photo) == _pixels(b.photo):
        return Duplicate(pair.first, pair.second, "pixels", 0.0)
    return pair


def _pixels(photo: Photo) -> bytes:
    with decoded_photo(replace(photo, box=None)) as decoded:
        return hashlib.sha256(decoded.image.tobytes()).digest()


def _near(
    first: Sequence[Sketch],
    second: Sequence[Sketch],
    threshold: float,
    *,
    mirror: bool,
    progress: Progress,
) -> list[Duplicate]:
    ours, theirs = _Views.of(first, mirror=mirror), _Views.of(second, mirror=False)
    rows, columns = near_pairs(ours.hashes, theirs.hashes, RADIUS)
    may_be = np.abs(np.log(ours.aspects[rows] / theirs.aspects[columns])) <= np.log(_ASPECT)
    if first is second:
        may_be &= ours.owners[rows] < theirs.owners[columns]
    rows, columns = rows[may_be], columns[may_be]
    pairs = []
    for start in range(0, len(rows), _BLOCK):
        some_rows, some_columns = rows[start : start + _BLOCK], columns[start : start + _BLOCK]
        distances = align(ours.greys[some_rows], theirs.greys[some_columns])
        for i in np.flatnonzero(distances <= threshold):
            row, column = some_rows[i], some_columns[i]
            recoloured = _recoloured(ours.colours[row], theirs.colours[column])
            pairs.append(
                Duplicate(
                    int(ours.owners[row]),
                    int(theirs.owners[column]),
                    "mirrored" if mirror else "recoloured" if recoloured else "near",
                    float(distances[i]),
                    (ours.parts[row], theirs.parts[column]),
                )
            )
        progress("compare", min(start + _BLOCK, len(rows)), len(rows))
    return pairs


def _recoloured(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> bool:
    """Whether two thumbnails of colours, (2, 4, 4) uint8, differ by more than light or paleness.

    The quarter that differs most decides, because a plain background around the product differs
    little.
    """
    a, b = (colours.reshape(2, -1).astype(np.float32) - 128 for colours in (first, second))
    differences = np.hypot(*(a - b))
    most = np.argsort(-differences)[: differences.size // 4]
    stronger = np.maximum(np.hypot(*a), np.hypot(*b))[most].mean()
    return bool(differences[most].mean() > max(_COLOUR, _COLOURED * stronger))


@dataclass(frozen=True, slots=True, eq=False)
class _Views:
    """The views of many photos, in arrays."""

    owners: npt.NDArray[np.int64]
    """(n,) position of the photo each is of."""
    hashes: npt.NDArray[np.uint64]
    greys: npt.NDArray[np.uint8]
    colours: npt.NDArray[np.uint8]
    aspects: npt.NDArray[np.float64]
    parts: list[Region]

    @classmethod
    def of(cls, sketches: Sequence[Sketch], *, mirror: bool) -> _Views:
        flat = [(owner, view) for owner, one in enumerate(sketches) for view in one.views]
        views = [view for _, view in flat]
        greys = np.array([view.grey for view in views], dtype=np.uint8).reshape(-1, SIDE, SIDE)
        colours = np.array([v.colour for v in views], dtype=np.uint8).reshape(-1, 2, 4, 4)
        hashes = [view.hash for view in views]
        if mirror:
            greys, colours = greys[:, :, ::-1].copy(), colours[..., ::-1]
            hashes = [hash_of(grey) for grey in greys]
        return cls(
            np.array([owner for owner, _ in flat], dtype=np.int64),
            np.array(hashes, dtype=np.uint64),
            greys,
            colours,
            np.array([view.aspect for view in views], dtype=np.float64),
            [view.part for view in views],
        )
