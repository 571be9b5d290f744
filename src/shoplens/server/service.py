"""The work behind the routes: an open catalogue, its model, and the threads that use them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from shoplens.boxes.network import load_network
from shoplens.boxes.proposals import BoxProposals
from shoplens.boxes.proposing import propose_in
from shoplens.catalog.base import Catalog
from shoplens.catalog.entry import Entry
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.opening import open_catalog
from shoplens.catalog.originals import urls_of
from shoplens.confidence import Calibration
from shoplens.cores import usable_cores
from shoplens.patches.patch_map import PreparedRegion
from shoplens.progress import Progress
from shoplens.records import Box, Domain
from shoplens.server.calibrations import load_calibration
from shoplens.server.catalog_writer import CatalogWriter
from shoplens.server.current_model import CurrentModel, missing_model, stamp_of
from shoplens.server.embedder import EmbeddedPhoto
from shoplens.server.jobs import Job
from shoplens.server.kept_photos import KeptPhotos
from shoplens.server.kept_stats import KeptStats
from shoplens.server.logs import log_event
from shoplens.server.metrics import Metrics
from shoplens.server.originals import (
    StoredPhoto,
    StoredPhotos,
    ThumbnailCache,
    fetched_photo,
)
from shoplens.server.photo_regions import embed_regions
from shoplens.server.problems import Problem, not_open
from shoplens.server.settings import ServerSettings
from shoplens.server.uploads import Uploads
from shoplens.vectors.regions import PhotoRegions

if TYPE_CHECKING:
    from shoplens.server.fetching import PhotoFetcher

_WATCH_SECONDS = 2.0
"""Between two looks at the catalogue's model and size."""
_T = TypeVar("_T")


