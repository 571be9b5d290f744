"""The list of photos cut into partitions, each embedded completely or not at all."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from shoplens.cache import Computed
from shoplens.datasets.dataset import read_gallery
from shoplens.embedding import Embedded, embed_each
from shoplens.errors import DataError
from shoplens.models import Encoder
from shoplens.records import Photo, PhotoSet
from shoplens.vectors.part_folder import FailedRow, PartFolder, PartRecord
from shoplens.vectors.writing import VectorFileInfo, VectorRow

PARTITION_ROWS = 2048
"""Photos per partition. One core needs a minute or two for them, so a machine that dies costs at
most that for each of its cores."""


class PhotoList(Protocol):
    """The photos of a partition, or a way to list them. It can be pickled."""

    def photos(self) -> Sequence[Photo]:
        """Return the photos in order."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Photos that are already listed."""

    rows: tuple[Photo, ...]

    def photos(self) -> Sequence[Photo]:
        """Return the photos."""
        return self.rows


@dataclass(frozen=True, slots=True)
class OneFile:
    """The rows of one file of a catalogue, listed where they are embedded."""

    source: str
    """As in `shoplens.datasets.dataset.read_gallery`; an absolute path or a URL."""
    first_id: int | None
    """Id of its first row if the file has no column of ids, otherwise None."""
    columns: Mapping[str, str] = field(default_factory=dict)
    remote: bool = False

    def photos(self) -> Sequence[Photo]:
        """Read the photos.

        Raises the errors of `read_gallery`.
        """
        photos = read_gallery(self.source, columns=self.columns, remote=self.remote)
        if self.first_id is None:
            return photos
        return [replace(photo, id=photo.id + self.first_id) for photo in photos]


@dataclass(frozen=True, slots=True)
class Partition:
    """A piece of the work."""

    number: int
    """Its position, counted from 0."""
    first_row: int
    """Row of its first photo in the whole list."""
    n_photos: int
    source: PhotoList


@dataclass(frozen=True, slots=True)
class PartitionResult:
    """The result of a partition."""

    record: PartRecord
    n_kept: int
    """Number of photos whose vectors an earlier run, or a machine that died, had written."""
    seconds: Mapping[str, float]
    """Core seconds by stage."""


def cut(photos: PhotoSet, n_rows: int = PARTITION_ROWS) -> Iterator[Partition]:
    """Yield the partitions of a photo set, at least one. All but the last have `n_rows` photos.

    Paths should be absolute, because other machines work in other folders.

    Raises ValueError if `n_rows` is not positive.
    """
    if n_rows < 1:
        raise ValueError(f"partitions need at least one row, got {n_rows}")
    for number, first in enumerate(range(0, max(len(photos), 1), n_rows)):
        rows = tuple(photos[row] for row in range(first, min(first + n_rows, len(photos))))
        yield Partition(number, first, len(rows), Listed(rows))


def compute(
    partition: Partition,
    encoder: Encoder,
    folder: PartFolder,
    *,
    retry_failed: bool = False,
    workers: int = 1,
) -> PartitionResult:
    """Embed a partition and write its part, unless the part already exists.

    An existing part is kept if its record names the same model and the same rows of the table.
    Photos in it that could not be read are tried again; with `retry_failed`, all failed photos are
    tried again. Its vectors are kept. (The contents of files are not compared. If photos changed
    but kept their names, write to a new folder.)

    Args:
        partition: the partition.
        encoder: the model.
        folder: the folder for its part.
        retry_failed: see above.
        workers: number of threads; results do not depend on it.

    Raises:
        DataError: the rows of a file cannot be read, or their number has changed.
        ShoplensError: the folder cannot be written.
    """
    photos = partition.source.photos()
    if len(photos) != partition.n_photos:
        raise DataError(
            f"partition {partition.number} ({partition.source!r:.200}) has {len(photos)} photos "
            f"but had {partition.n_photos} when the run began; the catalogue has changed"
        )
    digest = digest_of(photos)
    earlier = folder.record(partition.number)
    if earlier and (earlier.fingerprint, earlier.photos) != (encoder.fingerprint, digest):
        # The record goes before the part is replaced, so that it never describes another part.
        folder.drop_record(partition.number)
        earlier = None
    kept: dict[int, Embedded] = {}
    if earlier:
        kept = _kept(folder, earlier, retry_failed)
        if len(kept) == len(photos):
            return PartitionResult(earlier, len(kept), {})
    info = VectorFileInfo(len(photos), encoder.dimension, encoder.name, encoder.fingerprint)
    n_clipped = earlier.n_clipped if earlier else 0
    failures = []
    seconds: Counter[str] = Counter()
    fresh = embed_each(
        [photo for row, photo in enumerate(photos) if row not in kept], encoder, workers=workers
    )
    with closing(fresh), folder.writing_part(partition.number, info) as writer:
        for row, photo in enumerate(photos):
            result = kept[row] if row in kept else next(fresh)
            computed = result.computed
            writer.add(VectorRow(photo, computed.vector, result.sha256, computed.reason))
            n_clipped += computed.clipped
            seconds.update(result.seconds)
            if failure := result.failure(row, photo):
                failures.append(
                    FailedRow(row, failure.id, failure.name, failure.reason, failure.detail)
                )
    record = PartRecord(
        number=partition.number,
        fingerprint=encoder.fingerprint,
        photos=digest,
        n_photos=len(photos),
        n_bytes=folder.size_of_part(partition.number),
        n_clipped=n_clipped,
        failures=tuple(failures),
    )
    folder.put_record(record)
    return PartitionResult(record, len(kept), dict(seconds))


def digest_of(photos: Sequence[Photo]) -> str:
    """Return a hash of everything that a table says about photos, to recognise another table.

    The location of the table does not count, so a folder can be moved.
    """
    digest = hashlib.sha256()
    for photo in photos:
        box = photo.box
        values = (
            photo.id,
            photo.name,
            photo.domain,
            photo.product_id,
            None if box is None else (photo.box_frame, box.x0, box.y0, box.x1, box.y1),
            None if photo.problem is None else photo.problem.reason,
        )
        digest.update(json.dumps(values).encode())
    return digest.hexdigest()


def _kept(folder: PartFolder, record: PartRecord, retry_failed: bool) -> dict[int, Embedded]:
    """Return the results that need not be computed again, by row."""
    failures = {failure.row: failure for failure in record.failures}
    if not failures:
        # The part is not read; it stays unchanged.
        return dict.fromkeys(range(record.n_photos), Embedded(Computed(None)))
    table = folder.read_part(record.number)
    digests = table["sha256"].to_pylist()
    column: Any = table["vector"].combine_chunks()
    vectors = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    vectors = vectors.reshape(len(digests), -1)
    kept = {}
    for row, sha256 in enumerate(digests):
        failure = failures.get(row)
        if failure is None:
            kept[row] = Embedded(Computed(vectors[row]), sha256, cached=True)
        elif sha256 is not None and not retry_failed:
            failed = Computed(None, reason=failure.reason, detail=failure.detail)
            kept[row] = Embedded(failed, sha256, cached=True)
    return kept
