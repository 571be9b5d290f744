"""The folder of a catalogue's segments: what is written into it, and what is removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from shoplens.catalog.embedded.reading import SegmentRange
from shoplens.catalog.embedded.segments import rows_of_segment, segments_of_store, write_segment
from shoplens.catalog.embedded.snapshot import Layer
from shoplens.catalog.embedded.store import Store
from shoplens.catalog.embedded.writing import Writing
from shoplens.parts import is_part, part_beside, remove_abandoned_parts
from shoplens.progress import Progress, silent


class SegmentFolder:
    """The folder in which each segment has a folder of its own.

    A segment belongs to the catalogue when it is registered in the store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(
        self, layers: Sequence[Layer], *, with_graph: bool = False, progress: Progress = silent
    ) -> SegmentRange | None:
        """Write the rows of some layers as one segment; None where all of them are gone."""
        parts = [(layer.segment, layer.alive) for layer in layers if layer.n_alive]
        if not parts:
            return None
        return write_segment(parts, self._path, with_graph=with_graph, progress=progress)

    def replace_all(
        self, writing: Writing, old: Sequence[str], dimension: int, after: int = 0
    ) -> None:
        """Register segments of the rows above `after`, without an index, in the place of others."""
        made = segments_of_store(writing, self._path, dimension, after=after)
        writing.replace_segments(old, made)

    def register(
        self, writing: Writing, replaced: Sequence[Layer], made: SegmentRange | None
    ) -> None:
        """Put a segment in the place of others, and forget removed rows that none holds."""
        ranges = writing.segments()
        gone = {layer.segment.name for layer in replaced}
        spans = [one for one in ranges if one.name in gone]
        if len(spans) < len(gone):
            return  # All vectors were replaced meanwhile.
        kept = [one for one in ranges if one.name not in gone]
        if made is not None:
            spans.append(made)
        first = min(one.first_row for one in spans)
        last = max(one.last_row for one in spans)
        writing.replace_segments(
            [one.name for one in ranges if one.name in gone],
            [] if made is None else [SegmentRange(made.name, first, last)],
        )
        # Also those between this segment and the one before: they went before they were in any.
        before = max((one.last_row for one in kept if one.last_row < first), default=0)
        removed, numbers = writing.removed_between(before + 1, last)
        if made is not None:
            held = rows_of_segment(self._path / made.name)
            numbers = numbers[~np.isin(removed, held)]
        writing.forget_removed(numbers.tolist())

    def remake(self, writing: Writing, names: Iterable[str]) -> None:
        """Write segments anew from the store, without an index."""
        model = writing.model()
        ranges = {one.name: one for one in writing.segments()}
        for name in names:
            if name in ranges and model is not None:
                old = ranges[name]
                made = segments_of_store(
                    writing,
                    self._path,
                    model.dimension,
                    after=old.first_row - 1,
                    until=old.last_row,
                )
                writing.replace_segments([name], made)

    def remove_unregistered(self, store: Store) -> None:
        """Remove folders of segments that are not registered, as far as the system lets us."""
        if not self._path.is_dir():
            return
        with store.reading() as reading:
            registered = {one.name for one in reading.segments()}
        remove_abandoned_parts(self._path)
        for path in self._path.iterdir():
            if path.name not in registered and not is_part(path.name):
                # It is there as a whole, or not at all, for whoever is about to open it.
                gone = part_beside(path)
                with suppress(OSError):
                    shutil.rmtree(path.rename(gone), ignore_errors=True)
