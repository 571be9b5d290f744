"""The files that a submission sees: its own root folder, with what it needs and nothing else."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shoplens.challenge.sandbox import kernel

SUBMISSION = "/submission"
DATA = "/data"
SCRATCH = "/scratch"
"""Where a submission finds its own folder, the data, and its home folder."""

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "mime.types")
_CORES = ("/sys/devices/system/cpu", "/sys/devices/system/node")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_WRITTEN = {
    "/etc/passwd": "submission:x:65534:65534::/scratch:/bin/sh\n",
    "/etc/group": "submission:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost submission\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


class Unfit(Exception):
    """The submission's folder cannot be shown; the fault is its own, not the machine's."""


@dataclass(frozen=True, slots=True)
class View:
    """What is shown, and where. Paths are those of the machine unless said otherwise."""

    root: str
    """An empty folder to build the view on."""
    submission: str
    """Shown at /submission; what is written there counts as scratch files."""
    data: str
    """Shown at /data, read-only."""
    entry: str
    """The program that runs the submission, shown at its own path."""
    shown: Sequence[str]
    """Folders and files shown read-only at their own paths: the Python environment."""
    hidden: Sequence[str]
    """Folders that are empty in the view even where one of the above holds them."""
    devices: Sequence[str]
    """Further devices, for graphics processors."""
    scratch_bytes: int
    scratch_files: int

    def build(self, user: int) -> None:
        """Make the view the root of this process's mount namespace.

        Args:
            user: who owns the scratch files.

        Raises:
            Unfit: the submission's folder cannot be shown.
            OSError: the kernel refuses a step.
        """
        kernel.mount("", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
        flags = kernel.NO_SUID | kernel.NO_DEVICES
        kernel.mount("view", self.root, "tmpfs", flags, "mode=755,size=4m,nr_inodes=20000")
        for path in (*_SYSTEM, *(f"/etc/{name}" for name in _SETTINGS), *_CORES):
            self._show(path)
        self._make_devices()
        self._make_scratch(user)
        # After the scratch files: an environment may lie in the machine's own /tmp.
        for path in self.shown:
            self._show(path)
        for path in self.hidden:
            self._hide(path)
        self._show(self.entry)
        self._show(self.data, DATA)
        for path, text in _WRITTEN.items():
            target = Path(self._inside(path))
            target.parent.mkdir(exist_ok=True)
            target.write_text(text)
        processes = self._inside("/proc")
        Path(processes).mkdir()
        kernel.mount("proc", processes, "proc", flags | kernel.NO_EXEC)
        kernel.become_root(self.root)
        # Everything above was bound read-only; what is left is the skeleton that holds it.
        kernel.make_read_only("/", below=False)

    def _inside(self, path: str) -> str:
        return self.root + path

    def _show(self, path: str, target: str | None = None) -> None:
        target = self._inside(target or path)
        if Path(target).exists() or not Path(path).exists():
            return
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        if Path(path).is_symlink():
            Path(target).symlink_to(Path(path).readlink())
            self._show(os.path.normpath(Path(path).parent / Path(path).readlink()))
            return
        if Path(path).is_dir():
            Path(target).mkdir()
        else:
            Path(target).touch()
        kernel.mount(path, target, flags=kernel.BIND | kernel.RECURSIVE)
        kernel.make_read_only(target)

    def _hide(self, path: str) -> None:
        if not any(Path(path).is_relative_to(shown) for shown in (*_SYSTEM, *self.shown)):
            return
        if Path(path).is_file():  # A test set in an archive.
            kernel.mount("/dev/null", self._inside(path), flags=kernel.BIND)
        else:
            kernel.mount("hidden", self._inside(path), "tmpfs", kernel.NO_SUID, "mode=755,size=4k")
        kernel.make_read_only(self._inside(path))

    def _make_devices(self) -> None:
        folder = Path(self._inside("/dev"))
        folder.mkdir()
        for path in (*(f"/dev/{name}" for name in _DEVICES), *self.devices):
            target = self._inside(path)
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            Path(target).touch()
            kernel.mount(path, target, flags=kernel.BIND)
        for name, meaning in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
            (folder / name).symlink_to(f"/proc/self/fd{meaning}")

    def _make_scratch(self, user: int) -> None:
        scratch = Path(self._inside(SCRATCH))
        scratch.mkdir()
        options = f"mode=755,size={self.scratch_bytes},nr_inodes={self.scratch_files}"
        kernel.mount("scratch", str(scratch), "tmpfs", kernel.NO_SUID | kernel.NO_DEVICES, options)
        # One size for all that can be written to: temporary files and shared memory are in it too.
        for name, target in ((".tmp", "/tmp"), (".shm", "/dev/shm")):
            (scratch / name).mkdir(mode=0o777)
            (scratch / name).chmod(0o1777)
            Path(self._inside(target)).mkdir()
            kernel.mount(str(scratch / name), self._inside(target), flags=kernel.BIND)
        target = self._inside(SUBMISSION)
        Path(target).mkdir()
        upper, work = scratch / ".written" / "upper", scratch / ".written" / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        layers = f"lowerdir={_escaped(self.submission)},upperdir={upper},workdir={work},userxattr"
        try:
            kernel.mount("submission", target, "overlay", kernel.NO_SUID, layers)
        except OSError as error:
            if error.errno not in (errno.ENODEV, errno.EPERM, errno.EINVAL):
                raise
            # No overlays on this machine: the submission cannot write into its own folder.
            kernel.mount(self.submission, target, flags=kernel.BIND | kernel.RECURSIVE)
            kernel.make_read_only(target)
        else:
            self._hand_over(target, user)
        (scratch / ".written").chmod(0o700)
        os.chown(scratch, user, user)

    def _hand_over(self, target: str, user: int) -> None:
        """Let a user write into all folders below `target`; each then takes a scratch file."""
        try:
            waiting = [target]
            while waiting:
                folder = waiting.pop()
                with suppress(PermissionError), os.scandir(folder) as entries:
                    waiting += [e.path for e in entries if e.is_dir(follow_symlinks=False)]
                with suppress(PermissionError):  # It is of a user unknown inside.
                    os.chown(folder, user, user)
        except OSError as error:
            raise Unfit(
                f"the submission's folder cannot be made ready: {error.strerror} (its folders "
                f"count among the {self.scratch_files:,} scratch files)"
            ) from error


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
