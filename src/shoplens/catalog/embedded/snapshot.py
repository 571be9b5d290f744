"""What a reader sees of the catalogue at one moment, ready to be searched."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shoplens.attributes import Value
from shoplens.catalog.embedded.photo_ids import hashed
from shoplens.catalog.embedded.reading import Reading, SegmentRange, Version
from shoplens.catalog.embedded.segments import (
    FOLDER,
    Mask,
    Segment,
    joined_in_memory,
    open_segment,
    segment_of,
)
from shoplens.catalog.entry import PhotoId
from shoplens.catalog.filters import Filter
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.errors import CatalogError, ShoplensWarning


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A segment, and which of its rows are still there."""

    segment: Segment
    alive: Mask | None = None
    """(n,) None where all are."""
    n_alive: int = 0

    @property
    def n_vectors(self) -> int:
        """How many vectors of rows that are there, about: their regions are like those of all."""
        n_rows = len(self.segment)
        return self.n_alive * len(self.segment.matrix) // n_rows if n_rows else 0

    def allowed(self, where: Filter | None) -> Mask | None:
        """Return which rows are there and pass a filter; None for all."""
        if where is None:
            return self.alive
        mask = self.segment.columns.mask(where)
        return mask if self.alive is None else mask & self.alive


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All rows of one moment."""

    store: int
    """The identity of the store's file."""
    version: Version
    model: ModelStamp | None
    stored: tuple[Layer, ...]
    """Segments on disk."""
    recent: tuple[Layer, ...]
    """Rows that are in no segment on disk yet, in memory."""
    sealed_row: int
    """The last row that a segment on disk stands for."""
    n_photos: int
    n_failed: int
    damaged: frozenset[str]
    """Names of segments that could not be opened; their rows were read from the store."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Everything, in order of the rows."""
        return self.stored + self.recent

    def rows(self, where: Filter | None) -> npt.NDArray[np.int64]:
        """Return the rows that pass a filter, in rising order."""
        found = [
            layer.segment.rows
            if (allowed := layer.allowed(where)) is None
            else layer.segment.rows[allowed]
            for layer in self.layers
        ]
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def rows_of_products(
        self, product_ids: Sequence[str], where: Filter | None
    ) -> npt.NDArray[np.int64]:
        """Return the rows of products' photos that pass a filter, in rising order."""
        found = [np.empty(0, dtype=np.int64)]
        for layer in self.layers:
            mask = layer.segment.columns.with_products(product_ids)
            allowed = layer.allowed(where) if mask.any() else None
            found.append(layer.segment.rows[mask if allowed is None else mask & allowed])
        return np.concatenate(found)

    def n_products(self) -> int:
        """Return the number of different products."""
        layers = [layer for layer in self.layers if layer.n_alive]
        if len(layers) == 1:
            return layers[0].segment.columns.products(layers[0].alive)
        products: set[Value] = set()
        for layer in layers:
            products.update(layer.segment.columns.counts("product_id", layer.alive))
        return len(products - {None})

    @property
    def n_indexed(self) -> int:
        """How many rows an approximate index holds."""
        return sum(layer.n_alive for layer in self.stored if layer.segment.graph is not None)

    def types(self) -> dict[str, set[str]]:
        """Return the types of the values of each attribute (see `Columns.types`)."""
        found: dict[str, set[str]] = {}
        for layer in self.layers:
            for name, types in layer.segment.columns.types(layer.alive).items():
                found.setdefault(name, set()).update(types)
        return found

    def counts(self, names: Sequence[str], where: Filter | None) -> dict[str, dict[Value, int]]:
        """Count, for each attribute, the values of the rows that pass a filter."""
        found: dict[str, dict[Value, int]] = {name: {} for name in names}
        for layer in self.layers:
            allowed = layer.allowed(where)
            for name, total in found.items():
                for value, count in layer.segment.columns.counts(name, allowed).items():
                    total[value] = total.get(value, 0) + count
        return found

    def check_ids(self, found: Mapping[int, PhotoId], missing: Sequence[PhotoId] = ()) -> None:
        """Compare what the store says of photo ids with the segments.

        Args:
            found: photo ids by the rows in which the store has them.
            missing: photo ids that it does not have.

        Raises `CatalogError` if they disagree.
        """
        rows = np.array(list(found), dtype=np.int64)
        hashes = hashed(list(found.values()))
        absent = hashed(missing)
        for layer in self.layers:
            segment = layer.segment
            if not len(segment):
                continue
            at = np.searchsorted(segment.rows, rows)
            at[at == len(segment)] = 0
            held = segment.rows[at] == rows
            wrong = segment.ids.hashes[at[held]] != hashes[held]
            here = segment.ids.find(absent)
            alive = here if layer.alive is None else here[layer.alive[here]]
            if wrong.any() or len(alive):
                raise CatalogError(
                    "the store's index of photo ids is damaged: `shoplens catalog verify` tells "
                    "more, and --repair makes it again"
                )


