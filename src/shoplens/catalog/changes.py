"""What changed in a source since it was brought into a catalogue."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shoplens.catalog.base import Catalog
from shoplens.catalog.entry import Entry, PhotoId, photo_id_of
from shoplens.catalog.filters import RESERVED
from shoplens.errors import CatalogError, DataError, PhotoError
from shoplens.parallel import parallel_map
from shoplens.records import Photo, PhotoSet
from shoplens.sources import file_of, read_photo
from shoplens.sources.archives import TarMember, ZipMember
from shoplens.sources.columns import Cell, mark_of
from shoplens.sources.memory import MemoryFile
from shoplens.sources.remote import RemoteFile, is_url

_LOOKED_UP_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Compared:
    """A photo of a source beside what the catalogue holds of it."""

    photo_id: PhotoId
    photo: Photo
    """With its bytes or its problem, where reading it gave one."""
    old: Entry | None
    """None where the catalogue does not hold the photo, or what it holds is damaged."""
    stamp: str
    """See `Entry.stamp`."""
    entry: Entry | None = None
    """What the catalogue has to hold, where the old vector is still right; None where the photo has
    to be embedded."""

    @property
    def is_unchanged(self) -> bool:
        """Whether the catalogue holds the photo just as it is."""
        return (
            self.entry is not None
            and self.old is not None
            and self.entry.facts() == self.old.facts()
        )


def source_name(source: str | Path) -> str:
    """Return what a source is known by in a catalogue: an absolute path, or a URL without
    secrets."""
    text = str(source)
    if is_url(text):
        return str(RemoteFile(text))
    # Links are not resolved: one that leads to today's folder is the same source tomorrow.
    return os.path.abspath(text)  # noqa: PTH100


def photo_ids(photos: PhotoSet) -> list[PhotoId]:
    """Return the ids that photos have in a catalogue.

    They are those of the table; photos that their source only numbers are known by their paths.

    Raises `DataError` if two photos have one path, or a path is not valid Unicode.
    """
    if not photos.numbered:
        return list(photos.ids.tolist())
    rows: dict[PhotoId, int] = {}
    for row, photo in enumerate(photos):
        try:
            photo.name.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"the name {photo.name!r} is not valid Unicode, so a catalogue cannot hold it: "
                "rename the file"
            ) from error
        first = rows.setdefault(photo_id_of(photo.name), row)
        if first != row:
            raise DataError(
                f"photos {first} and {row} are both named {photo.name}, so they cannot be known "
                "again: give the table a column of ids (seller_img_id)"
            )
    return list(rows)


def refuse_reserved(photos: PhotoSet) -> None:
    """Raise `DataError` if a column of the photos' table has a name that no attribute may have."""
    for name in sorted(RESERVED.intersection(photos[0].attributes if photos else ())):
        raise DataError(
            f"no attribute can have the name {name}: rename this column of the table, or if it "
            f"holds the ids of photos, name it as theirs (seller_img_id={name})"
        )


def compare(
    photos: PhotoSet,
    ids: Sequence[PhotoId],
    source: str,
    catalog: Catalog | None,
    regions: int = 0,
    workers: int | None = None,
) -> Generator[Compared, None, None]:
    """Compare the photos of a source with a catalogue, in their order.

    Files are read on several threads, and only where their stamps differ.

    Args:
        photos: of the source.
        ids: of the photos, as `photo_ids` gives them.
        source: as `source_name` gives it.
        catalog: None for one that does not exist yet.
        regions: how many of each photo the catalogue is to hold; a photo of which it holds another
            number has to be embedded.
        workers: threads; None takes one for each usable core.
    """

    def compared(pair: tuple[int, Entry | None]) -> Compared:
        row, old = pair
        return _compared(ids[row], photos[row], old, source, regions)

    return parallel_map(compared, _with_entries(ids, catalog), workers)


def vanished(catalog: Catalog, source: str, ids: Collection[PhotoId]) -> list[PhotoId]:
    """Return the photos that a catalogue took from a source and that are not among `ids`."""
    here = set(ids)
    others = [photo_id for photo_id in catalog.ids() if photo_id not in here]
    found = [f.photo_id for f in catalog.failures() if f.source == source]
    gone = [photo_id for photo_id in found if photo_id not in here]
    for start in range(0, len(others), _LOOKED_UP_AT_ONCE):
        entries = _sound_entries(catalog, others[start : start + _LOOKED_UP_AT_ONCE])
        gone += [entry.photo_id for entry in entries if entry and entry.source == source]
    return gone


def _with_entries(
    ids: Sequence[PhotoId], catalog: Catalog | None
) -> Iterator[tuple[int, Entry | None]]:
    for start in range(0, len(ids), _LOOKED_UP_AT_ONCE):
        wanted = ids[start : start + _LOOKED_UP_AT_ONCE]
        if catalog is None:
            yield from ((row, None) for row in range(start, start + len(wanted)))
        else:
            yield from enumerate(_sound_entries(catalog, wanted), start)


def _sound_entries(catalog: Catalog, ids: Sequence[PhotoId]) -> list[Entry | None]:
    """Return the entries of photos, None also for one that is damaged."""
    try:
        return catalog.get_many(ids)
    except CatalogError:
        catalog.count()  # It fails where more is wrong than an entry.
        if len(ids) == 1:
            return [None]
        half = len(ids) // 2
        return _sound_entries(catalog, ids[:half]) + _sound_entries(catalog, ids[half:])


def _compared(
    photo_id: PhotoId, photo: Photo, old: Entry | None, source: str, regions: int
) -> Compared:
    if photo.box is not None and photo.box_frame != "upright":
        raise DataError(
            f"{photo.name} has a box in pixels as stored; a catalogue keeps boxes of upright photos"
        )
    stamp = ""
    try:
        if photo.problem is not None:
            raise photo.problem
        # Before the photo is read: if it is replaced meanwhile, its next stamp is another.
        stamp = _stamp(photo)
        if old is None or old.sha256 is None or old.box != photo.box or old.n_regions != regions:
            return Compared(photo_id, photo, old, stamp)
        if not stamp or (old.source, old.path, old.stamp) != (source, photo.name, stamp):
            data = read_photo(photo)
            if hashlib.sha256(data).hexdigest() != old.sha256:
                read = replace(photo, file=MemoryFile(data, str(file_of(photo))))
                return Compared(photo_id, read, old, stamp)
    except PhotoError as error:
        return Compared(photo_id, replace(photo, problem=error), old, stamp)
    entry = replace(
        old,
        product_id=photo.product_id,
        path=photo.name,
        source=source,
        attributes=photo.attributes,
        stamp=stamp,
    )
    return Compared(photo_id, photo, old, stamp, entry)


def _stamp(photo: Photo) -> str:
    """Return what a file on disk is known by without reading it; empty for others.

    Raises `PhotoError`.
    """
    file = file_of(photo)
    if isinstance(file, Cell):
        return mark_of(file) if file.column.file.on_disk else ""
    if isinstance(file, ZipMember | TarMember):
        return f"{file.archive.stamp()} {file.name}" if file.archive.on_disk else ""
    return file.stamp() if file.on_disk else ""
