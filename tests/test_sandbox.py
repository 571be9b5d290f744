from __future__ import annotations

import ast
import csv
import io
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shoplens.challenge import inside
from shoplens.challenge.sandbox import groups as groups_module
from shoplens.challenge.sandbox.groups import Groups, make_groups, own_groups
from shoplens.challenge.sandbox.launcher import Launch
from shoplens.challenge.sandbox.limits import Limits
from shoplens.challenge.sandbox.processes import descendants, memory_of, threads_of
from shoplens.challenge.sandbox.reservation import reserved_cores
from shoplens.challenge.sandbox.staging import (
    copy_submission,
    stage_data,
    stage_submission,
    work_folder,
)
from shoplens.challenge.sandbox.supervision import Program, Supervisor
from shoplens.challenge.sandbox.view import View
from shoplens.datasets.dataset import read_dataset
from shoplens.errors import ShoplensError

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


LIMITS_THAT_ARE_NONE = (
    {"seconds": 0}, {"memory_mb": -1}, {"cpus": 0}, {"seconds": float("inf")},
    {"seconds": float("nan")}, {"processes": 2**70},
)  # fmt: skip


class TestLimits:
    @pytest.mark.parametrize("limit", LIMITS_THAT_ARE_NONE)
    def test_a_limit_is_positive(self, limit: dict[str, int]) -> None:
        with pytest.raises(ShoplensError, match=f"{next(iter(limit))} is"):
            Limits(**limit)  # type: ignore[arg-type]

    def test_the_defaults_are_the_budget(self) -> None:
        assert (Limits().seconds, Limits().cpus, Limits().memory_mb) == (600, 4, 16_000)


