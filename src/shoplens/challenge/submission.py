"""A submission's folder: what it says about itself, and which packages it asks for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from shoplens.challenge.contents import require_bounded
from shoplens.challenge.environment import Environment, make_environment
from shoplens.challenge.requirements import Requirements, read_requirements
from shoplens.errors import DataError, MissingError, ShoplensError
from shoplens.files import read_text
from shoplens.json_text import parse_object
from shoplens.progress import Progress, silent
from shoplens.records import Fault

CONFIG = "aicrowd.json"
REQUIREMENTS = "requirements.txt"
APT = "apt.txt"
USER_CONFIG = "my_submission/user_config.py"

_LARGEST = 2**20
"""Bytes that a file which describes a submission may have."""
_SHOWN = 80
"""Characters of a faulty value that are shown."""


@dataclass(frozen=True, slots=True)
class AICrowdConfig:
    """What `aicrowd.json` says."""

    challenge_id: str
    authors: tuple[str, ...]
    gpu: bool = False
    """Whether it asks for a graphics processor."""
    description: str = ""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Keys that shoplens does not know, with their values."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A folder that can be run: `my_submission/user_config.py` exists, `aicrowd.json` is valid."""

    folder: Path
    """Absolute, links resolved."""
    config: AICrowdConfig
    requirements: Path | None = None
    """Its `requirements.txt`; None if there is none, or it names nothing."""
    apt_packages: tuple[str, ...] = ()
    """Debian packages that its `apt.txt` asks for; shoplens does not install them."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What it asks for and does not get, one sentence each."""
        if not self.apt_packages:
            return ()
        names = ", ".join(self.apt_packages)
        return (f"{APT} asks for Debian packages, which shoplens does not install: {names}",)


def read_submission(folder: str | Path) -> Submission:
    """Read a submission's folder without running anything in it.

    Links that leave the folder are refused: what they lead to does not belong to the team.

    Raises:
        MissingError: there is no such folder, no `aicrowd.json` or no
            `my_submission/user_config.py`.
        DataError: files are faulty; every fault is in its `faults`. Or the folder is too deep or
            holds too much (see `shoplens.challenge.contents`).
        ShoplensError: a file is too large, or is a link that leaves the folder.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise MissingError(f"no submission at {folder}: `shoplens challenge new DIR` writes one")
    if _file(root, USER_CONFIG) is None:
        raise MissingError(
            f"{root} has no {USER_CONFIG}, the file that binds My_Ranker to the class to run "
            "(`shoplens challenge new DIR` writes a submission to compare with)"
        )
    try:
        require_bounded(root)
    except OSError as error:
        raise ShoplensError(f"{folder} cannot be read: {error}") from error
    config, faults = _read_config(root)
    requirements = _read_requirements(root)
    if requirements is not None:
        faults += requirements.faults
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise DataError(f"{root} cannot be run as it is: {count}", faults)
    apt = _file(root, APT)
    return Submission(
        root,
        config,
        requirements.file if requirements is not None and requirements.lines else None,
        () if apt is None else tuple(_words(read_text(apt))),
    )


def prepare_environment(
    submission: Submission,
    environments: Path,
    *,
    relaxing_pins: bool = False,
    progress: Progress = silent,
) -> Environment:
    """Return the environment that a submission runs in; its packages are installed.

    A submission that asks for nothing runs with this interpreter. Others get an environment of
    their own with what they ask for and NumPy, made once (see `shoplens.challenge.environment`).
    Only the making uses the network.

    Args:
        submission: as `read_submission` returns it.
        environments: the folder that environments are kept in.
        relaxing_pins: install the nearest version that exists where a pinned one does not.
        progress: told of the steps.

    Raises:
        ShoplensError: an installation failed; the message ends with what pip said last.
        MissingError: this Python cannot make virtual environments.
    """
    requirements = _read_requirements(submission.folder)
    if requirements is None or not requirements.lines:
        return Environment(Path(sys.executable))
    return make_environment(
        requirements, environments, relaxing_pins=relaxing_pins, progress=progress
    )


def _read_requirements(root: Path) -> Requirements | None:
    file = _file(root, REQUIREMENTS)
    return None if file is None else read_requirements(file, root)


def _file(root: Path, name: str) -> Path | None:
    """Return a file of the submission; None where it is not there."""
    path = root / name
    if not path.exists():
        return None
    if not path.resolve().is_relative_to(root):
        raise ShoplensError(f"{path} is a link that leaves the submission's folder")
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise ShoplensError(f"{path} must be a file of at most {_LARGEST:,} bytes")
    return path


def _words(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from line.partition("#")[0].split()


_Text = Annotated[str, msgspec.Meta(pattern=r"\S")]
_KEYS: Mapping[str, tuple[Any, str]] = {
    "challenge_id": (_Text, "must be a text that is not empty"),
    "authors": (
        Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)],
        "must be a list of at least one name",
    ),
    "gpu": (bool, "must be true or false"),
    "description": (str, "must be a text"),
}
"""The keys of `aicrowd.json`: their types, and what they must be, in words."""


def _read_config(root: Path) -> tuple[AICrowdConfig, list[Fault]]:
    """Return what `aicrowd.json` says; of no use where there are faults."""
    file = _file(root, CONFIG)
    if file is None:
        raise MissingError(
            f'{root} has no {CONFIG}; it holds {{"challenge_id": "...", "authors": ["..."], '
            '"gpu": false, "description": "..."}'
        )
    known: dict[str, Any] = {"challenge_id": None, "authors": None}
    try:
        values = parse_object(read_text(file), "the file")
    except DataError as error:
        return AICrowdConfig("", ()), [Fault(CONFIG, 0, "", "", str(error))]
    known |= {key: values.pop(key) for key in _KEYS if key in values}
    faults = []
    for key, value in known.items():
        kind, problem = _KEYS[key]
        try:
            known[key] = msgspec.convert(value, kind)
        except msgspec.ValidationError:
            shown = "" if value is None else msgspec.json.encode(value).decode()[:_SHOWN]
            faults.append(Fault(CONFIG, 0, key, shown, problem))
    if faults:
        return AICrowdConfig("", ()), faults
    return AICrowdConfig(**known, others=values), []
