from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shoplens.errors import MissingError, ShoplensError
from shoplens.files import replacing, require_folder, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_holds_what_was_written(tmp_path: Path) -> None:
    with replacing(tmp_path / "ranks.npy") as stream:
        stream.write(b"one")
        stream.write(b"two")
    assert (tmp_path / "ranks.npy").read_bytes() == b"onetwo"
    assert names(tmp_path) == ["ranks.npy"]


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_bytes(b"old")
    with target.open("rb") as reader:
        with replacing(str(target)) as stream:
            stream.write(b"new")
            stream.flush()
            assert target.read_bytes() == b"old"
        assert target.read_bytes() == b"new"
        assert reader.read() == b"old", "one who reads meanwhile gets the whole old file"
    assert names(tmp_path) == ["report.html"]


def write_half(target: Path, error: BaseException) -> None:
    with replacing(target) as stream:
        stream.write(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit()])
def test_an_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    target = tmp_path / "report.html"
    target.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_half(target, error)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["report.html"]


def test_another_file_that_cannot_be_read_is_not_said_to_be_unwritable(tmp_path: Path) -> None:
    def copy_what_is_not_there() -> None:
        with replacing(tmp_path / "report.html") as stream:
            stream.write((tmp_path / "photo.jpg").read_bytes())

    with pytest.raises(FileNotFoundError, match=r"photo\.jpg"):
        copy_what_is_not_there()
    assert names(tmp_path) == []


def test_an_exception_before_there_is_a_file_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"):
        write_half(tmp_path / "new.npy", ValueError("stop"))
    assert names(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    target = tmp_path / "none" / "ranks.npy"
    with pytest.raises(MissingError, match=r"the folder .*none is not there"):
        require_folder(target)
    with pytest.raises(MissingError, match=r"the folder .*none is not there"), replacing(target):
        pytest.fail("the block must not begin")
    assert names(tmp_path) == []


def test_a_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for attempt in (require_folder, lambda path: write_text(path, "x")):
        with pytest.raises(ShoplensError, match="it is a folder") as caught:
            attempt(tmp_path / "out")
        assert caught.value.exit_code == 1
    assert names(tmp_path) == ["out"]


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MissingError, match="is not there"):
        write_text(tmp_path / "file" / "ranks.npy", "x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_an_error_that_names_the_file() -> None:
    with pytest.raises(ShoplensError, match="cannot write /dev/full: No space left on device"):
        write_text("/dev/full", "x" * 100_000)
    assert Path("/dev/full").is_char_device()


def test_a_disk_that_fills_up_leaves_the_old_file(
    tmp_path: Path,
) -> None:
    resource = pytest.importorskip("resource", reason="file size limits need Unix")
    signal = pytest.importorskip("signal")
    target = tmp_path / "ranks.npy"
    target.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(ShoplensError, match=r"cannot write .*ranks\.npy: File too large"):
            write_text(target, "x" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["ranks.npy"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    write_text(pipe, "hello")
    reader.join(timeout=10)
    assert received == [b"hello"]
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe"]


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="needs /dev/null")
def test_the_null_device_stays_a_device() -> None:
    write_text("/dev/null", "gone")
    assert Path("/dev/null").is_char_device()


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    with replacing(target) as first:
        first.write(b"first")
        with replacing(target) as second:
            second.write(b"second")
        assert target.read_bytes() == b"second"
    assert target.read_bytes() == b"first"
    assert names(tmp_path) == ["report.html"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere"
)
def test_a_folder_without_permission_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ShoplensError, match="Permission denied"):
            write_text(tmp_path / "x", "x")
    finally:
        tmp_path.chmod(0o700)


def test_text_is_utf_8_with_its_line_ends_kept(tmp_path: Path) -> None:
    write_text(tmp_path / "t", "größe\r\nシャツ\n")
    assert (tmp_path / "t").read_bytes() == "größe\r\nシャツ\n".encode()


def test_file_names_that_are_no_utf_8_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / "t", os.fsdecode(b"bad-\xff.jpg"))
    assert (tmp_path / "t").read_bytes() == b"bad-\\udcff.jpg"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_file_is_never_readable_for_others_when_that_is_asked_for(tmp_path: Path) -> None:
    with replacing(tmp_path / "key", mode=0o600) as stream:
        stream.write(b"x")
        (part,) = tmp_path.iterdir()
        assert part.stat().st_mode & 0o077 == 0
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout")
def test_standard_output_by_its_path_may_be_a_pipe() -> None:
    code = "from shoplens.files import write_text; write_text('/dev/stdout', 'written')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"written"