class TestStaging:
    def test_tables_have_no_products(
        self, make_dataset: Callable[..., Path], tmp_path: Path
    ) -> None:
        root = make_dataset(gallery=[(7, "a"), (3, "b")], queries=[(5, "a", "1.5,2,30,40.25")])
        (root / "ground_truth.csv").write_text("a secret")
        stage_data(read_dataset(root), tmp_path / "shown")
        gallery, queries = (rows(tmp_path / "shown" / f"{s}.csv") for s in ("gallery", "queries"))
        assert gallery == [
            {"seller_img_id": "7", "img_path": "gallery/7.png"},
            {"seller_img_id": "3", "img_path": "gallery/3.png"},
        ]
        assert queries == [
            {"user_img_id": "5", "img_path": "queries/5.png", "bbox_x": "1.5", "bbox_y": "2",
             "bbox_w": "30", "bbox_h": "40.25"}
        ]  # fmt: skip
        names = {
            p.relative_to(tmp_path / "shown").as_posix() for p in (tmp_path / "shown").rglob("*.*")
        }
        assert names == {
            "gallery.csv",
            "queries.csv",
            "gallery/7.png",
            "gallery/3.png",
            "queries/5.png",
        }

    def test_a_path_does_not_tell_the_product(
        self, tmp_path: Path, make_dataset: Callable[..., Path]
    ) -> None:
        root = make_dataset()
        (root / "shoe-4711").mkdir()
        (root / "gallery" / "0.png").rename(root / "shoe-4711" / "0.png")
        table = (root / "gallery.csv").read_text().replace("gallery/0.png", "shoe-4711/0.png")
        (root / "gallery.csv").write_text(table)
        stage_data(read_dataset(root), tmp_path / "shown")
        assert "4711" not in (tmp_path / "shown" / "gallery.csv").read_text()
        shown = (tmp_path / "shown" / "gallery" / "0.png").read_bytes()
        assert shown == (root / "shoe-4711" / "0.png").read_bytes()

    def test_what_is_shown_reads_as_the_same_test_set(self, sample: Path, tmp_path: Path) -> None:
        full = read_dataset(sample)
        stage_data(full, tmp_path / "shown")
        shown = read_dataset(tmp_path / "shown")
        assert not shown.has_products
        assert shown.gallery.ids.tolist() == full.gallery.ids.tolist()
        assert [p.box for p in shown.queries] == [p.box for p in full.queries]

    def test_photos_are_copies_of_one_time(
        self, make_dataset: Callable[..., Path], tmp_path: Path
    ) -> None:
        root = make_dataset()
        original = root / "gallery" / "0.png"
        original.chmod(0o600)
        os.utime(original, (5, 5))
        stage_data(read_dataset(root), tmp_path / "shown")
        shown = sorted((tmp_path / "shown").glob("*/*.png"))
        assert len(shown) > 2
        assert {(p.stat().st_nlink, p.stat().st_mtime) for p in shown} == {(1, 10**9)}
        assert {stat.S_IMODE(p.stat().st_mode) for p in shown} == {0o644}
        assert stat.S_IMODE(original.stat().st_mode) == 0o600

    def test_a_photo_that_others_may_not_read_is_copied(
        self, make_dataset: Callable[..., Path], tmp_path: Path
    ) -> None:
        root = make_dataset()
        (root / "gallery" / "0.png").chmod(0o600)
        stage_data(read_dataset(root), tmp_path / "shown")
        shown = (tmp_path / "shown" / "gallery" / "0.png").stat()
        assert stat.S_IMODE(shown.st_mode) == 0o644
        assert stat.S_IMODE((root / "gallery" / "0.png").stat().st_mode) == 0o600

    def test_a_missing_photo_keeps_its_row(
        self, make_dataset: Callable[..., Path], tmp_path: Path
    ) -> None:
        root = make_dataset()
        (root / "gallery" / "1.png").unlink()
        stage_data(read_dataset(root), tmp_path / "shown")
        assert len(rows(tmp_path / "shown" / "gallery.csv")) == 3
        assert not (tmp_path / "shown" / "gallery" / "1.png").exists()

    def test_a_submission_is_copied_where_others_could_not_read_it(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        (source / "weights").mkdir(parents=True)
        (source / "weights" / "w.bin").write_bytes(b"123")
        for path in (source, source / "weights", source / "weights" / "w.bin"):
            path.chmod(0o755)
        assert stage_submission(source, tmp_path / "copy") == source
        (source / "weights" / "w.bin").chmod(0o600)
        copy = stage_submission(source, tmp_path / "copy")
        assert copy == tmp_path / "copy"
        assert (copy / "weights" / "w.bin").stat().st_mode & 0o044 == 0o044

    def test_a_copy_holds_no_pipes_and_follows_no_links(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        (tmp_path / "secret").write_text("x")
        (source / "link").symlink_to(tmp_path / "secret")
        os.mkfifo(source / "pipe")
        copy_submission(source, tmp_path / "copy")
        assert [path.name for path in (tmp_path / "copy").iterdir()] == ["link"]
        assert (tmp_path / "copy" / "link").is_symlink()

    def test_the_work_folder_goes_whatever_is_in_it(self) -> None:
        with work_folder() as work:
            (work / "a" / "b").mkdir(parents=True)
            (work / "a" / "b" / "c").write_text("x")
            (work / "a" / "b").chmod(0)
        assert not work.exists()

    def test_what_a_killed_run_left_goes_too(self) -> None:
        with work_folder() as work:
            # No process can have that number.
            left = work.with_name(work.name.replace(str(os.getpid()), "4194305", 1))
            left.mkdir()
            with work_folder():
                assert not left.exists()
                assert work.exists()

    def test_a_link_laid_in_its_way_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs").chmod(0o755)
        with work_folder() as work:
            link = work.with_name(work.name.replace(str(os.getpid()), "4194305", 1))
            link.symlink_to(tmp_path)
            try:
                with work_folder():
                    assert stat.S_IMODE((tmp_path / "theirs").stat().st_mode) == 0o755
            finally:
                link.unlink()


@on_linux
class TestCores:
    def test_two_runs_have_cores_of_their_own_as_long_as_there_are_any(self) -> None:
        usable = os.sched_getaffinity(0)
        with reserved_cores(1) as first, reserved_cores(1) as second:
            assert len(first) == len(second) == 1
            assert {*first, *second} <= usable
            assert (first != second) == (len(usable) > 1)
            with reserved_cores(None) as whole:
                assert whole == sorted(usable)
        with reserved_cores(10**6) as most:
            assert most == sorted(usable)

    def test_a_lock_file_that_is_a_link_is_not_followed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        core = min(os.sched_getaffinity(0))
        (tmp_path / f"shoplens-core-{os.getuid()}-{core}").symlink_to(tmp_path / "made")
        with reserved_cores(None) as cores:
            assert core in cores
        assert not (tmp_path / "made").exists()


@on_linux
def test_what_a_program_tells_is_bounded(tmp_path: Path) -> None:
    program = Program([], {}, "/")
    run = Supervisor(program, None, tmp_path / "answer", Limits(), Groups(), [0], lambda _: None)
    reading, writing = os.pipe()
    try:
        for _ in range(300):
            os.write(writing, b'{"a":"' + b"x" * 1000 + b'"}\n')
            assert run._read("status", reading, io.BytesIO())
    finally:
        os.close(reading)
        os.close(writing)
    assert 30 < len(run.outcome.messages) < 70


class TestGroups:
    def test_own_groups_of_version_1(self, tmp_path: Path) -> None:
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / "cgroup").write_text("4:memory:/jobs/7\n3:cpu,cpuacct:/\n1:name=systemd:/\n")
        (proc / "mounts").write_text(
            "cgroup /sys/m cgroup rw,memory 0 0\ncgroup /sys/c cgroup rw,cpu,cpuacct 0 0\n"
        )
        assert own_groups(proc) == {
            "memory": Path("/sys/m/jobs/7"), "cpu": Path("/sys/c"), "cpuacct": Path("/sys/c"),
        }  # fmt: skip

    def test_own_groups_of_version_2(self, tmp_path: Path) -> None:
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / "cgroup").write_text("0::/user.slice/me.scope\n")
        (proc / "mounts").write_text("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n")
        assert set(own_groups(proc).values()) == {Path("/sys/fs/cgroup/user.slice/me.scope")}

    def test_none_where_proc_is_not(self, tmp_path: Path) -> None:
        assert own_groups(tmp_path) == {}

    def test_version_2_is_bounded_and_read(self, tmp_path: Path) -> None:
        names = (
            "cgroup.controllers", "memory.max", "memory.swap.max", "pids.max", "cpu.max",
            "cpu.stat", "memory.oom.group",
        )  # fmt: skip
        made: list[Path] = []

        class Folder(type(tmp_path)):  # type: ignore[misc]
            """A folder in which a made directory is filled as the kernel fills it."""

            def mkdir(self, *args: object, **kwargs: object) -> None:
                Path(self).mkdir(parents=True, exist_ok=True)
                made.append(Path(self))
                for name in names:
                    Path(self, name).touch()

        own = dict.fromkeys(("memory", "pids", "cpuset", "cpu", "cpuacct"), Folder(tmp_path))
        groups = make_groups(Limits(memory_mb=100, processes=9), [0, 1], own)  # type: ignore[arg-type]
        folder = groups.folders["memory"]
        assert set(groups.folders) == {"memory", "pids", "cpu", "cpuacct"}
        assert groups.bounded == {"memory", "processes", "cpus"}
        assert len(groups.doors) == 1
        settings = {n: (folder / n).read_text() for n in names}
        assert settings["memory.max"] == "100000000"
        assert (settings["memory.swap.max"], settings["pids.max"]) == ("0", "9")
        assert settings["cpu.max"] == "200000 100000"
        (folder / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
        (folder / "memory.stat").write_text("anon 300\nfile 10000\nshmem 50\n")
        (folder / "memory.peak").write_text("9000\n")
        groups.look()
        assert groups.cpu_seconds() == 2.5
        assert groups.peak_memory(100) == 350
        assert groups.peak_memory(99_999) == 9000
        assert groups.exceeded() is None
        (folder / "pids.events").write_text("max 2\n")
        assert groups.exceeded() == "process_limit"
        (folder / "memory.events").write_text("low 0\noom_kill 1\n")
        assert groups.exceeded() == "memory_limit"

    def test_without_any_nothing_is_claimed(self) -> None:
        with make_groups(Limits(), [0], {}) as groups:
            assert (groups.bounded, groups.doors) == (set(), [])
            assert groups.exceeded() is groups.cpu_seconds() is groups.peak_memory(5) is None

    @on_linux
    def test_they_are_removed_and_so_are_old_ones(self) -> None:
        with make_groups(Limits(), [0]) as groups:
            if not groups.folders:
                pytest.skip("no control groups can be made here")
            folders = set(groups.folders.values())
            assert all(folder.is_dir() for folder in folders)
            parent = next(iter(folders)).parent
            old = parent / "shoplens-4194305-old"
            old.mkdir()
            make_groups(Limits(), [0]).remove()
            assert not old.exists()
        assert not any(folder.exists() for folder in folders)

    def test_leaving_kills(self, tmp_path: Path) -> None:
        assert Groups({"memory": tmp_path / "gone"}).remove() is None
        assert groups_module.is_alive(os.getpid())
        assert not groups_module.is_alive(4194305)


@on_linux
class TestProcesses:
    def test_descendants_and_what_they_use(self) -> None:
        ready, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.fork()
            os.write(go, b"x")
            os.read(os.pipe()[0], 1)
            os._exit(0)
        try:
            os.read(ready, 1)
            os.read(ready, 1)
            found = descendants(os.getpid())
            assert child in found
            assert len(descendants(child)) == 1
            assert threads_of([child]) == 1
            assert memory_of([child]) > 10**6
        finally:
            for process in (*descendants(child), child):
                os.kill(process, 9)
            os.waitpid(child, 0)
            os.close(ready)
            os.close(go)


def test_a_launch_survives_its_json() -> None:
    view = View("/r", "/s", "/d", "/e.py", ["/usr"], ["/secret"], [], 5, 6)
    launch = Launch(view, ["/bin/true"], {"A": "b"}, "/", [], [0], 3, None, 1, 5, 6, 7)
    assert Launch.from_json(launch.to_json()) == launch


def test_the_program_inside_stands_alone() -> None:
    tree = ast.parse(Path(inside.__file__).read_text(encoding="utf-8"))
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        )
        if name
    }
    assert names - set(sys.stdlib_module_names) == {"numpy"}
