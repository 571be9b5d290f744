from __future__ import annotations

import io
import threading
import time

import pytest
from PIL import Image, PngImagePlugin

from shoplens.errors import ShoplensError
from shoplens.parallel import parallel_map
from shoplens.pixels import budget as room
from shoplens.pixels.budget import PixelBudget, pixel_budget
from shoplens.pixels.decoding import decode, decoding, read_size


class Watched:
    """What is held at once, at most."""

    def __init__(self, pixels: int) -> None:
        self.budget = PixelBudget(pixels)
        self.held: list[int] = []
        self.most: list[int] = []
        self._lock = threading.Lock()

    def take(self, pixels: int) -> None:
        with self.budget.hold(pixels):
            with self._lock:
                self.held.append(pixels)
                if sum(self.held) > sum(self.most):
                    self.most = list(self.held)
            time.sleep(0.002)
            with self._lock:
                self.held.remove(pixels)


def test_threads_together_never_hold_more_than_the_budget() -> None:
    watched = Watched(10)
    list(parallel_map(watched.take, [3, 4, 5, 1, 10, 2] * 8, workers=8))
    assert 5 <= sum(watched.most) <= 10
    assert len(watched.most) > 1 or watched.most == [10]


def test_more_than_the_budget_is_held_alone() -> None:
    watched = Watched(10)
    list(parallel_map(watched.take, [1, 2, 500, 3, 1, 400] * 5, workers=6))
    assert watched.most == [500]


def test_small_photos_do_not_overtake_a_large_one() -> None:
    budget = PixelBudget(10)
    order: list[int] = []
    ready = threading.Event()

    def take(pixels: int) -> None:
        with budget.hold(pixels):
            order.append(pixels)

    with budget.hold(6):
        threads = []
        for pixels in (9, 1, 2):
            threads.append(threading.Thread(target=take, args=(pixels,)))
            threads[-1].start()
            while len(budget._line) < len(threads):
                ready.wait(0.001)
        assert order == []
    for thread in threads:
        thread.join(20)
    assert order[0] == 9


def test_a_thread_that_holds_some_does_not_wait_for_itself() -> None:
    budget = PixelBudget(4)
    with budget.hold(4), budget.hold(4):
        pass
    with budget.hold(4):
        pass


def test_an_error_gives_back_what_was_held() -> None:
    budget = PixelBudget(4)
    for _ in range(3):
        with pytest.raises(KeyError), budget.hold(3):
            raise KeyError
    done = threading.Thread(target=lambda: budget.hold(4).__enter__(), daemon=True)
    done.start()
    done.join(20)
    assert not done.is_alive()


def test_photos_are_decoded_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (100, 100), "red").save(stream, "PNG")
    watched = Watched(25_000)
    monkeypatch.setattr("shoplens.pixels.decoding.pixel_budget", lambda: watched.budget)
    running, most = [0], [0]
    lock = threading.Lock()

    def look(_: int) -> None:
        with decoding(stream.getvalue()) as photo:
            assert photo.size == (100, 100)
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.005)
            with lock:
                running[0] -= 1

    list(parallel_map(look, range(24), workers=6))
    assert most == [2]
    decode(stream.getvalue())


def test_no_pixels_are_decoded_while_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow decodes a PNG when it is asked for EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (100, 50), "red").save(stream, "PNG", exif=exif)
    watched = Watched(5_000)
    monkeypatch.setattr("shoplens.pixels.decoding.pixel_budget", lambda: watched.budget)
    loaded: list[str] = []
    load = PngImagePlugin.PngImageFile.load

    def told(image: PngImagePlugin.PngImageFile) -> object:
        loaded.append(threading.current_thread().name)
        return load(image)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", told)
    waiting = threading.Thread(target=decode, args=(stream.getvalue(),))
    with watched.budget.hold(5_000):
        waiting.start()
        while not watched.budget._line:
            time.sleep(0.001)
        assert not loaded
    waiting.join(20)
    assert loaded


def test_a_size_is_read_without_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (100, 50), "red").save(stream, "PNG")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", None)
    assert read_size(stream.getvalue()) == (100, 50)


def test_threads_that_ask_at_once_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "usable_cores", lambda: time.sleep(0.05) or 1)
    room._chosen_budget.cache_clear()
    found = list(parallel_map(lambda _: pixel_budget(), range(8), workers=8))
    room._chosen_budget.cache_clear()
    assert len(set(map(id, found))) == 1


def test_the_environment_sets_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = room._chosen_budget.__wrapped__
    monkeypatch.setenv(room.VARIABLE, "1000000")
    assert chosen().pixels == 1_000_000
    for wrong in ("", "0", "-1", "1e6", "many"):
        monkeypatch.setenv(room.VARIABLE, wrong)
        with pytest.raises(ShoplensError, match=f"{room.VARIABLE} is '{wrong}'"):
            chosen()
    monkeypatch.delenv(room.VARIABLE)
    assert chosen().pixels >= room.MAX_PIXELS
