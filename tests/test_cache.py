from __future__ import annotations

import hashlib
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import picture

from shoplens import Box, Photo, PhotoSet, embed, load_encoder
from shoplens.cache import (
    Computed,
    VectorCache,
    cache_folder,
    clear_cache,
    content_key,
    measure_cache,
)
from shoplens.models import RecipeEncoder
from shoplens.records import Domain

VALUE = Computed(np.array([0.6, 0.8], dtype=np.float32), clipped=True)
FAILED = Computed(None, reason="corrupt", detail="bad \udcff name")


class Counting(RecipeEncoder):
    """An encoder that counts how many photos it was shown."""

    def __init__(self, inner: RecipeEncoder) -> None:
        self.inner = inner
        self.n_photos = 0
        self.recipe = inner.recipe
        self.fingerprint = inner.fingerprint
        self._lock = threading.Lock()

    def encode(self, pixels: np.ndarray, domains: list[Domain]) -> np.ndarray:
        with self._lock:
            self.n_photos += len(pixels)
        return self.inner.encode(pixels, domains)


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Counting:
    return Counting(load_encoder(make_model()))


def save(folder: Path, numbers: range) -> PhotoSet:
    photos = []
    for i in numbers:
        path = folder / f"{i}.png"
        if not path.exists():
            picture(i).save(path)
        photos.append(Photo(i, path.name, path, "seller"))
    return PhotoSet(photos)


def test_what_was_put_is_there_for_the_next_to_open_it() -> None:
    with VectorCache("f") as cache:
        cache.put(b"a", VALUE)
        cache.put(b"b", FAILED)
        assert cache.get(b"a") is VALUE
    with VectorCache("f") as cache:
        found, failed = cache.get(b"a"), cache.get(b"b")
        assert found is not None
        assert found.vector is not None
        assert failed is not None
        np.testing.assert_array_equal(found.vector, VALUE.vector)
        assert (found.clipped, found.reason) == (True, "")
        assert (failed.vector, failed.reason) == (None, "corrupt")
        assert cache.get(b"c") is None
        assert cache.trouble is None
    with VectorCache("another model") as cache:
        assert cache.get(b"a") is None


def test_bytes_region_and_domain_make_the_key() -> None:
    def key(sha256: str = "s", domain: Domain = "seller", box: Box | None = None) -> bytes:
        return content_key(sha256, Photo(1, "n", Path("p"), domain, box))

    keys = [key(), key("t"), key(domain="user"), key(box=Box(0, 0, 1, 1)), key(box=Box(0, 0, 1, 2))]
    assert len(set(keys)) == len(keys)
    assert key() == content_key("s", Photo(2, "other", Path("q"), "seller"))


def test_threads_that_ask_together_compute_once() -> None:
    begun, go = threading.Event(), threading.Event()
    n_computed = 0

    def slow() -> Computed:
        nonlocal n_computed
        n_computed += 1
        begun.set()
        go.wait(20)
        return VALUE

    with VectorCache("f") as cache:
        results: list[tuple[Computed, bool]] = []
        threads = [
            threading.Thread(target=lambda: results.append(cache.remember(b"k", slow)))
            for _ in range(4)
        ]
        threads[0].start()
        begun.wait(20)
        for thread in threads[1:]:
            thread.start()
        go.set()
        for thread in threads:
            thread.join(20)
    assert n_computed == 1
    assert sorted(found for _, found in results) == [False, True, True, True]
    assert all(value is VALUE for value, _ in results)


def test_an_error_of_the_work_comes_out_and_nothing_is_kept() -> None:
    def broken() -> Computed:
        raise RuntimeError("no")

    with VectorCache("f") as cache:
        with pytest.raises(RuntimeError, match="no"):
            cache.remember(b"k", broken)
        assert cache.remember(b"k", lambda: VALUE) == (VALUE, False)


def test_a_second_run_infers_nothing_and_gives_the_same(tmp_path: Path, toy: Counting) -> None:
    photos = save(tmp_path, range(7))
    photos[3].path.write_bytes(photos[3].path.read_bytes()[:60])
    with VectorCache(toy.fingerprint) as cache:
        first = embed(photos, toy, cache=cache)
    assert (toy.n_photos, first.n_cached) == (6, 0)
    with VectorCache(toy.fingerprint) as cache:
        second = embed(photos, toy, cache=cache)
    assert (toy.n_photos, second.n_cached) == (6, 7)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert first.failures == second.failures
    assert first.sha256 == second.sha256
    plain = embed(photos, toy)
    np.testing.assert_array_equal(plain.vectors, first.vectors)


def test_added_photos_alone_are_inferred(tmp_path: Path, toy: Counting) -> None:
    with VectorCache(toy.fingerprint) as cache:
        embed(save(tmp_path, range(5)), toy, cache=cache)
        embed(save(tmp_path, range(15)), toy, cache=cache)
    assert toy.n_photos == 15


def test_a_photo_under_two_names_is_inferred_once(tmp_path: Path, toy: Counting) -> None:
    picture(1).save(tmp_path / "1.png")
    data = (tmp_path / "1.png").read_bytes()
    photos = []
    for i in range(40):
        path = tmp_path / f"copy{i}.png"
        path.write_bytes(data)
        photos.append(Photo(i, path.name, path, "seller"))
    with VectorCache(toy.fingerprint) as cache:
        found = embed(PhotoSet(photos), toy, cache=cache, workers=4)
    assert (toy.n_photos, found.n_cached) == (1, 39)
    assert len(np.unique(found.vectors, axis=0)) == 1


