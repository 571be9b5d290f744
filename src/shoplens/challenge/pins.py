"""Versions that a submission pins: the nearest that exist, and what is installed instead."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from shoplens.challenge.requirements import read_requirements


@dataclass(frozen=True, slots=True)
class RelaxedPin:
    """A package that was installed in another version than a submission asks for."""

    name: str
    asked: str
    """As in `requirements.txt`: `==1.21.5`."""
    installed: str
    """The version."""

    def __str__(self) -> str:
        """Return a sentence."""
        return (
            f"requirements.txt asks for {self.name}{self.asked}, which does not exist for Python "
            f"{platform.python_version()}; {self.name} {self.installed} was installed"
        )


def relax_pins(
    lines: Sequence[str], versions_of: Callable[[str], Sequence[str]]
) -> tuple[tuple[str, ...], tuple[RelaxedPin, ...]]:
    """Replace pinned versions that do not exist by the nearest that do.

    The nearest is the lowest version above the pinned one, or else the highest below it.

    Args:
        lines: requirements, as `read_requirements` returns them.
        versions_of: returns the versions of a package that can be installed, by its name.

    Returns:
        The lines, and what was replaced in them.
    """
    relaxed, replaced = [], []
    for line in lines:
        pin = _relaxed(line, versions_of)
        if pin is None:
            relaxed.append(line)
            continue
        requirement = Requirement(line)
        requirement.specifier = SpecifierSet(f"=={pin.installed}")
        relaxed.append(str(requirement))
        replaced.append(pin)
    return tuple(relaxed), tuple(dict.fromkeys(replaced))


def unmet_requirements(submission: Path) -> tuple[str, ...]:
    """Return, a sentence each, what a submission asks for and this Python does not have.

    Raises `DataError` when its `requirements.txt` is not UTF-8.
    """
    file = submission.resolve() / "requirements.txt"
    if not file.is_file():
        return ()
    notes = []
    for line in read_requirements(file, file.parent).lines:
        requirement = _read(line)
        if requirement is None:
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            installed = None
        if installed is None or not requirement.specifier.contains(installed, prereleases=True):
            notes.append(
                f"requirements.txt asks for {requirement.name}{requirement.specifier}; "
                f"this Python has {installed or 'none'}"
            )
    return tuple(notes)


def _relaxed(line: str, versions_of: Callable[[str], Sequence[str]]) -> RelaxedPin | None:
    requirement = _read(line)
    pinned = None if requirement is None else _pinned(requirement.specifier)
    if requirement is None or pinned is None:
        return None
    versions = sorted(Version(text) for text in versions_of(requirement.name))
    if not versions or any(requirement.specifier.contains(v, prereleases=True) for v in versions):
        return None
    nearest = next((v for v in versions if v >= pinned), versions[-1])
    return RelaxedPin(requirement.name, str(requirement.specifier), str(nearest))


def _read(line: str) -> Requirement | None:
    """Return a requirement that holds here; None for wheels and for other systems' packages."""
    try:
        requirement = Requirement(line)
    except InvalidRequirement:  # The path of a wheel.
        return None
    return None if requirement.marker and not requirement.marker.evaluate() else requirement


def _pinned(specifiers: SpecifierSet) -> Version | None:
    """Return the version that requirements hold on to, without its local part; None if none."""
    for one in specifiers:
        if one.operator in ("==", "===", "~="):
            try:
                return Version(Version(one.version.removesuffix(".*")).public)
            except InvalidVersion:
                return None
    return None
