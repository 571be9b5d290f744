"""The system calls of Linux that Python's library does not offer. Each raises `OSError`.

Loaded by the launcher alone; importing it on another system is harmless, calling is not.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
from typing import Any

NEW_USER = 0x10000000
NEW_MOUNTS = 0x00020000
NEW_PROCESSES = 0x20000000
NEW_NETWORK = 0x40000000
NEW_IPC = 0x08000000
NEW_NAMES = 0x04000000
NEW_GROUPS = 0x02000000

NO_SUID = 2
NO_DEVICES = 4
NO_EXEC = 8
BIND = 4096
RECURSIVE = 16384
PRIVATE = 1 << 18

_READ_ONLY_ATTRIBUTE = 1
_NO_SUID_ATTRIBUTE = 2
_DETACH = 2
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_SETATTR = 442  # The same number on every architecture.
_SET_PARENT_DEATH_SIGNAL = 1
_SET_DUMPABLE = 4
_DROP_FROM_BOUND = 24
_SET_SUBREAPER = 36
_NO_NEW_PRIVILEGES = 38
_SET_SECCOMP, _SECCOMP_FILTER = 22, 2
_CAPABILITY_VERSION = 0x20080522
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave namespaces shared with others for new ones."""
    _call("unshare", flags)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount, bind, or change how mounts propagate."""
    _call(
        "mount",
        source.encode(),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )


def make_read_only(target: str, *, below: bool = True) -> None:
    """Make a mount (and all below it) read-only, and deaf to set-user-id bits (Linux 5.12)."""
    attributes = struct.pack("=QQQQ", _READ_ONLY_ATTRIBUTE | _NO_SUID_ATTRIBUTE, 0, 0, 0)
    _call(
        "syscall",
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(target),
        ctypes.c_uint(_AT_RECURSIVE if below else 0),
        attributes,
        ctypes.c_size_t(len(attributes)),
    )


def become_root(folder: str) -> None:
    """Make a mounted folder the root, and let go of everything outside it."""
    os.chdir(folder)
    _call("pivot_root", b".", b".")  # The old root now lies over the new one.
    _call("umount2", b".", _DETACH)
    os.chdir("/")


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Be sent a signal when the parent (the thread that forked) ends, however it ends."""
    _control(_SET_PARENT_DEATH_SIGNAL, how)


def hide_from_debuggers() -> None:
    """Keep processes without privileges from reading this one through /proc or ptrace."""
    _control(_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parents end."""
    _control(_SET_SUBREAPER, 1)


def no_new_privileges() -> None:
    """Give up, for good, what a set-user-id program could give."""
    _control(_NO_NEW_PRIVILEGES, 1)


def bar_capabilities() -> None:
    """Give up the right to gain any capability; takes one of them."""
    for capability in range(64):
        try:
            _control(_DROP_FROM_BOUND, capability)
        except OSError:  # Past the last that this kernel knows, or none to drop.
            break


def set_filter(program: Any) -> None:
    """Let a program (a pointer to one of `shoplens.challenge.sandbox.filter`) judge each call."""
    rest = (ctypes.c_ulong(_SECCOMP_FILTER), program, ctypes.c_ulong(0), ctypes.c_ulong(0))
    _call("prctl", _SET_SECCOMP, *rest)


def drop_capabilities() -> None:
    """Give up every capability."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _call("capset", header, bytes(24))


def raise_loopback() -> None:
    """Bring up the network interface that reaches this namespace alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        request = struct.pack("16sH14x", b"lo", 0)
        _, flags = struct.unpack("16sH14x", fcntl.ioctl(channel, _GET_FLAGS, request))
        fcntl.ioctl(channel, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _UP))


def _control(option: int, value: int) -> None:
    rest = (ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    _call("prctl", option, *rest)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
