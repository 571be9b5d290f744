"""The process between us and a submission: makes its surroundings, gives up every privilege.

Run as `python -m shoplens.challenge.sandbox.launcher` with a `Launch` as JSON on standard input.
It ends when the submission does. With namespaces there are three processes::

    launcher    outside, killed when its parent ends
    └── init    process 1 inside: builds the view, waits; the kernel ends all others with it
        └── the submission, without privileges

What it has to tell goes line by line as JSON to a pipe that the submission does not hold:
`{"refused": why}` when namespaces cannot be had, `{"failed": why}` when this submission cannot be
started, `{"unfiltered": why}` when its system calls are not, `{"started": true}` just before
the submission's program, `{"ended": {...}}` after it, and whether its scratch files were full.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shoplens.challenge.sandbox import kernel
from shoplens.challenge.sandbox.filter import refuse_calls
from shoplens.challenge.sandbox.processes import end_descendants
from shoplens.challenge.sandbox.view import SCRATCH, Unfit, View

NOBODY = 65534
"""Who the submission is, inside."""

STATUS, ANSWER = 3, 4
"""The file descriptors at which the submission's program finds its two pipes."""

_NAMESPACES = (
    kernel.NEW_USER
    | kernel.NEW_MOUNTS
    | kernel.NEW_PROCESSES
    | kernel.NEW_NETWORK
    | kernel.NEW_IPC
    | kernel.NEW_NAMES
)
_NOT_GRANTED = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL, errno.ENODEV, errno.ENOTSUP)
_LINUX = sys.platform == "linux"
_TO_LEAVE = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start, and in what surroundings."""

    view: View | None
    """None for none of its own: no namespaces."""
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    """Where the command begins, as it sees it."""
    doors: Sequence[str]
    """Files of control groups to join by."""
    cpus: Sequence[int]
    processes: int | None
    """Bound of the processes of its user, where no group bounds them."""
    data_bytes: int | None
    """Bound of one process's own memory, where no group bounds it."""
    parent: int
    """The process that asks for this; when it is gone, nothing starts."""
    status: int
    answer: int
    control: int
    """File descriptors handed down."""

    def to_json(self) -> str:
        """Return it as the launcher reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Launch:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        view = values.pop("view")
        return cls(view=None if view is None else View(**view), **values)


class Refused(OSError):
    """The machine grants no namespaces, or not what has to be done in them."""


def main() -> None:
    """Start what standard input says, wait for it, tell how it went."""
    launch = Launch.from_json(sys.stdin.read())
    if _LINUX:
        with suppress(OSError):  # Should memory run out, the submission goes first.
            # Here, where root still is root: the kernel then lets nobody lower it.
            Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        if launch.view is None:
            _run_plainly(launch)
        else:
            _run_inside(launch, launch.view)
    except Refused as error:
        _tell(launch, "refused", str(error))
    except OSError as error:
        _tell(launch, "failed", str(error))


def _tell(launch: Launch, name: str, value: Any) -> None:
    os.write(launch.control, json.dumps({name: value}).encode() + b"\n")


def _run_inside(launch: Launch, view: View) -> None:
    # Opened here, where they can be found; the submission's process joins through them.
    doors = [os.open(door, os.O_WRONLY) for door in launch.doors]
    try:
        user = _enter_namespaces()
    except OSError as error:
        raise Refused(str(error)) from error
    kernel.die_with_parent()
    if os.getppid() != launch.parent:
        return
    init = os.fork()
    if init == 0:
        _as_only_child(launch, lambda: _be_init(launch, view, doors, user))
    os.waitpid(init, 0)


def _enter_namespaces() -> int:
    """Move to namespaces of our own; return the user that the submission is to be."""
    user, group = os.getuid(), os.getgid()
    asking, told = os.pipe()
    launcher = os.getpid()
    helper = os.fork()
    if helper == 0:  # Only root outside may let two users exist inside.
        os.close(told)
        mapped = bool(os.read(asking, 1)) and user == 0 and _map_root_and_nobody(launcher)
        os._exit(0 if mapped else 1)
    os.close(asking)
    try:
        kernel.unshare(_NAMESPACES)
        os.write(told, b"x")
    finally:
        os.close(told)
        _, status = os.waitpid(helper, 0)
    if status:
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")
    return NOBODY


def _map_root_and_nobody(process: int) -> bool:
    """Let both exist in a process's user namespace, each as himself."""
    try:
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process}/{name}").write_text(f"0 0 1\n{NOBODY} {NOBODY} 1")
    except OSError:  # A container whose own namespace knows no such user.
        return False
    return True