def test_a_changed_photo_is_inferred_again(tmp_path: Path, toy: Counting) -> None:
    photos = save(tmp_path, range(2))
    with VectorCache(toy.fingerprint) as cache:
        before = embed(photos, toy, cache=cache)
        picture(9).save(photos[0].path)
        after = embed(photos, toy, cache=cache)
    assert toy.n_photos == 3
    assert (before.vectors[0] != after.vectors[0]).any()
    np.testing.assert_array_equal(before.vectors[1], after.vectors[1])


def test_failed_photos_are_tried_again_on_request(tmp_path: Path, toy: Counting) -> None:
    (photo,) = save(tmp_path, range(1))
    key = content_key(hashlib.sha256(photo.path.read_bytes()).hexdigest(), photo)
    with VectorCache(toy.fingerprint) as cache:
        cache.put(key, FAILED)  # As an older decoder may have found.
    for retry, reasons in [(False, {"corrupt": 1}), (True, {}), (False, {})]:
        with VectorCache(toy.fingerprint) as cache:
            found = embed(PhotoSet([photo]), toy, cache=cache, retry_failed=retry)
        assert found.failures_by_reason() == reasons


@pytest.mark.parametrize("reason", ["not_an_image", "not_installed"])
def test_failures_that_an_installation_may_mend_are_not_kept(reason: str) -> None:
    failure = Computed(None, reason=reason, detail="as an earlier version may have said")
    with VectorCache("f") as cache:
        cache.put(b"a", failure)
        assert cache.get(b"a") is None
        cache.put(b"b", FAILED)
        file = cache.file
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE photos SET reason = ?", (reason,))
    with VectorCache("f") as cache:
        assert cache.get(b"b") is None


def test_a_file_that_came_back_is_found_without_request(tmp_path: Path, toy: Counting) -> None:
    (photo,) = save(tmp_path, range(1))
    data = photo.path.read_bytes()
    photo.path.unlink()
    with VectorCache(toy.fingerprint) as cache:
        assert embed(PhotoSet([photo]), toy, cache=cache).failures_by_reason() == {"missing": 1}
        photo.path.write_bytes(data)
        assert not embed(PhotoSet([photo]), toy, cache=cache).failures


def test_a_damaged_cache_is_begun_anew(tmp_path: Path) -> None:
    with VectorCache("f", tmp_path) as cache:
        cache.put(b"a", VALUE)
    cache.file.write_bytes(b"this is no database, whatever its name says" * 50)
    with VectorCache("f", tmp_path) as cache:
        assert cache.get(b"a") is None
        cache.put(b"a", VALUE)
        assert cache.trouble is None
    with VectorCache("f", tmp_path) as cache:
        assert cache.get(b"a") is not None


def test_a_cache_damaged_inside_stops_no_work(tmp_path: Path, toy: Counting) -> None:
    photos = save(tmp_path, range(3))
    with VectorCache(toy.fingerprint, tmp_path / "c") as cache:
        embed(photos, toy, cache=cache)
    whole = cache.file.read_bytes()
    cache.file.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    with VectorCache(toy.fingerprint, tmp_path / "c") as cache:
        found = embed(photos, toy, cache=cache)
    assert not found.failures
    np.testing.assert_array_equal(found.vectors, embed(photos, toy).vectors)


def test_a_folder_that_cannot_be_made_stops_no_work(tmp_path: Path, toy: Counting) -> None:
    (tmp_path / "file").write_text("in the way")
    photos = save(tmp_path, range(3))
    with VectorCache(toy.fingerprint, tmp_path / "file") as cache:
        found = embed(photos, toy, cache=cache)
    assert not found.failures
    assert cache.trouble is not None
    assert "file" in cache.trouble


def test_a_full_disk_stops_no_work(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
import numpy as np
from shoplens.cache import Computed, VectorCache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with VectorCache("f") as cache:
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    for i in range(2000):
        value, _ = cache.remember(b"%d" % i, lambda: Computed(np.full(512, i, np.float32)))
        assert value.vector[0] == i
print(cache.trouble)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ".sqlite" in run.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_another_process_may_write_at_the_same_time() -> None:
    with VectorCache("f") as one, VectorCache("f") as two:
        one.put(b"a", VALUE)
        two.put(b"b", VALUE)
        one.close()
        assert two.get(b"a") is not None
    with VectorCache("f") as cache:
        assert cache.get(b"a") is not None
        assert cache.get(b"b") is not None


def test_clearing_removes_ours_and_nothing_else() -> None:
    beside = Path(os.environ["SHOPLENS_CACHE"], "mine.txt")
    beside.write_text("keep")
    with VectorCache("f") as cache:
        cache.put(b"a", VALUE)
    assert measure_cache().n_files == 1
    assert clear_cache().megabytes > 0
    assert measure_cache().n_files == 0
    assert not cache_folder().exists()
    assert beside.read_text() == "keep"


def test_a_cache_folder_without_the_variable_is_the_platforms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SHOPLENS_CACHE")
    assert cache_folder().name.lower() in ("shoplens", "cache")
    assert cache_folder() != Path.home()


def test_the_file_is_plain_sqlite() -> None:
    with VectorCache("f") as cache:
        cache.put(b"a", VALUE)
    database = sqlite3.connect(cache.file)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_row_takes_little_more_than_its_vector() -> None:
    with VectorCache("f") as cache:
        for i in range(1000):
            cache.put(b"%032d" % i, Computed(np.full(512, i, np.float32)))
    assert 2048 < cache.file.stat().st_size / 1000 < 2500
