"""What killed writers leave behind, with writers that are really killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="no file locks here: age alone decides")

FILE = """
from shoplens.files import replacing
with replacing("vectors.npy") as stream:
    stream.write(b"half")
    stream.flush()
    print("writing", flush=True)
    input()
    stream.write(b" and half")
"""
FOLDER = """
from shoplens.folders import writing_folder
with writing_folder("testset", replace=True) as made:
    (made / "photos").mkdir()
    (made / "photos" / "1.jpg").write_bytes(b"half")
    print("writing", flush=True)
    input()
"""
NEXT = "from shoplens.files import write_text; write_text('other.txt', 'next')"


@contextmanager
def writer(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of writing."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def run(code: str, folder: Path) -> int:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode


def parts(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith((".part", ".old"))]


def make_old(folder: Path) -> None:
    """Let a minute pass."""
    for name in parts(folder):
        os.utime(folder / name, (time.time() - 60,) * 2)


@pytest.mark.parametrize("code", [FILE, FOLDER])
def test_the_next_writer_removes_what_a_killed_one_left(code: str, tmp_path: Path) -> None:
    with writer(code, tmp_path) as process:
        process.kill()
    assert len(parts(tmp_path)) == 1
    make_old(tmp_path)
    assert run(NEXT, tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]


@pytest.mark.parametrize("code", [FILE, FOLDER])
def test_the_part_of_a_writer_that_still_works_stays(code: str, tmp_path: Path) -> None:
    with writer(code, tmp_path) as process:
        make_old(tmp_path)
        assert run(NEXT, tmp_path) == 0
        assert len(parts(tmp_path)) == 1
        process.communicate("\n")
        assert process.returncode == 0
    assert parts(tmp_path) == []
    if code == FILE:
        assert (tmp_path / "vectors.npy").read_bytes() == b"half and half"
    else:
        assert (tmp_path / "testset" / "photos" / "1.jpg").read_bytes() == b"half"


def test_the_part_of_a_writer_that_is_stopped_stays(tmp_path: Path) -> None:
    import signal

    with writer(FILE, tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        make_old(tmp_path)
        assert run(NEXT, tmp_path) == 0
        assert len(parts(tmp_path)) == 1


def test_a_writer_of_the_same_process_keeps_its_part(tmp_path: Path) -> None:
    from shoplens.files import replacing
    from shoplens.parts import remove_abandoned_parts

    with replacing(tmp_path / "a.txt") as stream:
        stream.write(b"a")
        make_old(tmp_path)
        assert remove_abandoned_parts(tmp_path) == 0
    assert (tmp_path / "a.txt").read_bytes() == b"a"


def test_a_part_that_was_just_made_stays(tmp_path: Path) -> None:
    # Its writer may be about to lock it.
    part = tmp_path / ".a.txt.0123abcd.part"
    part.touch()
    os.utime(part, (time.time() + 600,) * 2)  # However long the next writer takes to start.
    assert run(NEXT, tmp_path) == 0
    assert len(parts(tmp_path)) == 1


def test_a_kill_while_an_earlier_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / "testset").mkdir()
    (tmp_path / "testset" / "earlier.jpg").touch()
    killed_at_removal = """
import os, shutil
shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), 9)
from shoplens.folders import writing_folder
with writing_folder("testset", replace=True) as made:
    (made / "new.jpg").touch()
"""
    assert run(killed_at_removal, tmp_path) == -9
    assert (tmp_path / "testset" / "new.jpg").exists()
    assert len(parts(tmp_path)) == 1
    make_old(tmp_path)
    assert run(NEXT, tmp_path) == 0
    assert parts(tmp_path) == []


@pytest.mark.parametrize("name", ["notes.part", ".notes.part", "film.0123abcd.part", ".a.xyz.part"])
def test_files_of_other_programs_stay(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    make_old(tmp_path)
    assert run(NEXT, tmp_path) == 0
    assert (tmp_path / name).exists()


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    link = tmp_path / ".photos.0123abcd.part"
    link.symlink_to("photos")
    os.utime(link, (0, 0), follow_symlinks=False)
    assert run(NEXT, tmp_path) == 0
    assert (tmp_path / "photos" / "1.jpg").exists()


def test_a_folder_that_cannot_be_listed_is_written_to(tmp_path: Path) -> None:
    from shoplens.parts import remove_abandoned_parts

    assert remove_abandoned_parts(tmp_path / "none") == 0