def _as_only_child(launch: Launch, work: Any) -> None:
    """Do a forked child's work; it never returns."""
    try:
        work()
    except Refused as error:
        _tell(launch, "refused", str(error))
    except OSError as error:
        _tell(launch, "failed", str(error))
    finally:
        os._exit(0)


def _be_init(launch: Launch, view: View, doors: Sequence[int], user: int) -> None:
    """Be process 1: build the view, start the submission, wait for it and for orphans."""
    kernel.die_with_parent()
    kernel.hide_from_debuggers()
    try:
        view.build(user)
        kernel.raise_loopback()
        socket.sethostname("submission")
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
    except Unfit as error:
        _tell(launch, "failed", str(error))
        return
    except OSError as error:
        # Only what the machine does not grant may be done without; all else is a fault.
        if error.errno in _NOT_GRANTED:
            raise Refused(str(error)) from error
        raise
    _start_and_wait(launch, doors, user)
    usage = os.statvfs(SCRATCH)
    full = usage.f_bavail * usage.f_frsize < 2**16 or usage.f_ffree == 0
    _tell(launch, "scratch", {"full": full})


def _run_plainly(launch: Launch) -> None:
    """Start the submission without namespaces; whatever it leaves behind is ended after it."""
    for number in _TO_LEAVE:
        signal.signal(number, _leave)
    if _LINUX:
        kernel.adopt_orphans()
        kernel.die_with_parent(signal.SIGTERM)
    if os.getppid() != launch.parent:
        return
    doors = [os.open(door, os.O_WRONLY) for door in launch.doors]
    try:
        _start_and_wait(launch, doors, NOBODY if os.getuid() == 0 else os.getuid())
    finally:
        end_descendants(os.getpid())


def _leave(*_: object) -> None:
    """Leave once: a killed parent's threads die one by one, and each death is signalled."""
    for number in _TO_LEAVE:
        signal.signal(number, signal.SIG_IGN)
    sys.exit()


def _start_and_wait(launch: Launch, doors: Sequence[int], user: int) -> None:
    submission = os.fork()
    if submission == 0:
        _as_only_child(launch, lambda: _become(launch, doors, user))
    while True:
        process, status = os.waitpid(-1, 0)
        if process == submission:
            break
    code = os.waitstatus_to_exitcode(status)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = {
        "code": code,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "largest_bytes": usage.ru_maxrss * (1024 if _LINUX else 1),
    }
    _tell(launch, "ended", ended)


def _become(launch: Launch, doors: Sequence[int], user: int) -> None:
    """Turn from a copy of the launcher into the submission's program."""
    os.setsid()
    for door in doors:
        os.write(door, b"0")
    if launch.view is not None:
        with suppress(OSError):  # Where it reads the name of its group, and no more.
            kernel.unshare(kernel.NEW_GROUPS)
    _bound(launch)
    status, answer, control = (
        fcntl.fcntl(number, fcntl.F_DUPFD, 10)
        for number in (launch.status, launch.answer, launch.control)
    )
    fcntl.fcntl(control, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, wanted in ((nothing, 0), (status, STATUS), (answer, ANSWER)):
        os.dup2(number, wanted)
    os.set_inheritable(STATUS, True)
    os.set_inheritable(ANSWER, True)
    for number in _open_files():
        if number > ANSWER and number != control:
            with suppress(OSError):
                os.close(number)
    _give_up_privileges(user)
    if _LINUX:
        try:
            refuse_calls()
        except OSError as error:
            os.write(control, json.dumps({"unfiltered": str(error)}).encode() + b"\n")
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    os.chdir(launch.folder)
    os.write(control, b'{"started": true}\n')
    try:
        os.execve(launch.command[0], list(launch.command), dict(launch.environment))
    except OSError as error:
        text = f"{launch.command[0]} cannot be started: {error.strerror}"
        os.write(control, json.dumps({"failed": text}).encode() + b"\n")


def _bound(launch: Launch) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if launch.processes is not None and launch.view is not None:
        # Counted for each user namespace: here, for this run alone.
        resource.setrlimit(resource.RLIMIT_NPROC, (launch.processes, launch.processes))
    if launch.data_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (launch.data_bytes, launch.data_bytes))
    if _LINUX:
        with suppress(OSError):
            os.sched_setaffinity(0, launch.cpus)


def _open_files() -> list[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        if Path(folder).is_dir():
            return [int(file.name) for file in Path(folder).iterdir()]
    return list(range(256))


def _give_up_privileges(user: int) -> None:
    if _LINUX:
        kernel.bar_capabilities()
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    if _LINUX:
        kernel.drop_capabilities()
        kernel.no_new_privileges()
        kernel.die_with_parent()


if __name__ == "__main__":
    main()
