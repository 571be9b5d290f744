"""What of the limits was enforced, by what, and what was not: sentences for the record."""

from __future__ import annotations

from collections.abc import Sequence

from shoplens.challenge.sandbox.filter import can_filter
from shoplens.challenge.sandbox.groups import Groups
from shoplens.challenge.sandbox.limits import Limits

LOOK_EVERY = 0.05
"""Seconds between two looks at what no control group bounds."""


def state_enforcement(
    yes: list[str],
    no: list[str],
    limits: Limits,
    groups: Groups,
    cpus: Sequence[int],
    refusal: str,
) -> None:
    """Add what was enforced to `yes`, and what was not to `no`, one sentence each.

    Args:
        yes: what was enforced, and by what.
        no: what was not; it may hold sentences already.
        limits: what the program was allowed to use.
        groups: its control groups.
        cpus: the processors that it got.
        refusal: why there were no namespaces; empty where there were.
    """
    yes.append(f"time: {limits.seconds:g} s")
    yes.append(f"output: {limits.log_mb:,} MB printed, an answer of {limits.output_mb:,} MB")
    if limits.memory_mb is None:
        no.append("memory: no limit was set")
    elif "memory" in groups.bounded:
        yes.append(f"memory: {limits.memory_mb:,} MB (control group)")
    else:
        no.append(
            f"memory: no control group could be made; {limits.memory_mb:,} MB was checked "
            f"every {LOOK_EVERY} s, so a burst can pass"
        )
    if "processes" in groups.bounded:
        yes.append(f"processes: {limits.processes:,} (control group)")
    elif not refusal:
        yes.append(f"processes: {limits.processes:,} (resource limit)")
    else:
        no.append(f"processes: {limits.processes:,} was checked every {LOOK_EVERY} s")
    if limits.cpus is None or "cpus" in groups.bounded:
        yes.append(f"processors: {len(cpus)}" + (" (control group)" if groups.bounded else ""))
    else:
        no.append(f"processors: {len(cpus)} by affinity, which a process can change")
    if limits.cpus is not None and len(cpus) < limits.cpus:
        no.append(f"processors: {limits.cpus} were granted, this machine has {len(cpus)}")
    filtered = "system calls: sockets beyond files and the Internet, key rings and io_uring refused"
    if not can_filter():
        no.append("system calls: no filter for this processor; vsock and key rings are open")
    elif not no or not no[0].startswith("system calls"):
        yes.append(filtered)
    apart = (
        "network: none",
        "files: its own folder, the data without labels, its Python and the system's programs",
        f"scratch files: {limits.scratch_mb:,} MB in memory, {limits.scratch_files:,} files",
        "processes of others are out of sight; its own end with it",
        "privileges: none, and none to be had",
    )
    if not refusal:
        yes.extend(apart)
    else:
        no.append(f"namespaces: {refusal}")
        no.append("network: open")
        no.append("files: all that its user can read and write, labels that lie there included")
        no.append("scratch files: no limit")
        no.append("processes: it can signal others of its user")