class SnapshotKeeper:
    """The latest snapshot of a process, brought up to date from the store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None

    def at(self, reading: Reading, *, patient: bool) -> Snapshot | None:
        """Return the snapshot of a transaction's moment.

        Args:
            reading: the transaction.
            patient: return None where a segment of this moment is gone, because a later moment may
                need it no more.

        Returns:
            The snapshot. None if another thread has seen a later moment, so that this transaction
            should begin again.
        """
        version = reading.version()
        known = self._snapshot
        if known is not None and known.version == version:
            return known
        with self._lock:
            known = self._snapshot
            if known is not None and known.version.version >= version.version:
                return known if known.version == version else None
            made = self._made(known, version, reading, patient)
            if made is not None:
                self._snapshot = made
            return made

    def close(self) -> None:
        """Close the indexes of all segments."""
        with self._lock:
            for layer in self._snapshot.stored if self._snapshot else ():
                if layer.segment.graph is not None:
                    layer.segment.graph.close()
            self._snapshot = None

    def _made(
        self, known: Snapshot | None, version: Version, reading: Reading, patient: bool
    ) -> Snapshot | None:
        model = reading.model()
        if known is not None and known.store != reading.identity:
            known = None
        unchanged = known is not None and known.version.generation == version.generation
        removed = reading.removed(known.version.last_removed if known else 0)
        recent: list[Layer] = []
        if known is not None and unchanged:
            stored = [_without(layer, removed) for layer in known.stored]
            recent = [_without(layer, removed) for layer in known.recent]
            sealed, last_row = known.sealed_row, known.version.last_row
            damaged = set(known.damaged)
        else:
            ranges = reading.segments()
            opened = self._opened(known, ranges, removed, reading, model, patient)
            if opened is None:
                return None
            stored, damaged = opened
            # Rows that are in no segment are read anew: those that went before one was made of
            # the others are in no list.
            sealed = last_row = max((one.last_row for one in ranges), default=0)
        if model is not None and version.last_row > last_row:
            new = segment_of(reading.block(model.dimension, last_row))
            recent.append(Layer(new, None, len(new)))
        recent = _tidied(recent)
        # It takes a while in a large catalogue: when it is opened, and after this was found before.
        in_doubt = not unchanged and not (known and known.stored)
        if in_doubt and _extent((*stored, *recent)) != (extent := reading.extent()):
            warnings.warn(
                f"{self._folder}: the list of its segments or of removed rows is damaged. All "
                "photos are read from the store instead, which takes longer. `shoplens catalog "
                f"verify {self._folder} --repair` makes the lists again.",
                ShoplensWarning,
                stacklevel=2,
            )
            rows = segment_of(reading.block(model.dimension if model else 0))
            stored, recent, sealed = [], [Layer(rows, None, len(rows))], 0
            if _extent(recent) != extent:
                raise CatalogError(
                    f"{self._folder} is damaged: rows are missing or doubled in an index; "
                    f"`shoplens catalog verify {self._folder}` tells more"
                )
        return Snapshot(
            reading.identity,
            version,
            model,
            tuple(stored),
            tuple(recent),
            sealed,
            sum(layer.n_alive for layer in (*stored, *recent)),
            reading.n_failed(),
            frozenset(damaged),
        )

    def _opened(
        self,
        known: Snapshot | None,
        ranges: Sequence[SegmentRange],
        removed: npt.NDArray[np.int64],
        reading: Reading,
        model: ModelStamp | None,
        patient: bool,
    ) -> tuple[list[Layer], set[str]] | None:
        """Return the segments on disk, and the names of those that are damaged.

        Args:
            known: an earlier snapshot. What it knows of a segment stays true.
            removed: rows that went since that; all that went where there is none.
        """
        layers = {layer.segment.name: layer for layer in known.stored} if known else {}
        stored = []
        damaged = set()
        for one in ranges:
            layer = layers.get(one.name)
            gone = removed
            if layer is None:
                folder = self._folder / FOLDER / one.name
                try:
                    segment = open_segment(folder)
                except CatalogError as error:
                    if patient and not folder.is_dir():
                        return None
                    segment = self._made_again(one, reading, model, error)
                    damaged.add(one.name)
                layer = Layer(segment, None, len(segment))
                if known is not None:
                    gone, _ = reading.removed_between(one.first_row, one.last_row)
            elif known is not None and one.name in known.damaged:
                damaged.add(one.name)
            stored.append(_without(layer, gone))
        return stored, damaged

    def _made_again(
        self, one: SegmentRange, reading: Reading, model: ModelStamp | None, error: CatalogError
    ) -> Segment:
        """Read the rows of a segment that cannot be opened from the store."""
        warnings.warn(
            f"{error}. Its photos are read from the store instead, which takes longer. "
            f"`shoplens catalog verify {self._folder} --repair` makes it again.",
            ShoplensWarning,
            stacklevel=2,
        )
        dimension = model.dimension if model else 0
        made = segment_of(reading.block(dimension, one.first_row - 1, one.last_row))
        return replace(made, name=one.name)


def _extent(layers: Sequence[Layer]) -> tuple[int, int]:
    """Return the number of rows that are there, and the sum of their numbers."""
    n_rows = total = 0
    for layer in layers:
        rows = layer.segment.rows
        n_rows += layer.n_alive
        total += int(rows.sum() if layer.alive is None else rows[layer.alive].sum())
    return n_rows, total


def _without(layer: Layer, removed: npt.NDArray[np.int64]) -> Layer:
    """Return a layer without rows that were removed."""
    segment = layer.segment
    if not len(removed) or not len(segment):
        return layer
    first, last = np.searchsorted(removed, (segment.rows[0], segment.rows[-1] + 1))
    gone = segment.positions(removed[first:last])
    if not len(gone):
        return layer
    alive = np.ones(len(segment), np.bool_) if layer.alive is None else layer.alive.copy()
    alive[gone] = False
    return Layer(segment, alive, int(np.count_nonzero(alive)))


def _tidied(recent: Sequence[Layer]) -> list[Layer]:
    """Join small layers in memory, so that a row is copied a few times at most."""
    tidy: list[Layer] = []
    for layer in recent:
        if not layer.n_alive:
            continue
        tidy.append(layer)
        while len(tidy) > 1 and len(tidy[-2].segment) <= 2 * len(tidy[-1].segment):
            later, earlier = tidy.pop(), tidy.pop()
            segment = joined_in_memory(
                [(earlier.segment, earlier.alive), (later.segment, later.alive)]
            )
            tidy.append(Layer(segment, None, len(segment)))
    return tidy