class Service:
    """What routes call. Every method is safe to await from many requests at a time.

    The catalogue's calls block, so they run on threads of a bounded pool. Reading and writing are
    done by two open catalogues: the one that reads never holds the right to write, and the one that
    writes gives it back when it is idle, so that `shoplens index` and `shoplens catalog migrate`
    can work behind a running server.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.stopping = False
        """Whether the process was told to stop: /readyz says so, and requests are finished."""
        self._threads = ThreadPoolExecutor(max(4, 2 * usable_cores()), "catalog")
        self._catalog: Catalog | None = None
        self._is_readable = True
        self._writer = CatalogWriter(settings.catalog, self._threads)
        self._fetcher = _fetcher(settings) if settings.urls else None
        self._watching: asyncio.Task[None] | None = None
        self.model = CurrentModel(settings, metrics)
        self.confidence: Calibration | None = None
        """What tells how likely a hit is the right one; None where the settings name nothing."""
        folder = settings.uploads_folder
        self.uploads = None if folder is None else Uploads(folder)
        """Where uploaded photos are kept; None where the server keeps none."""
        self.photos = StoredPhotos()
        self.shown_from_memory = asyncio.Semaphore(settings.max_waiting)
        """Held while the file of a photo that is shown is in memory."""
        self.fetching = asyncio.Semaphore(settings.max_waiting)
        """Held while a photo that was fetched for a search is in memory."""
        self.thumbnails = ThumbnailCache()
        self.kept_photos = KeptPhotos(settings.keep_seconds)
        self.stats = KeptStats(lambda: self.catalog, self._threads)
        self.compacting = Job("compact", self._compact)
        self.verifying = Job("verify", self._verify)

    async def open(self) -> None:
        """Open the catalogue and load its model.

        Raises:
            MissingError: there is no such catalogue or model.
            CatalogError: the catalogue cannot be opened.
            ModelError: the server does not have the catalogue's model, or the calibration is for
                another one.
        """
        uri = self.settings.catalog
        self._catalog = await self.in_thread(lambda: open_catalog(uri, read_only=True))
        stamp = await self.in_thread(lambda: self.catalog.model)
        self.confidence = await self.in_thread(
            lambda: load_calibration(self.settings, self.catalog)
        )
        await self.model.load(stamp)
        await self._look()
        self.metrics.watch(
            decoding=lambda: self.model.embedder.decoding,
            embedding=lambda: self.model.embedder.embedding,
            is_ready=lambda: float(self.trouble() is None),
        )
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Close everything. Requests must have ended."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self.stats.close()
        await self.model.close()
        if self._fetcher is not None:
            await self._fetcher.close()
        await self._writer.release()
        if self._catalog is not None:
            await self.in_thread(self._catalog.close)
        self._threads.shutdown()

    @property
    def catalog(self) -> Catalog:
        """The catalogue, open for reading. Its calls block: make them `in_thread`."""
        if self._catalog is None:
            raise not_open()
        return self._catalog

    def trouble(self) -> Problem | None:
        """Return why the server is not ready; None if it is."""
        if self.stopping:
            return Problem("stopping", "The server is being stopped.")
        if not self._is_readable:
            return Problem("catalog_unavailable", "The catalogue cannot be read; see the log.")
        if self.model.is_missing:
            problem = missing_model()
            return Problem(problem.code, problem.detail, status=503)
        return None

    async def in_thread(self, work: Callable[[], _T]) -> _T:
        """Run something that blocks on one of the threads for the catalogue."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def embed(
        self, data: bytes, box: str | None, deadline: float | None = None
    ) -> tuple[EmbeddedPhoto, PhotoRegions | None, ModelStamp]:
        """Embed a photo as those of the catalogue are, with its regions if they have some.

        Returns them with the model that did; None for the regions of a catalogue without.

        Raises:
            ShoplensError: the photo or its box cannot be used.
            Problem: the same, or there is too much to do.
        """
        embedder = self.model.at_work
        n_regions = await self.in_thread(lambda: self.catalog.regions)
        photo = await embedder.embed(data, box, "seller", deadline)
        regions = None
        if n_regions:
            regions = await embed_regions(embedder, data, photo, n_regions, deadline)
        return photo, regions, stamp_of(embedder.encoder)

    async def stored_photo(self, entry: Entry) -> StoredPhoto:
        """Return the file of a photo of the catalogue.

        Raises `Problem`: `not_found`, and of photos behind URLs `url_refused` and `fetch_failed`.
        """
        urls = urls_of(entry)
        if not urls:
            return await self.in_thread(lambda: self.photos.find(entry))
        if self._fetcher is None:
            raise Problem(
                "not_found",
                "The photo is behind a URL, and this server fetches none (its setting urls).",
            )
        for url in urls[:-1]:
            with suppress(Problem):
                return fetched_photo(await self.fetched(url))
        return fetched_photo(await self.fetched(urls[-1]))

    async def thumbnail(self, data: bytes, side: int) -> bytes:
        """Return a small picture of a photo: an upright JPEG, whose longer side is `side` pixels.

        Raises as `embed` does.
        """
        return await self.model.embedder.thumbnail(data, side)

    async def boxes(self, data: bytes, n: int = 5) -> BoxProposals:
        """Propose boxes for a photo (see `shoplens.propose_boxes`).

        Raises as `embed` does.
        """
        network = await self.in_thread(load_network)
        photo = await self.model.embedder.prepare(data, network.recipe)
        [views] = photo.prepared
        with self.metrics.stage("boxes"):
            return await self.in_thread(lambda: propose_in(views, (photo.width, photo.height), n))

    async def region(self, data: bytes, box: str | None, domain: Domain) -> PreparedRegion:
        """Prepare a photo's box, or the whole photo, for the network that explains matches.

        Raises as `embed` does.
        """
        network = await self.in_thread(load_network)
        photo = await self.model.at_work.prepare(data, network.recipe, box, domain)
        [views] = photo.prepared
        size = photo.width, photo.height
        return PreparedRegion(views, photo.box or Box(0, 0, *size), size)

    def require_writable(self) -> None:
        """Raise `Problem` (`read_only`) if the catalogue is not to be changed."""
        if self.settings.read_only:
            raise Problem("read_only", "This server does not change its catalogue.")

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Catalog]:
        """Change the catalogue, one request at a time. Its calls block: make them `in_thread`.

        Raises:
            Problem: `read_only`.
            CatalogBusyError: another process is changing it (raised by the change itself).
        """
        self.require_writable()
        async with self._writer.changing() as catalog:
            yield catalog

    async def _compact(self, progress: Progress) -> dict[str, Any]:
        self.require_writable()
        async with self._writer.tending() as catalog:
            await self.in_thread(lambda: catalog.compact(progress=progress))
        return {}

    async def _verify(self, progress: Progress) -> dict[str, Any]:
        found = await self.in_thread(lambda: self.catalog.verify(progress=progress))
        return found.to_json()

    async def fetched(self, url: str) -> bytes:
        """Return the photo behind a URL.

        Raises `Problem`: `urls_disabled`, `url_refused` and `fetch_failed`.
        """
        if self._fetcher is None:
            raise Problem("urls_disabled", "This server fetches no photos: send the photo itself.")
        from shoplens.server.fetching import FetchError, UrlRefusedError  # noqa: PLC0415

        try:
            with self.metrics.stage("fetch"):
                return await self._fetcher.fetch(url)
        except UrlRefusedError as error:
            raise Problem("url_refused", str(error)) from None
        except FetchError as error:
            raise Problem("fetch_failed", str(error)) from None

    async def follow(self) -> None:
        """Load the catalogue's model if it is another one by now."""
        await self.model.follow(await self.in_thread(lambda: self.catalog.model))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.kept_photos.expire()
            try:
                await self._look()
                await self.follow()
                await self._writer.release_if_idle()
                self._is_readable = True
            except Exception as error:
                # The next look may succeed: a server that is away comes back.
                if self._is_readable:
                    log_event("the catalogue cannot be read", logging.ERROR, reason=str(error))
                self._is_readable = False

    async def _look(self) -> None:
        self.metrics.photos.set(await self.in_thread(self.catalog.count))


def _fetcher(settings: ServerSettings) -> PhotoFetcher:
    from shoplens.server.fetching import PhotoFetcher  # noqa: PLC0415  Most servers fetch nothing.

    return PhotoFetcher(
        max_bytes=settings.max_upload_bytes,
        seconds=settings.url_seconds,
        networks=settings.url_networks,
    )
