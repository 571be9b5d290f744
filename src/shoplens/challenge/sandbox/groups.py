"""Control groups (version 1 and 2): bounding and counting what a tree of processes uses."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shoplens.challenge.sandbox.limits import Limits

_PREFIX = "shoplens-"
_PATIENCE = 5.0
"""Seconds to wait for killed processes to be gone."""

Controller = Literal["memory", "pids", "cpuset", "cpu", "cpuacct"]
_CONTROLLERS: tuple[Controller, ...] = ("memory", "pids", "cpuset", "cpu", "cpuacct")
_NEEDED_FILE = {"memory": "memory.max", "pids": "pids.max", "cpuset": "cpuset.cpus",
                "cpu": "cpu.max", "cpuacct": "cpu.stat"}  # fmt: skip
"""What a group of version 2 holds where a controller is at work in it."""


@dataclass(slots=True)
class Groups:
    """The groups made for one run: a folder for each controller that could be had.

    Use as a context manager: leaving it kills what is in the groups and removes them.
    """

    folders: dict[Controller, Path] = field(default_factory=dict)
    bounded: set[str] = field(default_factory=set)
    """Which of `memory`, `processes`, `cpus` are held to their limit."""
    _seen_memory: int = 0

    def __enter__(self) -> Groups:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def doors(self) -> list[Path]:
        """The files that a process writes itself into to join."""
        return [folder / "cgroup.procs" for folder in dict.fromkeys(self.folders.values())]

    def exceeded(self) -> Literal["memory_limit", "process_limit"] | None:
        """Return the limit that the kernel has had to hold the group to, if any."""
        if (folder := self.folders.get("memory")) is not None:
            killed = _fields(folder / "memory.oom_control") or _fields(folder / "memory.events")
            if killed.get("oom_kill", 0) > 0:
                return "memory_limit"
        folder = self.folders.get("pids") if "processes" in self.bounded else None
        if folder is not None and _fields(folder / "pids.events").get("max", 0) > 0:
            return "process_limit"
        return None

    def look(self) -> None:
        """Take note of how much memory is in use now, files that are merely cached left out."""
        if (folder := self.folders.get("memory")) is None:
            return
        counts = _fields(folder / "memory.stat")
        used = counts.get("anon", counts.get("rss", 0)) + counts.get("shmem", 0)
        self._seen_memory = max(self._seen_memory, used)

    def peak_memory(self, largest_process: int) -> int | None:
        """Return the most bytes that were in use; None where no group counted.

        The kernel's own peak counts cached files too. So this is the most that was seen from time
        to time or that one process alone had at its peak, and no more than the kernel's peak.
        """
        if (folder := self.folders.get("memory")) is None:
            return None
        peak = _number(folder / "memory.max_usage_in_bytes") or _number(folder / "memory.peak")
        seen = max(self._seen_memory, largest_process)
        if self.exceeded() == "memory_limit" and peak:
            return peak
        return min(seen, peak) if peak else seen

    def cpu_seconds(self) -> float | None:
        """Return the processor time used by all that ever was in the group."""
        folder = self.folders.get("cpuacct")
        if folder is None:
            return None
        nanoseconds = _number(folder / "cpuacct.usage")
        if nanoseconds is not None:
            return nanoseconds / 1e9
        microseconds = _fields(folder / "cpu.stat").get("usage_usec")
        return None if microseconds is None else microseconds / 1e6

    def kill(self) -> None:
        """Kill everything in the groups, and wait until it is gone."""
        deadline = time.monotonic() + _PATIENCE
        while (members := set(self._members())) and time.monotonic() < deadline:
            for folder in set(self.folders.values()):  # Version 2 does it in one step.
                _write(folder / "cgroup.kill", 1)
            for process in members:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.005)

    def remove(self) -> None:
        """Kill what is left, and remove the groups."""
        self.kill()
        deadline = time.monotonic() + _PATIENCE
        for folder in set(self.folders.values()):
            while folder.exists() and time.monotonic() < deadline:
                try:
                    folder.rmdir()
                except OSError:  # A process of it is not quite gone yet.
                    time.sleep(0.005)
        self.folders.clear()

    def _members(self) -> Iterator[int]:
        for door in self.doors:
            with suppress(OSError):
                # 0 is a process of another namespace; to signal it would be to signal ourselves.
                yield from (int(word) for word in door.read_text().split() if word != "0")


def make_groups(
    limits: Limits, cpus: Sequence[int], own: dict[Controller, Path] | None = None
) -> Groups:
    """Make the groups of one run below those of this process.

    What cannot be made (no permission, no such controller) is left out: see `Groups.bounded`.

    Args:
        limits: memory and processes are bounded where they are given.
        cpus: the numbers of the processors to run on.
        own: the groups of this process, by controller; found out when None.
    """
    groups = Groups()
    name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    own = own_groups() if own is None else own
    for parent in dict.fromkeys(own.values()):
        groups.folders.update(_make(parent, name, [c for c in own if own[c] == parent]))
    if (folder := groups.folders.get("memory")) is not None and limits.memory_mb is not None:
        _write(folder / "memory.oom.group", 1)
        size = limits.memory_mb * 10**6
        if _write(folder / "memory.limit_in_bytes", size) or _write(folder / "memory.max", size):
            groups.bounded.add("memory")
            # Not there where the kernel does not count swapped memory.
            _write(folder / "memory.memsw.limit_in_bytes", size)
            _write(folder / "memory.swap.max", 0)
    folder = groups.folders.get("pids")
    if folder is not None and _write(folder / "pids.max", limits.processes):
        groups.bounded.add("processes")
    if _bound_cpus(groups, cpus):
        groups.bounded.add("cpus")
    return groups


def own_groups(proc: Path = Path("/proc/self")) -> dict[Controller, Path]:
    """Return the folder of this process's group for each controller; empty where there is none."""
    try:
        memberships = (proc / "cgroup").read_text().splitlines()
        mounts = [line.split() for line in (proc / "mounts").read_text().splitlines()]
    except OSError:
        return {}
    places: dict[str, str] = {}
    for _, place, kind, options, *_ in mounts:
        if kind == "cgroup2":
            places.setdefault("", place)
        elif kind == "cgroup":
            for option in options.split(","):
                places.setdefault(option, place)
    found: dict[Controller, Path] = {}
    unified = None
    for line in memberships:
        _, names, path = line.split(":", 2)
        if not names and "" in places:
            unified = Path(places[""]) / path.lstrip("/")
        for controller in _CONTROLLERS:
            if controller in names.split(",") and controller in places:
                found[controller] = Path(places[controller]) / path.lstrip("/")
    if unified is not None:
        for controller in _CONTROLLERS:
            found.setdefault(controller, unified)
    return found


