"""The work behind the routes: an open catalogue, its model, and the threads that use them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import numpy as np

from shoplens.boxes.network import load_network
from shoplens.boxes.proposals import BoxProposals
from shoplens.boxes.proposing import propose_in
from shoplens.boxes.queries import AUTO
from shoplens.catalog.base import Catalog
from shoplens.catalog.checks import UNIT_TOLERANCE
from shoplens.catalog.entry import Entry, PhotoId
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.opening import open_catalog
from shoplens.catalog.originals import urls_of
from shoplens.confidence import Calibration
from shoplens.cores import usable_cores
from shoplens.errors import MissingError, ModelError
from shoplens.hits import SearchResult
from shoplens.models import Encoder
from shoplens.patches.patch_map import PreparedRegion
from shoplens.progress import Progress
from shoplens.records import Box, Domain
from shoplens.reranking import Chain
from shoplens.server.calibrations import fitting, load_calibration
from shoplens.server.catalog_writer import CatalogWriter
from shoplens.server.chains import asked_chain, own_chain
from shoplens.server.current_model import CurrentModel, missing_model, stamp_of
from shoplens.server.embedder import EmbeddedPhoto, Embedder
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
from shoplens.server.query_schemas import QueryFields, Terms
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
        self._model = CurrentModel(settings, metrics)
        self._writer = CatalogWriter(settings.catalog, self._threads)
        self._fetcher = _fetcher(settings) if settings.urls else None
        self._watching: asyncio.Task[None] | None = None
        folder = settings.uploads_folder
        self._confidence: Calibration | None = None
        self.uploads = None if folder is None else Uploads(folder)
        """Where uploaded photos are kept; None where the server keeps none."""
        self.photos = StoredPhotos()
        self.shown_from_memory = asyncio.Semaphore(settings.max_waiting)
        """Held while the file of a photo that is shown is in memory."""
        self._fetching = asyncio.Semaphore(settings.max_waiting)
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
        self._confidence = await self.in_thread(
            lambda: load_calibration(self.settings, self.catalog)
        )
        await self._model.load(stamp)
        await self._look()
        self.metrics.watch(
            decoding=lambda: self._model.embedder.decoding,
            embedding=lambda: self._model.embedder.embedding,
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
        await self._model.close()
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

    @property
    def encoder(self) -> Encoder | None:
        """The model at work; None before it is loaded."""
        return self._model.encoder

    def trouble(self) -> Problem | None:
        """Return why the server is not ready; None if it is."""
        if self.stopping:
            return Problem("stopping", "The server is being stopped.")
        if not self._is_readable:
            return Problem("catalog_unavailable", "The catalogue cannot be read; see the log.")
        if self._model.is_missing:
            problem = missing_model()
            return Problem(problem.code, problem.detail, status=503)
        return None

    async def in_thread(self, work: Callable[[], _T]) -> _T:
        """Run something that blocks on one of the threads for the catalogue."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def search(
        self, query: QueryFields, terms: Terms, deadline: float | None = None
    ) -> dict[str, Any]:
        """Search, and return the JSON of the result.

        Args:
            query: what is searched for.
            terms: how.
            deadline: a moment of `time.monotonic` after which waiting work is not begun.

        Raises:
            ShoplensError: the query or its terms cannot be used.
            Problem: the same, or there is too much to do.
        """
        if terms.k > self.settings.max_k:
            raise Problem("bad_request", f"k: at most {self.settings.max_k:,} hits are given")
        chain = await self._chain_of(terms)
        if query.url is not None:
            # Of all requests together: each photo is in memory until it was searched for.
            async with self._fetching:
                photo = await self.fetched(query.url)
                return await self._search_photo(photo, query.box, terms, chain, deadline)
        if query.photo is not None:
            return await self._search_photo(query.photo, query.box, terms, chain, deadline)
        if query.photo_id is not None:
            return await self._search_id(query.photo_id, terms, chain)
        return await self._search_vector(query.vector or [], terms, chain)

    async def embed(
        self, data: bytes, box: str | None, deadline: float | None = None
    ) -> tuple[EmbeddedPhoto, PhotoRegions | None, ModelStamp]:
        """Embed a photo as those of the catalogue are, with its regions if they have some.

        Returns them with the model that did; None for the regions of a catalogue without.

        Raises as `search` does.
        """
        embedder = self._at_work()
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

        Raises as `search` does.
        """
        return await self._model.embedder.thumbnail(data, side)

    async def boxes(self, data: bytes, n: int = 5) -> BoxProposals:
        """Propose boxes for a photo (see `shoplens.propose_boxes`).

        Raises as `search` does.
        """
        network = await self.in_thread(load_network)
        photo = await self._model.embedder.prepare(data, network.recipe)
        [views] = photo.prepared
        with self.metrics.stage("boxes"):
            return await self.in_thread(lambda: propose_in(views, (photo.width, photo.height), n))

    async def region(self, data: bytes, box: str | None, domain: Domain) -> PreparedRegion:
        """Prepare a photo's box, or the whole photo, for the network that explains matches.

        Raises as `search` does.
        """
        network = await self.in_thread(load_network)
        photo = await self._at_work().prepare(data, network.recipe, box, domain)
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

    async def _search_photo(
        self, data: bytes, box: str | None, terms: Terms, chain: Chain, deadline: float | None
    ) -> dict[str, Any]:
        started = time.perf_counter()
        if box == AUTO:
            box = str((await self.boxes(data, 1))[0].box)
        for _ in range(2):
            embedder = self._at_work()
            photo = await embedder.embed(data, box, "user", deadline)
            spent = time.perf_counter() - started
            try:
                answer = await self._searched(terms, chain, vector=photo.vector)
            except ModelError:  # The vectors are of another dimension.
                answer = None
            if answer and answer["model"]["fingerprint"] in (None, embedder.encoder.fingerprint):
                answer["seconds"]["query"] = spent
                if box is not None:
                    answer["query_box"] = str(Box.parse(box, (photo.width, photo.height)))
                return {**answer, "query": photo.to_json()}
            # The catalogue was migrated to another model meanwhile.
            await self._follow()
        raise Problem("model_mismatch", "The catalogue's model is being changed: try again.")

    async def fetched(self, url: str) -> bytes:
        """Return the photo behind a URL; raises `Problem` as `search` does."""
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

    async def _search_id(self, photo_id: int | str, terms: Terms, chain: Chain) -> dict[str, Any]:
        try:
            return await self._searched(terms, chain, photo_id=photo_id)
        except MissingError:
            raise Problem("not_found", f"There is no photo {photo_id}.") from None

    async def _search_vector(
        self, values: Sequence[float], terms: Terms, chain: Chain
    ) -> dict[str, Any]:
        vector = np.asarray(values, dtype=np.float32)
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if not abs(length - 1) <= UNIT_TOLERANCE:
            raise Problem("bad_request", f"vector: its length is {length:g}; it must be 1")
        try:
            return await self._searched(terms, chain, vector=vector)
        except ModelError:
            raise Problem(
                "model_mismatch",
                f"vector: it has {len(vector)} dimensions, and those of the catalogue have another "
                "number (see /v1/models).",
            ) from None

    async def _searched(self, terms: Terms, chain: Chain, **query: Any) -> dict[str, Any]:
        def searched() -> dict[str, Any]:
            confidence = fitting(self._confidence, self.catalog, chain)
            return _answer(
                self.catalog.search(
                    k=terms.k,
                    where=terms.where,
                    group_by=terms.group_by,
                    min_score=terms.min_score,
                    facets=terms.facets,
                    exact=terms.exact,
                    product_score=terms.product_score,
                    variants=terms.variants,
                    collapse=terms.collapse,
                    confidence=confidence,
                    rerank=chain,
                    **query,
                )
            )

        with self.metrics.stage("search"):
            return await self.in_thread(searched)

    async def _chain_of(self, terms: Terms) -> Chain:
        return asked_chain(
            terms.rerank,
            await self.in_thread(lambda: own_chain(self.settings.chain, self.catalog)),
            self.settings.max_rerank_seconds,
            terms.listing().n_photos,
            self._model.embedder.encoder.dimension,
        )

    def _at_work(self) -> Embedder:
        if self._model.is_missing:
            raise missing_model()
        return self._model.embedder

    async def _follow(self) -> None:
        await self._model.follow(await self.in_thread(lambda: self.catalog.model))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.kept_photos.expire()
            try:
                await self._look()
                await self._follow()
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


def photo_links(photo_id: PhotoId) -> dict[str, str]:
    """Return where a photo and its thumbnail are."""
    name = quote(str(photo_id), safe="")
    return {"photo_url": f"/v1/photos/{name}", "thumbnail_url": f"/v1/thumbnails/{name}"}


def _answer(result: SearchResult) -> dict[str, Any]:
    """Return the JSON of a result, with the links of its photos."""
    answer = result.to_json()
    for hit in answer["hits"]:
        hit.update(photo_links(hit["photo_id"]))
        for view in (*hit.get("photos", ()), *hit.get("duplicates", ())):
            view.update(photo_links(view["photo_id"]))
    return answer
