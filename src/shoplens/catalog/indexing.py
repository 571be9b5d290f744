"""Bring the photos of a folder, table or archive into a catalogue, and keep it up to date.

Every photo is compared with what the catalogue holds of it. Only new photos and those whose pixels
changed are decoded and embedded. They are written in small batches, so that a run that was stopped
goes on where it was.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from shoplens.catalog.base import Catalog
from shoplens.catalog.batch_writer import BatchWriter
from shoplens.catalog.chains import kept_chain
from shoplens.catalog.changes import (
    Compared,
    compare,
    photo_ids,
    refuse_reserved,
    source_name,
    vanished,
)
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId
from shoplens.catalog.index_report import IndexReport
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.opening import open_catalog
from shoplens.datasets.dataset import read_gallery
from shoplens.embedding.caching import Cache
from shoplens.embedding.outcome import STAGES, Embedded, Tally
from shoplens.errors import CatalogError, MissingError
from shoplens.models import Encoder, load_encoder
from shoplens.progress import Progress, silent
from shoplens.records import Photo, PhotoSet
from shoplens.regions.choosing import require_number
from shoplens.regions.embedding import embed_with_regions
from shoplens.reranking import NO_STEPS, Chain
from shoplens.vectors.regions import PhotoRegions

_REMOVED_AT_ONCE = 1000
_MUCH = 10_000
"""After so many new and changed photos the catalogue is compacted."""


def index(
    source: str | Path | PhotoSet,
    catalog: Catalog | str | Path,
    *,
    sync: bool = False,
    dry_run: bool = False,
    encoder: Encoder | None = None,
    regions: int | None = None,
    rerank: str | Chain | None = None,
    cache: Cache = True,
    retry_failed: bool = False,
    max_failures: int | None = None,
    workers: int | None = None,
    columns: Mapping[str, str] | None = None,
    remote: bool = False,
    progress: Progress = silent,
) -> IndexReport:
    """Bring a catalogue up to date with the photos of a source.

    A photo's id is the one in its table. Photos that their source only numbers, as in a folder
    without a table, have their paths as ids. If the catalogue has an id from another source
    already, the photo is replaced (`n_taken_over`).

    A photo is unchanged if its file has the size and the time that it had before; where these
    differ, the hash of its bytes decides. If only its product or its attributes changed, the photo
    is updated without inference. A photo whose entry in the catalogue is damaged is embedded again.

    Photos that cannot be embedded become `FailedPhoto` records and are tried again each time. A
    photo that was fine before and fails now stays in the catalogue with its earlier vector, because
    its source still lists it; its product and its attributes are updated. It counts as failed.

    If this is stopped at any moment, the same call resumes.

    Args:
        source: a folder, table, archive or URL, as `read_gallery` takes it; or photos that were
            read already.
        catalog: a catalogue, or the URI of one, which is made if it is not there.
        sync: also remove photos that earlier calls took from this source and that are not in it any
            more.
        dry_run: find out what would change; write nothing and embed nothing. No photo is decoded,
            so photos whose damage is not known yet count as added or changed. Photos that failed
            before count as failed.
        encoder: the model; None takes the catalogue's or, for a new catalogue, the default.
        regions: how many regions of each photo get vectors of their own, up to 8, which searches
            compare as well. The catalogue keeps this number; None takes the one that it has, at
            first 0. With another number, photos that are there are embedded again. A photo with a
            box has no regions.
        rerank: a chain of gallery-side re-ranking methods that read no photos, such as
            `alpha-qe:k=4`, for every search that names none; `none` for none. The catalogue keeps
            it (`Catalog.chain`); None takes the one that it has.
        cache: whether vectors are read from the user's cache and kept there (see `embed`).
        retry_failed: as in `embed_each`.
        max_failures: stop if more photos than this have failed; then nothing is removed. None for
            no limit.
        workers: threads; None takes one for each usable core.
        columns: as in `read_gallery`.
        remote: as in `read_gallery`.
        progress: told how many photos are done.

    Returns:
        What was done.

    Raises:
        MissingError: there is nothing at `source`.
        DataError: its table is faulty, or its photos cannot be told apart.
        ModelError: the catalogue's vectors are of another model.
        FailureLimitError: more than `max_failures` photos failed.
        CatalogBusyError: another process writes to the catalogue.
        ShoplensError: a photo cannot have so many regions.
        ChainError: `rerank` is not a chain.
        RankingError: a step of it uses other queries, or reads photos.
        CatalogError: the catalogue cannot be written, or `sync` was asked
            for photos whose source is not known.
    """
    started = time.perf_counter()
    if isinstance(source, PhotoSet):
        if sync:
            raise CatalogError(
                "sync needs the name of a folder, table, archive or URL: a PhotoSet does not say "
                "where its photos come from"
            )
        photos, name = source, ""
    else:
        photos = read_gallery(source, columns=columns, remote=remote)
        name = source_name(source)
    refuse_reserved(photos)
    require_number(regions or 0)
    named = None if rerank is None else kept_chain(rerank)
    ids = photo_ids(photos)
    with _opened(catalog, dry_run) as target:
        failed_before = {} if target is None else {f.photo_id: f for f in target.failures()}
        run = _Run(name, len(photos), failed_before, progress)
        tally = Tally(max_failures)
        gone: list[PhotoId] = []
        if regions is None:
            regions = 0 if target is None else target.regions
        chain = named
        if chain is None:
            chain = NO_STEPS if target is None else target.chain
        with closing(compare(photos, ids, name, target, regions, workers)) as compared:
            if dry_run or target is None:
                if target is not None and encoder is not None:
                    target.require_model(encoder)
                run.look(compared)
            else:
                encoder = _ready(target, encoder, regions, named)
                with (
                    BatchWriter(target) as writer,
                    closing(
                        embed_with_regions(
                            run.passing(compared, writer),
                            regions,
                            encoder,
                            cache=cache,
                            retry_failed=retry_failed,
                            workers=workers,
                        )
                    ) as results,
                ):
                    for result, of_regions in results:
                        run.take(result, of_regions, writer, tally)
        if sync and target is not None:
            gone = vanished(target, name, ids)
        if not dry_run and target is not None:
            for start in range(0, len(gone), _REMOVED_AT_ONCE):
                target.delete(gone[start : start + _REMOVED_AT_ONCE])
            if run.counts["n_added"] + run.counts["n_changed"] > _MUCH:
                target.compact(progress=progress)
        return IndexReport(
            catalog=str(catalog) if target is None else target.uri,
            source=name,
            dry_run=dry_run,
            model=_stamp_of(encoder) if target is None or target.model is None else target.model,
            failures=tuple(run.failures),
            n_removed=len(gone),
            n_cached=tally.n_cached,
            n_clipped=tally.n_clipped,
            n_others=photos.n_others,
            regions=regions,
            chain=chain.names,
            seconds={
                **{stage: spent for stage, spent in tally.seconds().items() if stage in STAGES},
                "index": time.perf_counter() - started,
            },
            **run.counts,
        )


class _Run:
    """Counts what becomes of each photo."""

    def __init__(
        self,
        source: str,
        n_photos: int,
        failed_before: Mapping[PhotoId, FailedPhoto],
        progress: Progress,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[FailedPhoto] = []
        self._source = source
        self._n_photos = n_photos
        self._n_done = 0
        self._failed_before = failed_before
        self._progress = progress
        self._waiting: deque[Compared] = deque()

    def look(self, compared: Iterator[Compared]) -> None:
        """Count what would become of photos."""
        for each in compared:
            problem = each.photo.problem
            before = self._failed_before.get(each.photo_id)
            if each.entry is not None:
                self._count_known(each)
            elif problem is not None:
                self._failed(each, problem.reason, str(problem))
            elif before is not None:
                self._failed(each, before.reason, before.detail)
            else:
                self._count_embedded(each)

    def passing(self, compared: Iterator[Compared], writer: BatchWriter) -> Iterator[Photo]:
        """Yield the photos that have to be embedded; the others are written."""
        for each in compared:
            if each.entry is None:
                self._waiting.append(each)
                yield each.photo
                continue
            self._count_known(each)
            if not each.is_unchanged or each.old is None or each.old.stamp != each.stamp:
                writer.put(each.entry)

    def take(
        self, result: Embedded, regions: PhotoRegions | None, writer: BatchWriter, tally: Tally
    ) -> None:
        """Write the result of the next photo that `passing` gave.

        Raises `FailureLimitError` if there are too many failures.
        """
        each = self._waiting.popleft()
        photo, computed = each.photo, result.computed
        if computed.vector is None:
            failed = self._failed(each, computed.reason, computed.detail)
            if each.old is not None:
                kept = replace(each.old, product_id=photo.product_id, attributes=photo.attributes)
                if kept.facts() != each.old.facts():
                    writer.put(kept)
            elif self._failed_before.get(each.photo_id) != failed:
                writer.fail(failed)
        else:
            self._count_embedded(each)
            writer.put(
                Entry(
                    photo_id=each.photo_id,
                    vector=computed.vector,
                    product_id=photo.product_id,
                    path=photo.name,
                    source=self._source,
                    sha256=result.sha256,
                    box=photo.box,
                    attributes=photo.attributes,
                    stamp=each.stamp,
                    regions=regions,
                )
            )
        tally.add(tally.n_photos, photo, result)

    def _count_known(self, each: Compared) -> None:
        self._done("n_unchanged" if each.is_unchanged else "n_changed", each)

    def _count_embedded(self, each: Compared) -> None:
        self.counts["n_embedded"] += 1
        self._done("n_added" if each.old is None else "n_changed", each)

    def _done(self, count: str, each: Compared) -> None:
        self.counts[count] += 1
        self.counts["n_taken_over"] += each.old is not None and each.old.source != self._source
        self._told()

    def _failed(self, each: Compared, reason: str, detail: str) -> FailedPhoto:
        photo = each.photo
        failed = FailedPhoto(
            photo_id=each.photo_id,
            path=photo.name,
            source=self._source,
            reason=reason,
            detail=detail,
            product_id=photo.product_id,
            attributes=photo.attributes,
        )
        self.failures.append(failed)
        self.counts["n_kept"] += each.old is not None
        self._told()
        return failed

    def _told(self) -> None:
        self._n_done += 1
        self._progress("index", self._n_done, self._n_photos)


@contextmanager
def _opened(catalog: Catalog | str | Path, dry_run: bool) -> Iterator[Catalog | None]:
    """Open a catalogue if it is named; None where a dry run finds none."""
    if isinstance(catalog, Catalog):
        yield catalog
        return
    try:
        own = open_catalog(catalog, create=not dry_run, read_only=dry_run)
    except MissingError as error:
        if not dry_run or isinstance(error.__cause__, ImportError):
            raise
        yield None
        return
    with own:
        yield own


def _ready(catalog: Catalog, encoder: Encoder | None, regions: int, chain: Chain | None) -> Encoder:
    """Return the model to embed with; it is the catalogue's from now on."""
    model = catalog.model
    if model is None:
        encoder = encoder or load_encoder()
        model = ModelStamp(encoder.name, encoder.fingerprint, encoder.dimension)
    else:
        encoder = encoder or catalog.encoder()
        catalog.require_model(encoder)
    # A catalogue that cannot be written, or that another process writes to, is told before the
    # work begins.
    catalog.set_model(model)
    if regions != catalog.regions:
        catalog.set_regions(regions)
    if chain is not None:
        catalog.set_chain(chain)
    return encoder


def _stamp_of(encoder: Encoder | None) -> ModelStamp | None:
    if encoder is None:
        return None
    return ModelStamp(encoder.name, encoder.fingerprint, encoder.dimension)
