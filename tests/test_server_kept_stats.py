"""What the catalogue holds is counted once for each of its versions, and no page waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from made_shops import make_shop, png, serving

from shoplens import Catalog, open_catalog
from shoplens.catalog.stats import CatalogStats
from shoplens.errors import CatalogError
from shoplens.server.kept_stats import KeptStats


class Counting:
    """Counts how often a catalogue is counted, and can hold that up."""

    def __init__(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n = 0
        self.may_end = threading.Event()
        self.may_end.set()
        count = catalog.stats

        def stats() -> CatalogStats:
            found = count()
            self.n += 1
            assert self.may_end.wait(60)
            return found

        monkeypatch.setattr(catalog, "stats", stats)


@asynccontextmanager
async def kept(catalog: Catalog) -> AsyncIterator[KeptStats]:
    with ThreadPoolExecutor(4) as threads:
        stats = KeptStats(lambda: catalog, threads)
        try:
            yield stats
        finally:
            await stats.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_each_version_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_shop(tmp_path)
    with (
        open_catalog(tmp_path / "catalog") as writer,
        open_catalog(tmp_path / "catalog", read_only=True) as catalog,
    ):
        counting = Counting(catalog, monkeypatch)

        async def work() -> None:
            async with kept(catalog) as stats:
                found = await asyncio.gather(*(stats.now() for _ in range(9)), stats.recent())
                assert counting.n == 1
                assert {one.n_photos for one in found} == {7}
                await asyncio.to_thread(writer.delete, [0])
                assert (await stats.now()).n_photos == 6
                assert (await stats.now()).n_photos == 6
                assert counting.n == 2

        run(work())


def test_what_an_engine_cannot_tell_is_counted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shop(tmp_path)
    with open_catalog(tmp_path / "catalog", read_only=True) as catalog:
        monkeypatch.setattr(catalog, "revision", lambda: None)
        counting = Counting(catalog, monkeypatch)

        async def work() -> None:
            async with kept(catalog) as stats:
                await stats.now()
                await stats.now()
                assert counting.n == 2

        run(work())


def test_recent_figures_do_not_wait_for_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shop(tmp_path)
    with (
        open_catalog(tmp_path / "catalog") as writer,
        open_catalog(tmp_path / "catalog", read_only=True) as catalog,
    ):
        counting = Counting(catalog, monkeypatch)

        async def work() -> None:
            async with kept(catalog) as stats:
                await stats.recent()
                stats._next = 0.0
                await asyncio.to_thread(writer.delete, [0])
                counting.may_end.clear()
                assert [(await stats.recent()).n_photos for _ in range(5)] == [7] * 5
                while counting.n < 2:
                    await asyncio.sleep(0.01)
                assert counting.n == 2  # Five pages were loaded, and it is counted once.
                counting.may_end.set()
                assert (await stats.now()).n_photos == 6
                assert counting.n == 2

        run(work())


def test_recent_figures_are_those_of_now_where_counting_is_quick(tmp_path: Path) -> None:
    make_shop(tmp_path)
    with (
        open_catalog(tmp_path / "catalog") as writer,
        open_catalog(tmp_path / "catalog", read_only=True) as catalog,
    ):

        async def work() -> None:
            async with kept(catalog) as stats:
                await stats.recent()
                stats._next = 0.0
                await asyncio.to_thread(writer.delete, [0])
                await stats.now()
                assert (await stats.recent()).n_photos == 6

        run(work())


def test_counting_leaves_most_of_the_time_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shop(tmp_path)
    with (
        open_catalog(tmp_path / "catalog") as writer,
        open_catalog(tmp_path / "catalog", read_only=True) as catalog,
    ):
        counting = Counting(catalog, monkeypatch)

        async def work() -> None:
            async with kept(catalog) as stats:
                await stats.recent()
                stats._next = float("inf")
                await asyncio.to_thread(writer.delete, [0])
                assert (await stats.recent()).n_photos == 7
                assert counting.n == 1

        run(work())


def test_a_catalogue_that_is_away_is_told_to_the_first_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shop(tmp_path)
    with open_catalog(tmp_path / "catalog", read_only=True) as catalog:

        def away() -> object:
            raise CatalogError("away")

        async def work() -> None:
            async with kept(catalog) as stats:
                with monkeypatch.context() as gone:
                    gone.setattr(catalog, "revision", away)
                    with pytest.raises(CatalogError, match="away"):
                        await stats.recent()
                await stats.recent()
                stats._next = 0.0
                monkeypatch.setattr(catalog, "revision", away)
                assert (await stats.recent()).n_photos == 7
                with pytest.raises(CatalogError, match="away"):
                    await stats.now()

        run(work())


def test_every_change_is_another_revision(tmp_path: Path) -> None:
    make_shop(tmp_path)
    with (
        open_catalog(tmp_path / "catalog") as writer,
        open_catalog(tmp_path / "catalog", read_only=True) as catalog,
    ):
        seen = [catalog.revision()]
        assert catalog.revision() == seen[0]
        [entry] = writer.get_many([1])
        assert entry is not None
        for change in (
            lambda: writer.delete([0]),
            lambda: writer.delete([1]),
            lambda: writer.upsert([entry]),
            writer.compact,
        ):
            change()
            assert catalog.revision() not in seen
            seen.append(catalog.revision())


def test_the_catalogue_page_sees_what_was_just_put_in(tmp_path: Path) -> None:
    with serving(make_shop(tmp_path)) as client:
        assert client.get("/v1/catalog").json()["n_photos"] == 7
        client.put("/v1/catalog/photos/7", files={"photo": png(7)}, data={"attributes": '{"a": 1}'})
        held = client.get("/v1/catalog").json()
        assert (held["n_photos"], held["attributes"]["a"]) == (8, "int")
        assert client.get("/v1/page-settings").json()["attributes"]["a"] == "int"
