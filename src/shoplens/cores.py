"""How many of the processor's cores this process may use.

Affinity and control groups may leave fewer cores than there are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def usable_cores() -> int:
    """Return the number of cores this process may use, at least 1.

    On Linux that is the smaller of its affinity and its control groups' limits on processor time
    (which is how containers are held to a share of a machine), rounded up: half a core takes one
    thread.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    limit = cgroup_limit()
    return cores if limit is None else max(1, min(cores, math.ceil(limit)))


def cgroup_limit(root: Path = Path("/")) -> float | None:
    """Return how many cores' time the control groups (v1 or v2) of this process grant.

    Args:
        root: what `/proc` and `/sys` are looked for in.

    Returns:
        The tightest limit of the process's groups and those above them; None where there is none.
    """
    limits = []
    for folder in _cpu_groups(root):
        # A file that is not there or not to be read sets no limit that we could know of.
        quota, period = _version2(folder) or _version1(folder) or (0.0, 0.0)
        if quota > 0 and period > 0:
            limits.append(quota / period)
    return min(limits, default=None)


def _cpu_groups(root: Path) -> Iterator[Path]:
    """Yield the folders of the process's groups for processor time, and of those above them."""
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = mount / controllers if controllers else mount
        inner = PurePosixPath(path.lstrip("/"))
        # Inside a container the path may be the host's: then only the mount's own folder is there.
        for group in (inner, *inner.parents):
            if (folder := base / group).is_dir():
                yield folder


def _version2(folder: Path) -> tuple[float, float] | None:
    words = _words(folder / "cpu.max")
    if len(words) != 2 or words[0] == "max":
        return None
    return float(words[0]), float(words[1])


def _version1(folder: Path) -> tuple[float, float] | None:
    quota, period = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
    if not quota or not period:
        return None
    return float(quota[0]), float(period[0])


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []
