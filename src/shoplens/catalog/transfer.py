"""Take a catalogue out and in again: as a Parquet file, into another engine, from a backup."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from shoplens.catalog.base import Catalog
from shoplens.catalog.engine import Upserted
from shoplens.catalog.entry import Entry, FailedPhoto
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.opening import open_catalog
from shoplens.catalog.parquet_reading import ParquetPhotos
from shoplens.catalog.parquet_writing import write_parquet
from shoplens.errors import CatalogError, DataError, MissingError, ModelError
from shoplens.files import require_folder
from shoplens.folders import require_new_folder, writing_folder
from shoplens.progress import Progress, silent

_BATCH = 1024
"""Photos that are put in at once."""
_SQLITE = b"SQLite format 3\0"
_PARQUET = b"PAR1"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    n_photos: int
    n_failed: int

    def to_json(self) -> dict[str, Any]:
        """Return the counts as `shoplens catalog export --json` writes them."""
        return {"n_photos": self.n_photos, "n_failed": self.n_failed}


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import put in."""

    upserted: Upserted
    n_failed: int
    """Photos that could not be embedded, kept with their reasons."""

    def to_json(self) -> dict[str, Any]:
        """Return the counts as `shoplens catalog import --json` writes them."""
        return {
            "n_added": self.upserted.n_added,
            "n_changed": self.upserted.n_changed,
            "n_unchanged": self.upserted.n_unchanged,
            "n_failed": self.n_failed,
        }


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy that was compared with its source."""

    n_photos: int
    n_failed: int
    sha256: str
    """Of all entries in their order, vectors included, and of all failures: the same for both."""

    def to_json(self) -> dict[str, Any]:
        """Return the result as `shoplens catalog copy --json` writes it."""
        return {"n_photos": self.n_photos, "n_failed": self.n_failed, "sha256": self.sha256}


def export_catalog(catalog: Catalog, path: str | Path, *, progress: Progress = silent) -> Exported:
    """Write all photos of a catalogue, vectors and failures included, to a Parquet file.

    The file appears when it is complete. An import restores every photo as it was.

    Raises:
        CatalogError: the catalogue is empty, or damaged.
        MissingError: the extra for Parquet, or the folder of `path`, is missing.
        ShoplensError: the file cannot be written.
    """
    path = Path(path)
    require_folder(path)
    model = _require_model(catalog)
    n_photos, n_failed = write_parquet(path, catalog, model, progress)
    return Exported(n_photos, n_failed)


def import_catalog(
    path: str | Path, catalog: Catalog, *, assume_model: bool = False, progress: Progress = silent
) -> Imported:
    """Put the photos of a Parquet file into a catalogue; photos that are there are replaced.

    Every row is checked before the first is put in.

    Args:
        path: a file that `export_catalog` or `shoplens embed` wrote, or one with the same columns.
            Further columns are attributes.
        catalog: where to put them. An empty catalogue gets the model that the file names.
        assume_model: take the vectors of a file that names no model for those of the catalogue's.
        progress: told how far it is.

    Raises:
        MissingError: there is no such file, or the extra for Parquet is missing.
        DataError: the file is faulty. Its message lists the rows.
        ModelError: the vectors are of another model, or it is not known of which.
        CatalogError: the catalogue cannot be written.
    """
    with ParquetPhotos(Path(path)) as file:
        _require_same_model(catalog, file, assume_model)
        file.check(progress)
        model = catalog.model
        if model is None and file.dimension:
            model = ModelStamp(str(file.model_name), str(file.fingerprint), file.dimension)
            catalog.set_model(model)
            if file.regions:
                catalog.set_regions(file.regions)
            if file.chain.steps:
                catalog.set_chain(file.chain)
        if model is not None and file.dimension not in (0, model.dimension):
            raise ModelError(
                f"{file.path} has vectors of {file.dimension} dimensions, and {catalog.uri} of "
                f"{model.dimension}; they are of different models"
            )
        upserted, n_failed, n_read = Upserted(), 0, 0
        for photos in file.photos():
            upserted += catalog.upsert(photo for photo in photos if isinstance(photo, Entry))
            failed = [photo for photo in photos if isinstance(photo, FailedPhoto)]
            if failed:
                catalog.record_failures(failed)
            n_failed += len(failed)
            n_read += len(photos)
            progress("import", n_read, file.n_rows)
    return Imported(upserted, n_failed)


def copy_catalog(source: Catalog, target: Catalog, *, progress: Progress = silent) -> Copied:
    """Copy a catalogue into an empty one, of the same engine or another, and compare the two.

    If it was stopped, the same call goes on where it was.

    Raises:
        CatalogError: the target holds photos that are not the beginning of such a copy, one of the
            two cannot be read or written, or the copy is not the same as the source.
        ModelError: the target is of another model.
    """
    target.set_model(_require_model(source))
    if target.regions != source.regions:
        target.set_regions(source.regions)
    if target.chain != source.chain:
        target.set_chain(source.chain)
    n_there = _n_copied(source, target)
    digest = _Digest()
    total = source.count()
    entries = source.entries()
    for entry in islice(entries, n_there):
        digest.add(entry)
    while batch := list(islice(entries, _BATCH)):
        target.upsert(batch)
        for entry in batch:
            digest.add(entry)
        progress("copy", digest.n_photos, max(digest.n_photos, total))
    failures = list(source.failures())
    target.record_failures(failures)
    digest.add_failures(failures)
    copy = _Digest()
    for entry in target.entries():
        copy.add(entry)
        progress("compare", copy.n_photos, max(copy.n_photos, digest.n_photos))
    copy.add_failures(target.failures())
    if copy.facts() != digest.facts():
        raise CatalogError(
            f"{target.uri} is not the same as {source.uri} after the copy: "
            f"{digest.n_photos:,} photos and {digest.n_failed:,} failures were read, and "
            f"{copy.n_photos:,} and {copy.n_failed:,} were written. Did another process write to "
            "it? Remove it, and copy again."
        )
    return Copied(*digest.facts())


def restore(backup: str | Path, uri: str | Path, *, progress: Progress = silent) -> None:
    """Make a catalogue of a backup.

    Args:
        backup: a file that `Catalog.backup` or `export_catalog` wrote. That of one engine can be
            restored to the other.
        uri: where the catalogue is to be; there must be none.
        progress: told how far it is.

    Raises:
        MissingError: there is no such file, or an extra is missing.
        DataError: it is no backup, or there is something at `uri`.
        CatalogError: the backup is damaged, or the catalogue cannot be written.
    """
    file = Path(backup)
    if not file.is_file():
        raise MissingError(f"there is no backup {file}")
    with file.open("rb") as stream:
        head = stream.read(len(_SQLITE))
    is_parquet = head.startswith(_PARQUET)
    if not is_parquet and head != _SQLITE:
        raise DataError(f"{file} is no backup of a catalogue")
    if "://" in str(uri):
        _require_none(str(uri))
        with open_catalog(uri, create=True) as made:
            if is_parquet:
                import_catalog(file, made, progress=progress)
                return
            with tempfile.TemporaryDirectory() as scratch:
                _restore_folder(file, Path(scratch, "catalog"))
                with open_catalog(Path(scratch, "catalog"), read_only=True) as restored:
                    copy_catalog(restored, made, progress=progress)
    elif is_parquet:
        with writing_folder(uri) as folder, open_catalog(folder, create=True) as made:
            import_catalog(file, made, progress=progress)
    else:
        require_new_folder(uri)
        _restore_folder(file, Path(uri))


def _restore_folder(file: Path, folder: Path) -> None:
    from shoplens.catalog.embedded import restore_backup  # noqa: PLC0415  As in `opening`.

    restore_backup(file, folder)


def _require_none(uri: str) -> None:
    """Refuse the URI of a catalogue on a server that is there already."""
    try:
        open_catalog(uri, read_only=True).close()
    except MissingError:
        return
    raise DataError(f"{uri} is there already; name a new catalogue, or remove it first")


def _require_model(catalog: Catalog) -> ModelStamp:
    if catalog.model is None:
        raise CatalogError(f"{catalog.uri} is empty: put photos in first (shoplens index)")
    return catalog.model


def _require_same_model(catalog: Catalog, file: ParquetPhotos, assume_model: bool) -> None:
    model = catalog.model
    if file.fingerprint is None:
        if model is None or not assume_model:
            raise ModelError(
                f"{file.path} does not say which model made its vectors. If they are of the "
                "catalogue's model, say so: --assume-model, or assume_model=True"
            )
    elif model is not None and file.fingerprint != model.fingerprint:
        raise ModelError(
            f"{file.path} has vectors of {file.model_name} ({file.fingerprint}), and "
            f"{catalog.uri} of {model.name} ({model.fingerprint}). Vectors of different models "
            "cannot be compared: put them into a catalogue of their own"
        )


def _n_copied(source: Catalog, target: Catalog) -> int:
    """Return how many entries of the source a copy that was stopped has put in.

    Raises `CatalogError` if the target holds anything else.
    """
    n_copied = 0
    theirs = source.entries()
    for entry in target.entries():
        if next(theirs, None) != entry:
            raise CatalogError(
                f"{target.uri} holds photo {entry.photo_id!r}, which is not from a copy of "
                f"{source.uri} that was stopped. Copy into an empty catalogue"
            )
        n_copied += 1
    return n_copied


class _Digest:
    """What a catalogue holds, as one checksum."""

    def __init__(self) -> None:
        self.n_photos = 0
        self.n_failed = 0
        self._sha256 = hashlib.sha256()

    def add(self, entry: Entry) -> None:
        """Add the next entry."""
        box = entry.box
        corners = None if box is None else [float(v) for v in (box.x0, box.y0, box.x1, box.y1)]
        facts: list[Any] = [
            entry.photo_id,
            entry.product_id,
            entry.path,
            entry.source,
            entry.sha256,
            corners,
            sorted(entry.attributes.items()),
            entry.stamp,
        ]
        if entry.regions is not None:
            boxes = entry.regions.boxes
            facts += [entry.regions.limit, [[b.x0, b.y0, b.x1, b.y1] for b in boxes]]
        self._sha256.update(_line(facts))
        self._sha256.update(entry.vectors.astype("<f4").tobytes())
        self.n_photos += 1

    def add_failures(self, failures: Iterable[FailedPhoto]) -> None:
        """Add all failures, whatever their order."""
        lines = [
            _line(
                [
                    failed.photo_id,
                    failed.path,
                    failed.source,
                    failed.reason,
                    failed.detail,
                    failed.product_id,
                    sorted(failed.attributes.items()),
                ]
            )
            for failed in failures
        ]
        for line in sorted(lines):
            self._sha256.update(line)
        self.n_failed += len(lines)

    def facts(self) -> tuple[int, int, str]:
        """Return the number of entries, the number of failures, and the checksum of all."""
        return self.n_photos, self.n_failed, self._sha256.hexdigest()


def _line(facts: list[Any]) -> bytes:
    # JSON tells 1, 1.0, true and "1" apart.
    return json.dumps(facts).encode() + b"\n"
