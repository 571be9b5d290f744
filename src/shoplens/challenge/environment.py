"""A submission's Python environment, made once for all submissions that ask for the same packages.

Only this step uses the network. Nothing of a submission may run here, outside its limits: packages
come as wheels, which are only unpacked. Packages that have to be built (source archives,
repositories, folders) would run their own code, and are refused.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import secrets
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from shoplens.challenge.installer import Installer, bundled_pip
from shoplens.challenge.pins import RelaxedPin, relax_pins
from shoplens.challenge.removal import remove_folder
from shoplens.challenge.requirements import Requirements
from shoplens.errors import MissingError
from shoplens.files import read_text, write_text
from shoplens.json_text import parse_json
from shoplens.progress import Progress, silent

ALWAYS = "numpy"
"""Installed besides: an answer is an array."""
INSTALL_SECONDS = 1800.0
INSTALL_BYTES = 20 * 10**9
"""How large an environment may be: torch for graphics processors takes a third of it."""

_STAGE = "environment"


@dataclass(frozen=True, slots=True)
class Environment:
    """What a submission runs with."""

    python: Path
    """The interpreter."""
    relaxed_pins: tuple[RelaxedPin, ...] = ()
    """Packages that were installed in another version than the submission asks for."""


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What is written down of an environment once it is complete."""

    folder: str
    """Its name, beside the stamp."""
    python: str
    """The version of Python."""
    lines: tuple[str, ...]
    """What was asked for."""
    relaxed_pins: tuple[RelaxedPin, ...] = ()


def make_environment(
    requirements: Requirements,
    environments: Path,
    *,
    relaxing_pins: bool = False,
    seconds: float = INSTALL_SECONDS,
    size: int = INSTALL_BYTES,
    progress: Progress = silent,
) -> Environment:
    """Return an environment with the requirements installed.

    An environment is found by what it was made of: lines, local files, Python and platform. It is
    used only once it is complete; what a killed process left behind is never used.

    Args:
        requirements: without faults.
        environments: the folder of all environments; it is made where it is not there.
        relaxing_pins: install the nearest version that exists where a pinned one does not.
        seconds: how long an installation may take.
        size: how many bytes it may come to.
        progress: told of the steps.

    Raises:
        MissingError: this Python cannot make virtual environments.
        ShoplensError: the installation failed, took too long or grew too large; the message ends
            with what pip said last.
    """
    stamp = environments / f"{_key(requirements, relaxing_pins)}.json"
    known = _environment_of(stamp)
    if known is not None:
        return known
    environments.mkdir(parents=True, exist_ok=True)
    # Packages and scripts write down where they are, so it is never moved: the stamp, written
    # last and in one step, says which folder is complete.
    folder = environments.absolute() / f"{stamp.stem}.{secrets.token_hex(4)}"
    progress(_STAGE, 0, 2)
    try:
        installer = _make_empty(folder, requirements.root)
        progress(_STAGE, 1, 2)
        wanted, replaced = (
            _relaxed(requirements, installer) if relaxing_pins else (requirements, ())
        )
        installer.install(wanted.lines, wanted.constraints, ALWAYS, seconds, size)
    except BaseException:
        remove_folder(folder)
        raise
    other = _environment_of(stamp)
    if other is not None:  # Another process was quicker.
        remove_folder(folder)
        return other
    told = _Stamp(folder.name, platform.python_version(), requirements.lines, replaced)
    write_text(stamp, msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n")
    progress(_STAGE, 2, 2)
    return Environment(installer.python, replaced)


def folders_of(python: Path) -> tuple[Path, ...] | None:
    """Return what an environment made here consists of: its own folder, and Python's.

    Nothing is run for it: starting the interpreter runs code that packages leave behind (`.pth`
    files), and its `sys.path` may name any folder. None for an interpreter from elsewhere.
    """
    folder = python.absolute().parent.parent
    if not folder.name:
        return None
    stamp = folder.with_name(f"{folder.name.partition('.')[0]}.json")
    known = _environment_of(stamp)
    if known is None or known.python != python.absolute():
        return None
    return folder, Path(sys.base_prefix)


def _key(requirements: Requirements, relaxing_pins: bool) -> str:
    """Return a hash of all that an environment follows from."""
    parts = [
        platform.python_version(),
        sysconfig.get_platform(),
        ALWAYS,
        *(["relaxing pins"] if relaxing_pins else []),
        *requirements.lines,
        "",
        *requirements.constraints,
    ]
    for file in requirements.files:
        parts += [file.relative_to(requirements.root).as_posix(), _sha256(file)]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _environment_of(stamp: Path) -> Environment | None:
    """Return a complete environment."""
    if not stamp.is_file():
        return None
    told = parse_json(read_text(stamp), _Stamp, str(stamp))
    python = _python_in(stamp.absolute().parent / told.folder)
    return Environment(python, told.relaxed_pins) if python.is_file() else None


def _python_in(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _make_empty(folder: Path, root: Path) -> Installer:
    """Make an environment without packages; return what installs them."""
    try:
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
        return Installer(_python_in(folder), bundled_pip(), root)
    except (ImportError, subprocess.CalledProcessError):
        raise MissingError(
            "this Python cannot make virtual environments; on Debian and Ubuntu: "
            "apt install python3-venv"
        ) from None


def _relaxed(
    requirements: Requirements, installer: Installer
) -> tuple[Requirements, tuple[RelaxedPin, ...]]:
    """Replace pinned versions that do not exist for this Python."""
    versions_of = functools.cache(installer.versions_of)
    lines, replaced = relax_pins(requirements.lines, versions_of)
    constraints, also = relax_pins(requirements.constraints, versions_of)
    relaxed = replace(requirements, lines=lines, constraints=constraints)
    return relaxed, tuple(dict.fromkeys((*replaced, *also)))
