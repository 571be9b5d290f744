"""A submission's own Python environment, made once for all that ask for the same packages.

Making one is the only step that uses the network. Nothing of a submission may run here, outside its
limits: packages come as wheels, which are only unpacked. What has to be built (source archives,
repositories, folders) runs code of its own for that, and is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from shoplens.challenge.removal import remove_folder
from shoplens.challenge.requirements import Requirements
from shoplens.errors import MissingError, ShoplensError
from shoplens.files import read_text, write_text
from shoplens.progress import Progress, silent

ALWAYS = "numpy"
"""Installed besides: an answer is an array."""
INSTALL_SECONDS = 1800.0
INSTALL_BYTES = 20 * 10**9
"""How large an environment may be: torch for graphics processors takes a third of it."""

_SHOWN_LINES = 15
_HINT = (
    "Only wheels are installed: what has to be built would run its code outside the limits. For a "
    "submission you trust, make an environment yourself and name its interpreter with --python."
)
_STAGE = "environment"
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


def make_environment(
    requirements: Requirements,
    environments: Path,
    *,
    seconds: float = INSTALL_SECONDS,
    size: int = INSTALL_BYTES,
    progress: Progress = silent,
) -> Path:
    """Return the interpreter of an environment with the requirements installed.

    An environment is found by what it was made of: lines, local files, Python and platform. It
    counts from the moment it is complete; what a run that was killed left behind is never used.

    Args:
        requirements: without faults.
        environments: the folder of all environments; it is made where it is not there.
        seconds: how long an installation may take.
        size: how many bytes it may come to.
        progress: told of the steps.

    Raises:
        MissingError: this Python cannot make virtual environments.
        ShoplensError: the installation failed, took too long or grew too large; the message ends
            with what pip said last.
    """
    stamp = environments / f"{_key(requirements)}.json"
    known = _interpreter_of(stamp)
    if known is not None:
        return known
    environments.mkdir(parents=True, exist_ok=True)
    # Packages and scripts write down where they lie, so it is never moved: the stamp, written
    # last and in one step, says which folder is complete.
    folder = environments.absolute() / f"{stamp.stem}.{secrets.token_hex(4)}"
    progress(_STAGE, 0, 2)
    try:
        _install(folder, requirements, seconds, size, progress)
    except BaseException:
        remove_folder(folder)
        raise
    other = _interpreter_of(stamp)
    if other is not None:  # Another process was quicker.
        remove_folder(folder)
        return other
    told = {"folder": folder.name, "python": platform.python_version(), "lines": requirements.lines}
    write_text(stamp, json.dumps(told, indent=2) + "\n")
    progress(_STAGE, 2, 2)
    return _python_in(folder)


def folders_of(python: Path) -> tuple[Path, ...] | None:
    """Return what an environment made here consists of: its own folder, and Python's.

    Nothing is run for it: starting the interpreter runs code that packages leave behind (`.pth`
    files), and its `sys.path` may name any folder. None for an interpreter from elsewhere.
    """
    folder = python.absolute().parent.parent
    if not folder.name:
        return None
    stamp = folder.with_name(f"{folder.name.partition('.')[0]}.json")
    if _interpreter_of(stamp) != python.absolute():
        return None
    return folder, Path(sys.base_prefix)


def _key(requirements: Requirements) -> str:
    """Return a hash of all that an environment follows from."""
    parts = [
        platform.python_version(),
        sysconfig.get_platform(),
        ALWAYS,
        *requirements.lines,
        "",
        *requirements.constraints,
    ]
    for file in requirements.files:
        parts += [file.relative_to(requirements.root).as_posix(), _sha256(file)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _interpreter_of(stamp: Path) -> Path | None:
    """Return the interpreter of a complete environment."""
    if not stamp.is_file():
        return None
    python = _python_in(stamp.absolute().parent / json.loads(read_text(stamp))["folder"])
    return python if python.is_file() else None


def _python_in(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _install(
    folder: Path, requirements: Requirements, seconds: float, size: int, progress: Progress
) -> None:
    """Make an environment and let pip fill it; what pip says is shown only where it fails."""
    try:
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
        pip = _bundled_pip()
    except (ImportError, subprocess.CalledProcessError):
        raise MissingError(
            "this Python cannot make virtual environments; on Debian and Ubuntu: "
            "apt install python3-venv"
        ) from None
    progress(_STAGE, 1, 2)
    # Isolated (-I): a json.py of the submission must not be imported here.
    command: list[object] = [_python_in(folder), "-I", "-c", _WHEELS_ONLY, pip]
    command += ["--disable-pip-version-check", "--no-input", "install", "--only-binary=:all:"]
    for option, lines in (("-r", requirements.lines), ("-c", requirements.constraints)):
        file = folder.absolute() / f"asked{option}.txt"
        write_text(file, "".join(f"{line}\n" for line in lines))
        command += [option, file]
    output, code = run_within(
        [*command, ALWAYS], requirements.root, seconds, lambda: size_of(folder) > size
    )
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
        "\n".join(f"  {line}" for line in told[-_SHOWN_LINES:]), [folder, requirements.root]
    )
    name = requirements.file.relative_to(requirements.root)
    raise ShoplensError(f"installing {name} {what}; pip's last lines:\n{last}\n{_HINT}")


def without_places(text: str, folders: Sequence[Path]) -> str:
    """Replace addresses and absolute paths by `...`; those below `folders` may hold spaces."""
    for place in folders:
        text = re.sub(rf"{re.escape(str(place))}(?=/)", "", text)
    return _PLACE.sub("...", text)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder, links not followed."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
    return total


def _bundled_pip() -> Path:
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
