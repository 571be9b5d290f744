"""A filter of system calls: what namespaces do not cover, refused by the kernel (seccomp).

Refused are sockets of families beyond the file system and the Internet (vsock reaches the machine's
host whatever the network namespace), the kernel's key rings (which outlive a run), and io_uring
(which makes sockets past such a filter). All else passes: it is no list of what a program may need.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from dataclasses import dataclass

from shoplens.challenge.sandbox import kernel

_FAMILIES = (1, 2, 10, 16)
"""Unix, IPv4, IPv6, netlink (by which a program lists its own network interfaces)."""


@dataclass(frozen=True, slots=True)
class _Calls:
    """A processor's number in the audit system, and its numbers of system calls."""

    architecture: int
    socket: int
    keys: tuple[int, int, int]
    """add_key, request_key, keyctl."""
    io_uring: tuple[int, int, int] = (425, 426, 427)


_PROCESSORS = {
    "x86_64": _Calls(0xC000003E, 41, (248, 249, 250)),
    "aarch64": _Calls(0xC00000B7, 198, (217, 218, 219)),
}

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Where a call's parts lie; the lower half of the argument, as both processors store it."""
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_FOREIGN_CALLS = 0x40000000
"""Numbers from here on are those of another convention (x32), which would pass unread."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def can_filter() -> bool:
    """Whether the calls of this processor are known."""
    return platform.machine() in _PROCESSORS


def refuse_calls() -> None:
    """Refuse the calls from now on, in this process and all it starts; nothing undoes it.

    Needs `kernel.no_new_privileges` first. Does nothing where `can_filter` is false.

    Raises:
        OSError: the kernel has no such filters.
    """
    calls = _PROCESSORS.get(platform.machine())
    if calls is None:
        return
    refused = (*calls.keys, *calls.io_uring)
    # Each instruction says how many to skip when it holds, and when not.
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, calls.architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    tail = len(_FAMILIES) + 4
    """Instructions from the one after the tests of numbers to the end."""
    tests = [(_AT_LEAST, _FOREIGN_CALLS), *((_EQUAL, number) for number in refused)]
    for place, (kind, number) in enumerate(tests):
        to_refuse = len(tests) - place - 1 + tail - 2
        code.append((kind, to_refuse, 0, number))
    code.append((_EQUAL, 0, len(_FAMILIES) + 2, calls.socket))
    code.append((_LOAD, 0, 0, _FIRST_ARGUMENT))
    for place, family in enumerate(_FAMILIES):
        code.append((_EQUAL, len(_FAMILIES) - place, 0, family))
    code.append((_RETURN, 0, 0, _REFUSE | errno.EPERM))
    code.append((_RETURN, 0, 0, _ALLOW))
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    program = _Program(len(code), packed)
    kernel.set_filter(ctypes.byref(program))
