"""Change the model of a catalogue: embed all photos again, beside the old vectors, and switch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from shoplens.cache import Computed, VectorCache
from shoplens.catalog.base import Catalog
from shoplens.catalog.entry import Entry, FailedPhoto
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.originals import Originals
from shoplens.datasets.dataset import read_gallery
from shoplens.embedding.caching import opened
from shoplens.errors import CatalogError, ShoplensError
from shoplens.models import Encoder
from shoplens.progress import Progress, silent
from shoplens.records import Photo, PhotoSet
from shoplens.regions.embedding import embed_again
from shoplens.vectors.regions import PhotoRegions


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration did."""

    old: ModelStamp
    new: ModelStamp
    switched: bool
    """Whether the catalogue is of the new model now."""
    n_photos: int
    """Photos that have a vector of the new model."""
    n_cached: int
    """Of these, how many had been embedded with it before."""
    n_changed: int
    """Of these, how many are other bytes now than when they were put in."""
    failed: tuple[FailedPhoto, ...]
    """Photos that could not be embedded with the new model."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as `shoplens catalog migrate --json` writes it."""
        return {
            "switched": self.switched,
            "old": {"name": self.old.name, "fingerprint": self.old.fingerprint},
            "new": {"name": self.new.name, "fingerprint": self.new.fingerprint},
            "n_photos": self.n_photos,
            "n_cached": self.n_cached,
            "n_changed": self.n_changed,
            "n_failed": len(self.failed),
            "failed_photos": [
                {"id": f.photo_id, "path": f.path, "reason": f.reason, "detail": f.detail}
                for f in self.failed
            ],
        }


def migrate(
    catalog: Catalog,
    encoder: Encoder,
    *,
    remote: bool = False,
    allow_failures: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> MigrationReport:
    """Embed all photos of a catalogue with another model, and switch to it at once.

    Photos are read again where they were read from. Until the switch, searches go on with the old
    model. If it is stopped, the same call resumes: the new vectors are in the cache (see
    `shoplens cache`). Photos that were put in meanwhile are embedded before the switch.

    Args:
        catalog: the catalogue.
        encoder: the new model.
        remote: whether photos are fetched from URLs. The sources of a catalogue from a stranger may
            be any.
        allow_failures: keep photos that cannot be embedded as failures, without a vector. By
            default they prevent the switch.
        workers: threads that embed; None for one per core that this process may use.
        progress: told how far it is.

    Returns:
        What was done. Without the switch, `failed` says why.

    Raises:
        CatalogError: the catalogue is empty, or is of this model already, or cannot be written; or
            a photo could not be read at the moment of the switch.
    """
    old = catalog.model
    if old is None:
        raise CatalogError(f"{catalog.uri} is empty: put photos in first (shoplens index)")
    if old.fingerprint == encoder.fingerprint:
        raise CatalogError(f"{catalog.uri} is of {old.name} ({old.fingerprint}) already")
    new = ModelStamp(encoder.name, encoder.fingerprint, encoder.dimension)
    with opened(True, encoder.fingerprint) as cache:
        embedding = _Embedding(catalog, encoder, cache, remote, workers, progress)
        for _ in embedding.entries("embed"):
            pass
        switched = not embedding.failed or allow_failures
        n_cached = embedding.n_cached
        if switched:
            # What was embedded above comes from the cache now, and what is new is embedded.
            entries = embedding.entries("switch", strict=not allow_failures)
            catalog.replace_vectors(new, entries, embedding.failed)
    return MigrationReport(
        old=old,
        new=new,
        switched=switched,
        n_photos=embedding.n_photos,
        n_cached=n_cached,
        n_changed=embedding.n_changed,
        failed=tuple(embedding.failed),
    )


class _Embedding:
    """Embeds the photos of a catalogue with another model."""

    def __init__(
        self,
        catalog: Catalog,
        encoder: Encoder,
        cache: VectorCache | None,
        remote: bool,
        workers: int | None,
        progress: Progress,
    ) -> None:
        self.n_photos = 0
        self.n_cached = 0
        self.n_changed = 0
        self.failed: list[FailedPhoto] = []
        self._catalog = catalog
        self._encoder = encoder
        self._cache = cache
        self._originals = Originals(remote=remote)
        self._remote = remote
        self._by_name: dict[str, dict[str, Photo]] = {}
        self._workers = workers
        self._progress = progress

    def entries(self, stage: str, *, strict: bool = False) -> Iterator[Entry]:
        """Yield the catalogue's entries with new vectors, and count them anew.

        Photos that fail are added to `failed`, or raise `CatalogError` if `strict`.
        """
        self.n_photos = self.n_cached = self.n_changed = n_done = 0
        self.failed.clear()
        total = self._catalog.count()
        waiting: deque[Entry] = deque()

        def photos() -> Iterator[tuple[Photo, PhotoRegions | None]]:
            for entry in self._catalog.entries():
                waiting.append(entry)
                yield self._photo(entry), entry.regions

        results = embed_again(photos(), self._encoder, cache=self._cache, workers=self._workers)
        with closing(results):
            for result, regions in results:
                entry = waiting.popleft()
                n_done += 1
                self._progress(stage, n_done, max(n_done, total))
                vector = result.computed.vector
                if vector is None:
                    self._fail(entry, result.computed, strict)
                    continue
                self.n_photos += 1
                self.n_cached += result.cached
                same = entry.sha256 in (None, result.sha256)
                self.n_changed += not same
                # The stamp of other bytes is not known.
                stamp = entry.stamp if same else ""
                yield replace(
                    entry, vector=vector, sha256=result.sha256, stamp=stamp, regions=regions
                )

    def _fail(self, entry: Entry, computed: Computed, strict: bool) -> None:
        if strict:
            raise CatalogError(
                f"{self._catalog.uri}: photo {entry.photo_id!r} ({entry.path}) could not be "
                f"embedded at the moment of the switch ({computed.detail}). Nothing was changed; "
                "run the migration again"
            )
        self.failed.append(
            FailedPhoto(
                entry.photo_id,
                entry.path,
                entry.source,
                computed.reason,
                computed.detail,
                entry.product_id,
                entry.attributes,
            )
        )

    def _photo(self, entry: Entry) -> Photo:
        """Return the photo of an entry; it has a `problem` if it is not where it was."""
        photo = self._originals.photo(entry)
        if photo.problem is None or not entry.source:
            return photo
        # In a table of columns, photos are no files.
        if entry.source not in self._by_name:
            try:
                gallery = read_gallery(entry.source, remote=self._remote)
            except (ShoplensError, OSError):
                gallery = PhotoSet([])
            self._by_name[entry.source] = {each.name: each for each in gallery}
        found = self._by_name[entry.source].get(entry.path)
        return photo if found is None else replace(found, box=entry.box)
