"""pip, installing for an environment what a stranger asks for, and nothing but wheels."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shoplens.errors import ShoplensError
from shoplens.files import write_text

_SHOWN_LINES = 15
_HINT = (
    "Only wheels are installed, because what has to be built would run its code outside the "
    "limits. Where a version does not exist for this Python, `shoplens challenge run --relax-pins` "
    "installs the nearest one. For a submission that you trust, you can also make an environment "
    "yourself and name its interpreter with --python."
)
_ASKING_SECONDS = 120.0
"""How long the index may take to list the versions of a package."""
_VERSIONS = "Available versions:"
_LOOK_EVERY = 2.0
"""Seconds between two looks at how large an environment has become."""
_WHEELS_ONLY = """
import runpy, sys

def refuse(event, arguments):
    if event in STARTS:
        raise PermissionError("a package would have to be built")

STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork",
          "os.forkpty", "os.startfile", "pty.spawn"}
sys.path[:] = [sys.argv[1], *(path for path in sys.path if "site-packages" not in path)]
sys.argv[:2] = ["pip"]
sys.addaudithook(refuse)
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""pip in a process that starts no other and does not see what it installs, so that no code of a
package runs. (With its own --only-binary it would still build what an address or a path names.) The
argument is the wheel of pip to use."""
_PLACE = re.compile(
    r"""[a-z][a-z0-9+.-]*://[^\s'"<>,;()]+
    | (?<![\w.~/])/[^\s'"<>,;:()]+
    | [a-z]:\\[^\s'"<>,;:()]+""",
    re.IGNORECASE | re.VERBOSE,
)
"""An address, a path from the root, or one of Windows."""
_KEPT = frozenset(
    {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CUDA_HOME", "CC", "CXX"}
)
"""Environment variables that an installation sees, besides those of pip and of proxies."""


@dataclass(frozen=True, slots=True)
class Installer:
    """pip for one environment."""

    python: Path
    """The environment's interpreter."""
    pip: Path
    """The wheel of pip, which is not installed there."""
    root: Path
    """The submission's folder, where pip runs: paths of wheels count from it."""

    def install(
        self,
        lines: Sequence[str],
        constraints: Sequence[str],
        always: str,
        seconds: float,
        size: int,
    ) -> None:
        """Install packages.

        Args:
            lines: what is asked for, as in `Requirements`.
            constraints: bounds of versions.
            always: a package to install besides.
            seconds: how long it may take.
            size: how many bytes the environment may come to.

        Raises `ShoplensError` when it failed, took too long or grew too large; the message ends
        with what pip said last.
        """
        folder = self.python.parent.parent
        words: list[object] = ["install", "--only-binary=:all:", always]
        for option, asked in (("-r", lines), ("-c", constraints)):
            file = folder.absolute() / f"asked{option}.txt"
            write_text(file, "".join(f"{line}\n" for line in asked))
            words += [option, file]
        output, code = self._run(words, seconds, lambda: size_of(folder) > size)
        if code == 0 and size_of(folder) <= size:
            return
        what = f"failed (pip ended with {code})"
        if size_of(folder) > size:
            what = f"needs more than {size / 1e9:g} GB"
        elif code is None:
            what = f"took more than {seconds:g} s"
        # Where it looked is the organiser's: teams, and on a site everybody, read this.
        told = [line for line in output.strip().splitlines() if not line.startswith("Looking in")]
        last = without_places(
            "\n".join(f"  {line}" for line in told[-_SHOWN_LINES:]), [folder, self.root]
        )
        raise ShoplensError(
            f"installing requirements.txt {what}; pip's last lines:\n{last}\n{_HINT}"
        )

    def versions_of(self, name: str) -> tuple[str, ...]:
        """Return the versions of a package that this Python can install; none if pip fails."""
        output, _ = self._run(["index", "versions", name, "--only-binary=:all:"], _ASKING_SECONDS)
        for line in output.splitlines():
            if line.startswith(_VERSIONS):
                return tuple(line.removeprefix(_VERSIONS).replace(",", " ").split())
        return ()

    def _run(
        self,
        words: Sequence[object],
        seconds: float,
        is_too_much: Callable[[], bool] = lambda: False,
    ) -> tuple[str, int | None]:
        # Isolated (-I): a json.py of the submission must not be imported here.
        command = [self.python, "-I", "-c", _WHEELS_ONLY, self.pip]
        options = ["--disable-pip-version-check", "--no-input"]
        return run_within([*command, *options, *words], self.root, seconds, is_too_much)


def bundled_pip() -> Path:
    """Return the wheel of pip that comes with Python; raises ImportError where there is none."""
    import ensurepip  # noqa: PLC0415 - Debian leaves it out.

    folders = [
        sysconfig.get_config_var("WHEEL_PKG_DIR"),
        Path(ensurepip.__file__).parent / "_bundled",
    ]
    for folder in filter(None, folders):
        for wheel in Path(folder).glob("pip-*.whl"):
            return wheel
    raise ImportError("no wheel of pip")


def without_places(text: str, folders: Sequence[Path]) -> str:
    """Replace addresses and absolute paths by `...`; those below `folders` may hold spaces."""
    for place in folders:
        text = re.sub(rf"{re.escape(str(place))}(?=/)", "", text)
    return _PLACE.sub("...", text)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder, links not followed."""
    total = 0
    waiting: list[str | Path] = [folder]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def run_within(
    command: Sequence[object],
    folder: Path,
    seconds: float,
    is_too_much: Callable[[], bool] = lambda: False,
) -> tuple[str, int | None]:
    """Run a command in a folder, within bounds; it and what it started end when they are passed.

    Args:
        command: program and arguments.
        folder: where it runs.
        seconds: how long it may take.
        is_too_much: asked now and then; true ends it.

    Returns:
        What it wrote, and its exit code, None where it was ended.
    """
    until = time.monotonic() + seconds
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env=_environment_variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            while True:
                left = min(_LOOK_EVERY, max(0.0, until - time.monotonic()))
                try:
                    return process.communicate(timeout=left)[0], process.returncode
                except subprocess.TimeoutExpired:
                    if time.monotonic() >= until or is_too_much():
                        _kill(process)
                        return process.communicate()[0], None
        except BaseException:
            _kill(process)
            raise


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process and those it started; where there are no groups, it alone."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _environment_variables() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _KEPT
        or name.upper().startswith("PIP_")
        or name.lower().endswith("_proxy")
    }
