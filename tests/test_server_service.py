"""The service follows what other processes do to its catalogue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import picture
from made_shops import png

from shoplens import Encoder, Entry, load_encoder, open_catalog
from shoplens.catalog.indexing import index
from shoplens.catalog.migration import migrate
from shoplens.errors import CatalogBusyError, ModelError
from shoplens.models import DEFAULT_MODEL
from shoplens.server import catalog_writer
from shoplens.server import service as service_module
from shoplens.server.current_model import load_model
from shoplens.server.metrics import Metrics
from shoplens.server.problems import Problem
from shoplens.server.query_schemas import QueryFields, Terms
from shoplens.server.searching import searched
from shoplens.server.service import Service
from shoplens.server.settings import ServerSettings

TERMS = Terms(k=3)


@pytest.fixture
def models(make_model: Callable[..., Path]) -> tuple[Path, Path]:
    """Two models, of one dimension, so that only their fingerprints tell them apart."""
    return make_model("one"), make_model("two", mean=[100.0, 110.0, 120.0])


@pytest.fixture
def shop(models: tuple[Path, Path], tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        picture(number).save(folder / f"{number}.png")
    index(folder, tmp_path / "shop", encoder=load_encoder(models[0]))
    return tmp_path / "shop"


@asynccontextmanager
async def opened(shop: Path, *models: Path, **settings: Any) -> AsyncIterator[Service]:
    named = tuple(str(model) for model in models)
    chosen = ServerSettings(catalog=str(shop), models=named, embedders=1, decoders=1, **settings)
    service = Service(chosen, Metrics())
    await service.open()
    try:
        yield service
    finally:
        await service.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def migrated(shop: Path, encoder: Encoder) -> None:
    with open_catalog(shop) as catalog:
        migrate(catalog, encoder)


async def found_by(service: Service) -> Any:
    answer = await searched(service, QueryFields(photo=png(1)), TERMS)
    assert answer["hits"][0]["photo_id"] == "1.png"
    assert answer["hits"][0]["score"] == pytest.approx(1)
    return answer["model"]["name"]


def test_a_migration_behind_it_is_followed_at_the_next_search(
    shop: Path, models: tuple[Path, Path]
) -> None:
    async def work() -> None:
        async with opened(shop, *models) as service:
            assert await found_by(service) == "one"
            await asyncio.to_thread(migrated, shop, load_encoder(models[1]))
            assert await found_by(service) == "two"
            assert service.trouble() is None
            assert service.model.encoder is not None
            assert service.model.encoder.name == "two"

    run(work())


def test_a_model_that_it_does_not_have_is_told_and_waited_for(
    shop: Path, models: tuple[Path, Path]
) -> None:
    async def work() -> None:
        async with opened(shop, models[0]) as service:
            await asyncio.to_thread(migrated, shop, load_encoder(models[1]))
            for _ in range(2):
                with pytest.raises(Problem) as raised:
                    await found_by(service)
                assert (raised.value.code, raised.value.status) == ("model_mismatch", 409)
            trouble = service.trouble()
            assert trouble is not None
            assert (trouble.code, trouble.status) == ("model_mismatch", 503)
            # What needs no model is answered.
            like = await searched(service, QueryFields(photo_id="1.png"), TERMS)
            assert like["model"]["name"] == "two"
            await asyncio.to_thread(migrated, shop, load_encoder(models[0]))
            await service.follow()
            assert await found_by(service) == "one"
            assert service.trouble() is None

    run(work())


def test_searches_go_on_through_migrations(shop: Path, models: tuple[Path, Path]) -> None:
    """Whatever happens meanwhile, each photo is compared with vectors of its own model."""

    async def work() -> None:
        async with opened(shop, *models) as service:
            names = set()
            changing = asyncio.ensure_future(
                asyncio.to_thread(
                    lambda: [migrated(shop, load_encoder(models[n % 2])) for n in (1, 2, 3)]
                )
            )
            while not changing.done():
                with contextlib.suppress(Problem):  # Two switches during one search.
                    names.add(await found_by(service))
            await changing
            assert await found_by(service) == "two"
            assert names <= {"one", "two"}

    run(work())


def test_other_processes_may_write_when_it_does_not(
    shop: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_WATCH_SECONDS", 0.02)
    monkeypatch.setattr(catalog_writer, "_IDLE_SECONDS", 0.02)

    async def work() -> None:
        async with opened(shop, models[0]) as service:
            photo, regions, stamp = await service.embed(png(9), None)
            assert regions is None
            async with service.writing() as catalog:
                assert catalog.model == stamp
                entry = Entry(photo_id=9, vector=photo.vector)
                done = await service.in_thread(lambda: catalog.upsert([entry]))
                assert done.n_added == 1
                with open_catalog(shop) as other, pytest.raises(CatalogBusyError):
                    other.delete(["0.png"])
            answer = await searched(service, QueryFields(photo_id=9), TERMS)
            assert len(answer["hits"]) == 3
            with open_catalog(shop) as other:
                while True:
                    try:
                        assert other.delete([9]) == 1
                        break
                    except CatalogBusyError:
                        await asyncio.sleep(0.02)
            with pytest.raises(Problem, match="no photo 9"):
                await searched(service, QueryFields(photo_id=9), TERMS)

    run(work())


def test_a_catalogue_that_is_away_is_told_until_it_is_back(
    shop: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_WATCH_SECONDS", 0.02)

    async def work() -> None:
        async with opened(shop, models[0]) as service:
            store = shop / "catalog.sqlite"
            store.rename(shop / "elsewhere")
            while (trouble := service.trouble()) is None:
                await asyncio.sleep(0.02)
            assert (trouble.code, trouble.status) == ("catalog_unavailable", 503)
            (shop / "elsewhere").rename(store)
            while service.trouble() is not None:
                await asyncio.sleep(0.02)
            assert await found_by(service) == "one"

    run(work())


def test_nothing_is_changed_where_it_is_read_only(shop: Path, models: tuple[Path, Path]) -> None:
    async def work() -> None:
        async with opened(shop, models[0], read_only=True) as service:
            with pytest.raises(Problem) as raised:
                async with service.writing():
                    pass
            assert raised.value.code == "read_only"

    run(work())


def test_it_does_not_open_without_the_model(shop: Path, models: tuple[Path, Path]) -> None:
    async def work() -> None:
        for named in ((), (models[1],)):
            with pytest.raises(ModelError, match="name the model with --model"):
                async with opened(shop, *named):
                    pass

    run(work())


def test_the_first_model_named_is_for_an_empty_catalogue(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    named = ServerSettings(catalog="x", models=tuple(str(model) for model in models))
    assert load_model(None, named).name == "one"
    assert load_model(None, ServerSettings(catalog="x")).name == DEFAULT_MODEL
