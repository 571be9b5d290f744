from __future__ import annotations

import os
from pathlib import Path

import pytest

from shoplens import cores
from shoplens.cores import cgroup_limit, usable_cores


def group(root: Path, path: str, **files: str) -> None:
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def member_of(root: Path, lines: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)


def test_version_2_takes_the_tightest_of_the_groups_above(tmp_path: Path) -> None:
    member_of(tmp_path, "0::/pod/box\n")
    group(tmp_path, "pod", cpu__max="150000 100000\n")
    group(tmp_path, "pod/box", cpu__max="max 100000\n")
    assert cgroup_limit(tmp_path) == 1.5


def test_version_1_reads_quota_and_period(tmp_path: Path) -> None:
    member_of(tmp_path, "3:memory:/x\n2:cpu,cpuacct:/box\n")
    group(tmp_path, "cpu,cpuacct/box", cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n")
    assert cgroup_limit(tmp_path) == 0.5


def test_a_containers_own_view_counts_where_the_hosts_path_is_not_there(tmp_path: Path) -> None:
    member_of(tmp_path, "0::/kubepods/burstable/pod1\n")
    group(tmp_path, "", cpu__max="200000 100000\n")
    assert cgroup_limit(tmp_path) == 2


@pytest.mark.parametrize("quota", ["max 100000", "", "-1 100000"])
def test_no_limit_is_none(tmp_path: Path, quota: str) -> None:
    member_of(tmp_path, "0::/\n")
    group(tmp_path, "", cpu__max=quota)
    assert cgroup_limit(tmp_path) is None


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_limit(tmp_path) is None


@pytest.mark.parametrize(("limit", "expected"), [(None, 8), (0.5, 1), (1.5, 2), (99.0, 8)])
def test_the_smaller_of_affinity_and_limit_rounded_up(
    monkeypatch: pytest.MonkeyPatch, limit: float | None, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "cgroup_limit", lambda: limit)
    assert usable_cores() == expected
