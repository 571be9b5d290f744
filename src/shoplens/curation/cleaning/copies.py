"""Photos that show the same picture as another photo of their product."""

from __future__ import annotations

from collections import defaultdict

from shoplens.boxes.proposing import overlap
from shoplens.curation.cleaning.changes import Change, Cleaning
from shoplens.curation.cleaning.tables import DatasetTables
from shoplens.curation.duplicates import (
    THRESHOLD,
    Duplicate,
    Sketch,
    find_duplicates,
    sketch_photos,
)
from shoplens.progress import Progress, silent
from shoplens.records import Box
from shoplens.sources import file_of

_SAME = ("bytes", "pixels", "near")
_SAME_BOX = 0.7
"""Least overlap of two boxes that show the same thing."""


def find_copies(
    tables: DatasetTables,
    *,
    threshold: float = THRESHOLD,
    workers: int | None = None,
    progress: Progress = silent,
) -> Cleaning:
    """Find photos that show the same picture as another photo of the same product.

    Of such photos one stays: a seller's before a user's (the user's would find itself), then the
    one with more pixels, then the first. Each photo that is left out is a copy of one that stays.
    Rows of one file, and copies with boxes around different things, stay. So do photos that show
    one picture under two products; they are counted.

    Args:
        tables: the dataset. If no product is known, all photos are compared as if of one.
        threshold: as in `shoplens.curation.duplicates.find_duplicates`; so are the others.
        workers: threads that decode; None takes one for each usable core.
        progress: told how far the work is.
    """
    sketches, failures = sketch_photos(tables.photos, workers=workers, progress=progress)
    pairs = find_duplicates(sketches, threshold=threshold, progress=progress)
    pictures = _Pictures(sketches, pairs)
    staying: list[int] = []
    kept_of: dict[int, list[int]] = defaultdict(list)
    changes: dict[int, Change] = {}
    for position in sorted(range(len(sketches)), key=lambda p: _rank(sketches[p])):
        photo = sketches[position].photo
        originals = [
            other
            for picture in pictures.alike(position)
            for other in kept_of[picture]
            if _are_copies(sketches[position], sketches[other])
        ]
        if originals:
            original = sketches[originals[0]].photo
            reason = f"shows the picture of {original.name}"
            changes[photo.id] = Change(photo, "left_out", reason, beside=original)
        else:
            staying.append(position)
            kept_of[pictures.of(position)].append(position)
    contradicting = sum(
        sketches[p.first].photo.product_id != sketches[p.second].photo.product_id
        for p in pairs
        if p.kind in _SAME
    )
    # A query that finds itself spoils a test set most.
    order = sorted(changes.values(), key=lambda c: (c.photo.domain != "user", c.photo.id))
    return Cleaning(
        "copies",
        tables,
        changes=tuple(order),
        counts={
            "n_queries_left_out": sum(c.photo.domain == "user" for c in order),
            "n_contradicting": contradicting,
        },
        failures=tuple(failures),
    )


class _Pictures:
    """Which pictures are alike: photos of equal bytes are one picture."""

    def __init__(self, sketches: list[Sketch], pairs: list[Duplicate]) -> None:
        self._first = list(range(len(sketches)))
        for pair in pairs:
            if pair.kind == "bytes":
                self._first[pair.second] = pair.first
        self._alike: dict[int, set[int]] = defaultdict(set)
        for pair in pairs:
            if pair.kind in _SAME:
                a, b = self._first[pair.first], self._first[pair.second]
                self._alike[a].add(b)
                self._alike[b].add(a)

    def of(self, position: int) -> int:
        """Return the picture that a photo shows."""
        return self._first[position]

    def alike(self, position: int) -> list[int]:
        """Return the pictures that a photo shows: its own, and those that are nearly it."""
        own = self._first[position]
        return [own, *sorted(self._alike[own] - {own})]


def _rank(sketch: Sketch) -> tuple[bool, int, int]:
    """Return what decides which of two photos stays: the lower one does."""
    width, height = sketch.size
    return sketch.photo.domain == "user", -width * height, sketch.photo.id


def _are_copies(one: Sketch, other: Sketch) -> bool:
    """Whether one of two photos of one picture is superfluous."""
    a, b = one.photo, other.photo
    if a.product_id != b.product_id or file_of(a) == file_of(b):
        return False
    if a.box is None or b.box is None:
        return True
    return overlap(_relative(a.box, one.size), _relative(b.box, other.size)) >= _SAME_BOX


def _relative(box: Box, size: tuple[int, int]) -> Box:
    width, height = size
    return Box(box.x0 / width, box.y0 / height, box.x1 / width, box.y1 / height)
