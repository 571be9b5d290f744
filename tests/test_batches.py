from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import picture
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens import Photo, PhotoSet, VectorCache, embed, embed_each, load_encoder
from shoplens.embedding import Embedded
from shoplens.models import BASE_MODEL, RecipeEncoder
from shoplens.models.unit_length import unit
from shoplens.records import Domain


class Batched(RecipeEncoder):
    """An encoder that wants batches, and what it was asked."""

    def __init__(self, inner: RecipeEncoder, batch_size: int) -> None:
        self.batch_size = batch_size
        self.recipe = inner.recipe
        self.fingerprint = inner.fingerprint
        self.calls: list[int] = []
        self.threads: set[int] = set()
        self._inner = inner

    def encode(
        self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]
    ) -> npt.NDArray[np.float32]:
        self.calls.append(len(pixels))
        self.threads.add(threading.get_ident())
        # Black photos have no direction here, as they may with a real model.
        return unit(self._inner.encode(pixels, domains) * (pixels.max() > 0))


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> RecipeEncoder:
    return load_encoder(make_model())


@pytest.fixture
def photos(tmp_path: Path) -> PhotoSet:
    """Return 23 photos, of which some are damaged, missing or copies."""
    made = []
    for i in range(23):
        path = tmp_path / f"{i}.png"
        picture(3 if i % 7 == 0 else i).save(path)
        made.append(Photo(i, path.name, path, "user" if i % 3 else "seller"))
    made[5].path.unlink()
    made[11].path.write_bytes(b"no picture")
    return PhotoSet(made)


@pytest.mark.parametrize("size", [2, 4, 64])
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_give_what_single_photos_give(
    photos: PhotoSet, toy: RecipeEncoder, size: int, workers: int
) -> None:
    single = embed(photos, toy, cache=False)
    batched = Batched(toy, size)
    found = embed(photos, batched, cache=False, workers=workers)
    np.testing.assert_allclose(found.vectors, single.vectors, atol=1e-6)
    assert found.failures == single.failures
    assert found.sha256 == single.sha256
    assert max(batched.calls) <= size
    assert len(batched.threads) == 1
    assert set(found.seconds) == set(single.seconds)


def test_full_batches_are_made_though_photos_fail(photos: PhotoSet, toy: RecipeEncoder) -> None:
    batched = Batched(toy, 4)
    embed(photos, batched, cache=False)
    # 21 can be decoded; a batch of 4 may hold copies, which are computed once.
    assert len(batched.calls) == 6


def test_the_cache_serves_batches_and_learns_from_them(
    photos: PhotoSet, toy: RecipeEncoder
) -> None:
    batched = Batched(toy, 4)
    with VectorCache(toy.fingerprint) as cache:
        first = embed(photos, batched, cache=cache)
    n_different = 18  # Of 21, photos 0, 3, 7, 14 and 21 show one picture, 0 and 3 as other domains.
    assert sum(batched.calls) <= n_different + 2
    batched.calls.clear()
    with VectorCache(toy.fingerprint) as cache:
        second = embed(photos, batched, cache=cache)
        np.testing.assert_array_equal(second.vectors, first.vectors)
        assert second.failures == first.failures
        assert second.n_cached == 21  # Not the missing one, nor the one that is no picture.
        single = embed(photos, toy, cache=cache)
    assert not batched.calls
    np.testing.assert_array_equal(single.vectors, first.vectors)


def test_one_photo_without_direction_does_not_spoil_its_batch(
    tmp_path: Path, toy: RecipeEncoder
) -> None:
    made = []
    for i in range(6):
        path = tmp_path / f"{i}.png"
        (picture(i) if i != 2 else picture(i).point(lambda _: 0)).save(path)
        made.append(Photo(i, path.name, path, "user"))

    class Strict(Batched):
        def encode(
            self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]
        ) -> npt.NDArray[np.float32]:
            self.calls.append(len(pixels))
            lit = pixels.reshape(len(pixels), -1).max(axis=1) > 0
            return unit(self._inner.encode(pixels, domains) * lit[:, None])

    found = embed(PhotoSet(made), Strict(toy, 4), cache=False)
    assert [(f.row, f.reason) for f in found.failures] == [(2, "no_direction")]
    assert np.linalg.norm(found.vectors, axis=1).round(3).tolist() == [1, 1, 0, 1, 1, 1]


def test_memory_holds_a_few_batches(tmp_path: Path, toy: RecipeEncoder) -> None:
    picture(1).save(tmp_path / "1.png")
    taken = 0

    def endless() -> Iterator[Photo]:
        nonlocal taken
        while True:
            taken += 1
            yield Photo(taken, "1.png", tmp_path / "1.png", "user")

    results = embed_each(endless(), Batched(toy, 4), workers=2)
    for _ in range(3):
        next(results)
    results.close()
    assert taken < 40


@settings(max_examples=15)
@given(n=st.integers(0, 12), size=st.integers(2, 5))
def test_every_photo_gets_one_result_in_order(n: int, size: int) -> None:
    def absent(i: int) -> Photo:
        return Photo(i, f"{i}.png", Path("/nowhere") / f"{i}.png", "user")

    shipped = load_encoder(BASE_MODEL)
    assert isinstance(shipped, RecipeEncoder)

    class Never(RecipeEncoder):
        batch_size = size
        recipe = shipped.recipe
        fingerprint = "never"

        def encode(self, pixels: object, domains: object) -> npt.NDArray[np.float32]:
            raise AssertionError("nothing was decoded")

    results: list[Embedded] = list(embed_each(map(absent, range(n)), Never(), workers=2))
    assert [r.computed.reason for r in results] == ["missing"] * n
    assert all(f"{i}.png" in r.computed.detail for i, r in enumerate(results))