def _make(parent: Path, name: str, controllers: Sequence[Controller]) -> dict[Controller, Path]:
    """Make a group in which controllers are at work: below `parent`, or else further up.

    In version 2 a process is in one group alone, and controllers reach a group only from groups
    that hold no process themselves, as that of this process does.
    """
    top = _mount_point(parent)
    for candidate in (parent, *parent.parents):
        folder = candidate / name
        try:
            folder.mkdir()
        except OSError:
            pass
        else:
            _sweep(candidate)
            version1 = not (folder / "cgroup.controllers").exists()
            at_work = [c for c in controllers if version1 or (folder / _NEEDED_FILE[c]).exists()]
            if at_work and (version1 or {"memory", "pids"} & set(controllers) <= set(at_work)):
                return dict.fromkeys(at_work, folder)
            folder.rmdir()
        if candidate == top:
            break
    return {}


def _mount_point(folder: Path) -> Path:
    return next((f for f in (folder, *folder.parents) if f.is_mount()), folder)


def _sweep(parent: Path) -> None:
    """Remove groups that a killed run of ours has left behind."""
    for folder in parent.glob(f"{_PREFIX}*-*"):
        process = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if process.isdigit() and not is_alive(int(process)):
            Groups({"memory": folder}).remove()


def is_alive(process: int) -> bool:
    """Whether a process of that number is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _bound_cpus(groups: Groups, cpus: Sequence[int]) -> bool:
    folder = groups.folders.get("cpuset")
    if folder is not None:
        with suppress(OSError):
            # A group of version 1 takes no process before both are set.
            if (memory := folder / "cpuset.mems").exists():
                memory.write_text((folder.parent / "cpuset.mems").read_text())
        if _write(folder / "cpuset.cpus", ",".join(map(str, cpus))):
            return True
        if not (folder / "cgroup.controllers").exists():
            groups.folders.pop("cpuset").rmdir()
    folder = groups.folders.get("cpu")
    if folder is None:
        return False
    period = 100_000
    return (
        _write(folder / "cpu.cfs_period_us", period)
        and _write(folder / "cpu.cfs_quota_us", period * len(cpus))
    ) or _write(folder / "cpu.max", f"{period * len(cpus)} {period}")


def _write(file: Path, value: object) -> bool:
    """Write a setting; False where the kernel does not have it or refuses."""
    if not file.exists():
        return False
    try:
        file.write_text(str(value))
    except OSError:
        return False
    return True


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _fields(file: Path) -> dict[str, int]:
    """Read lines of a name and a number."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}
