"""Photos decoded in other processes: the same pixels, and no photo that stops the others."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from conftest import picture
from PIL import Image

from shoplens.embedding.outcome import StageClock
from shoplens.embedding.queries import query_photo
from shoplens.embedding.single import prepared_from
from shoplens.errors import PhotoError, ShoplensError
from shoplens.models import Encoder, load_encoder
from shoplens.models.ensemble import Ensemble, Member
from shoplens.records import REASONS, Box
from shoplens.server.decoding import DecoderPool, PreparedPhoto
from shoplens.server.overload import OverloadedError

T = TypeVar("T")
Work = Callable[[DecoderPool], Awaitable[T]]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits memory on Linux")


def with_pool(encoder: Encoder, work: Work[T], **limits: Any) -> T:
    """Return what `work` does with a pool of one process."""

    async def run() -> T:
        async with DecoderPool(encoder, **{"n_processes": 1, "seconds": 60.0, **limits}) as pool:
            return await work(pool)

    return asyncio.run(run())


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned(orientation: int, size: tuple[int, int] = (640, 480)) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a camera"
    return saved(picture(1, size), exif=exif, comment=b"private")


@pytest.fixture(scope="module")
def slow() -> bytes:
    """A small file whose pixels take a second or so, and 250 MB."""
    return saved(Image.new("RGB", (9000, 9000), "red"), "PNG", compress_level=1)


def library(data: bytes, box: str | None, encoder: Encoder) -> PreparedPhoto:
    photo = query_photo(data, box)
    prepared, clipped = prepared_from(data, photo, encoder, StageClock())
    width, height = Image.open(io.BytesIO(data)).size
    region = None if photo.box is None else photo.box.clip((width, height))
    return PreparedPhoto(prepared, width, height, region, clipped)


def assert_same(a: PreparedPhoto, b: PreparedPhoto) -> None:
    assert (a.width, a.height, a.box, a.clipped) == (b.width, b.height, b.box, b.clipped)
    assert len(a.prepared) == len(b.prepared)
    for one, other in zip(a.prepared, b.prepared, strict=True):
        assert one.dtype == np.uint8
        assert np.array_equal(one, other)


@pytest.mark.parametrize("box", [None, "100,50,300,200", "rel:0.1,0.1,0.5,2"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_the_pixels_are_those_of_the_library(kind: str, box: str | None, encoder: Encoder) -> None:
    data = saved(picture(3, (2000, 1500)), kind)
    found = with_pool(encoder, lambda pool: pool.prepare(data, box))
    assert_same(found, library(data, box, encoder))


def test_and_so_are_the_vectors_of_the_sample(encoder: Encoder, sample: Path) -> None:
    photos = [path.read_bytes() for path in sorted((sample / "queries").iterdir())]

    async def prepared(pool: DecoderPool) -> list[PreparedPhoto]:
        return list(await asyncio.gather(*(pool.prepare(data) for data in photos)))

    for data, found in zip(photos, with_pool(encoder, prepared, n_processes=2), strict=True):
        own, _ = prepared_from(data, query_photo(data), encoder, StageClock())
        assert np.array_equal(
            encoder.embed([found.prepared], ["user"]), encoder.embed([own], ["user"])
        )


def test_the_photo_is_turned_upright(encoder: Encoder) -> None:
    found = with_pool(encoder, lambda pool: pool.prepare(turned(6), "0,0,100,200"))
    assert (found.width, found.height) == (480, 640)
    assert found.box == Box(0, 0, 100, 200)


def test_each_model_of_an_ensemble_gets_its_views(make_model: Callable[..., Path]) -> None:
    zoomed = load_encoder(str(make_model("zoomed", zooms=[1, 0.5], flip=True)))
    cut = load_encoder(str(make_model("cut", input_size=24, graph_size=24, fit="crop")))
    both = Ensemble("both", [Member(zoomed, 1), Member(cut, 2)])
    data = saved(picture(5, (500, 300)))
    found = with_pool(both, lambda pool: pool.prepare(data, "10,10,200,100", "seller"))
    assert [views.shape for views in found.prepared] == [(4, 16, 16, 3), (1, 24, 24, 3)]
    assert_same(found, library(data, "10,10,200,100", both))


@pytest.mark.parametrize(
    ("data", "box", "reason"),
    [
        (b"", None, "empty"),
        (b"no photo", None, "not_an_image"),
        (saved(picture(1))[:-300], None, "truncated"),
        (saved(picture(1)), "1,2,3", "bad_box"),
        (saved(picture(1)), "rel:nan,0,1,1", "bad_box"),
        (saved(picture(1)), "900,900,5,5", "outside_box"),
        (saved(picture(1, (200, 200))), None, "too_large"),
    ],
)
def test_what_cannot_be_used_is_refused_as_by_the_library(
    data: bytes, box: str | None, reason: str, encoder: Encoder
) -> None:
    async def tried(pool: DecoderPool) -> PreparedPhoto:
        with pytest.raises(PhotoError) as caught:
            await pool.prepare(data, box)
        assert caught.value.reason == reason
        if box is None:
            with pytest.raises(PhotoError) as caught:
                await pool.thumbnail(data, 64)
            assert caught.value.reason == reason
        return await pool.prepare(saved(picture(2)))

    with_pool(encoder, tried, max_pixels=10_000)


def test_a_thumbnail_is_upright_and_tells_nothing(encoder: Encoder) -> None:
    small = with_pool(encoder, lambda pool: pool.thumbnail(turned(6), 64))
    with Image.open(io.BytesIO(small)) as image:
        assert (image.format, image.size) == ("JPEG", (48, 64))
        assert not image.getexif()
        assert "comment" not in image.info
    assert b"camera" not in small
    assert b"private" not in small


def test_a_small_photo_is_not_enlarged(encoder: Encoder) -> None:
    small = with_pool(encoder, lambda pool: pool.thumbnail(saved(picture(1, (30, 20))), 64))
    assert Image.open(io.BytesIO(small)).size == (30, 20)


async def reason_of(work: Awaitable[object]) -> str:
    with pytest.raises(PhotoError) as caught:
        await work
    assert caught.value.reason in REASONS
    return caught.value.reason


def test_a_photo_that_takes_too_long_is_given_up(encoder: Encoder) -> None:
    async def run(pool: DecoderPool) -> None:
        (before,) = pool.process_ids
        os.kill(before, signal.SIGSTOP)
        assert await reason_of(pool.prepare(saved(picture(1)))) == "too_slow"
        assert (await pool.prepare(saved(picture(1)))).width == 64
        assert pool.process_ids != [before]

    lost: list[int] = []
    with_pool(encoder, run, seconds=3.0, on_lost=lambda: lost.append(1))
    assert len(lost) == 1


def test_a_process_that_dies_fails_one_photo(encoder: Encoder) -> None:
    async def run(pool: DecoderPool) -> None:
        os.kill(pool.process_ids[0], signal.SIGSTOP)  # It is never done with the photo.
        failing = asyncio.create_task(reason_of(pool.prepare(saved(picture(9)))))
        waiting = [asyncio.create_task(pool.prepare(saved(picture(n)))) for n in range(3)]
        await asyncio.sleep(0.05)
        os.kill(pool.process_ids[0], signal.SIGKILL)
        assert await failing == "crashed"
        assert [photo.width for photo in await asyncio.gather(*waiting)] == [64, 64, 64]

    with_pool(encoder, run)


def test_a_process_that_died_idle_fails_none(encoder: Encoder) -> None:
    async def run(pool: DecoderPool) -> None:
        os.kill(pool.process_ids[0], signal.SIGKILL)
        while pool.process_ids:
            await asyncio.sleep(0.01)
        assert (await pool.prepare(saved(picture(1)))).width == 64

    with_pool(encoder, run)


@on_linux
def test_memory_is_limited(encoder: Encoder, slow: bytes) -> None:
    async def run(pool: DecoderPool) -> None:
        assert await reason_of(pool.prepare(slow)) == "too_large"
        assert (await pool.prepare(saved(picture(1)))).width == 64

    with_pool(encoder, run, memory_mb=300)


def test_ctrl_c_is_left_to_the_service(encoder: Encoder) -> None:
    async def run(pool: DecoderPool) -> None:
        for ending in (signal.SIGINT, signal.SIGTERM):
            os.kill(pool.process_ids[0], ending)
        assert (await pool.prepare(saved(picture(1)))).width == 64

    lost: list[int] = []
    with_pool(encoder, run, on_lost=lambda: lost.append(1))
    assert not lost


def test_who_leaves_while_waiting_costs_nothing(encoder: Encoder) -> None:
    async def run(pool: DecoderPool) -> None:
        os.kill(pool.process_ids[0], signal.SIGSTOP)
        running = asyncio.create_task(pool.prepare(saved(picture(2))))
        waiting = asyncio.create_task(pool.prepare(saved(picture(3))))
        last = asyncio.create_task(pool.prepare(saved(picture(1))))
        await asyncio.sleep(0.05)
        assert pool.depth == 2
        waiting.cancel()
        running.cancel()
        os.kill(pool.process_ids[0], signal.SIGCONT)
        assert (await last).width == 64
        assert pool.depth == 0

    lost: list[int] = []
    with_pool(encoder, run, on_lost=lambda: lost.append(1))
    assert not lost


def test_no_more_wait_than_allowed(encoder: Encoder, slow: bytes) -> None:
    async def run(pool: DecoderPool) -> None:
        accepted = [asyncio.create_task(pool.prepare(slow)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="2 photos wait"):
            await pool.prepare(slow)
        await asyncio.gather(*accepted)

    with_pool(encoder, run, most_waiting=2)


def test_closing_finishes_what_was_handed_in(encoder: Encoder) -> None:
    async def run() -> None:
        pool = DecoderPool(encoder, n_processes=1)
        photos = [asyncio.create_task(pool.prepare(saved(picture(n)))) for n in range(3)]
        await asyncio.sleep(0)
        await pool.close()
        await pool.close()
        assert [(await photo).width for photo in photos] == [64, 64, 64]
        assert pool.process_ids == []
        with pytest.raises(RuntimeError, match="closed"):
            await pool.prepare(saved(picture(1)))

    asyncio.run(run())


@pytest.mark.parametrize("program", ["/bin/false", "/no/python"])
def test_a_pool_that_cannot_start_says_so(
    program: str, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(ShoplensError, match="cannot be started"):
        with_pool(encoder, lambda pool: pool.prepare(b""))


def test_a_process_that_cannot_be_replaced_stops_no_later_photo(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(pool: DecoderPool) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", "/no/python")
            os.kill(pool.process_ids[0], signal.SIGKILL)
            while pool.process_ids:
                await asyncio.sleep(0.01)
            with pytest.raises(RuntimeError, match="cannot be started"):
                await pool.prepare(saved(picture(1)))
            await asyncio.sleep(0.05)
        assert (await pool.prepare(saved(picture(1)))).width == 64

    with_pool(encoder, run)
