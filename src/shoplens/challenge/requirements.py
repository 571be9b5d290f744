"""A submission's `requirements.txt` with the files it names, read before pip is let at it.

Packages come from the organiser's index, or are wheels in the submission's folder. pip would take
more: addresses and other indexes (the organiser's machine then asks whatever address a stranger
names), other files (`-r ../labels.csv`, whose lines then stand in its messages), environment
variables (`${TOKEN}`). So pip gets none of the submission's own files: it gets what is understood
here, written anew. Everything else is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from shoplens.challenge.wheels import wheel_problem
from shoplens.files import read_text
from shoplens.records import Fault

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{\w+\}")
_OPTION = re.compile(r"(-[rc]|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(\S+)")
"""The options that are taken: they name further files."""
_PATH = re.compile(r"([\w.+!/-]+)(\[[\w.,\s-]*\])?")
_ARCHIVES = (".whl", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_FROM_INDEX = "packages come from the organiser's index"
_SHOWN = 80
"""Characters of a faulty line that are shown."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What is asked for, and what of the submission's folder that depends on."""

    root: Path
    """The submission's folder; local paths count from it."""
    file: Path
    lines: tuple[str, ...]
    """For pip to read, from the folder: requirements and paths of wheels."""
    constraints: tuple[str, ...]
    """Requirements that only bound versions."""
    files: tuple[Path, ...]
    """Wheels in the folder that are asked for, sorted."""
    faults: tuple[Fault, ...]


def read_requirements(file: Path, root: Path) -> Requirements:
    """Read a file of requirements inside a submission's folder (an absolute path, resolved).

    Raises `DataError` when a file is not UTF-8.
    """
    reader = _Reader(root)
    reader.read(file, reader.lines)
    return Requirements(
        root,
        file,
        tuple(reader.lines),
        tuple(reader.constraints),
        tuple(sorted(reader.wheels)),
        tuple(reader.faults),
    )


class _Reader:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.lines: list[str] = []
        self.constraints: list[str] = []
        self.wheels: set[Path] = set()
        self.faults: list[Fault] = []
        self._visited: set[tuple[Path, bool]] = set()

    def read(self, file: Path, into: list[str]) -> None:
        """Read a file and those it names; what they ask for goes to `into`."""
        if (visit := (file, into is self.constraints)) in self._visited:
            return
        self._visited.add(visit)
        name = file.relative_to(self.root).as_posix()
        for row, line in _logical_lines(read_text(file)):
            if problem := self._take(line, file, into):
                self.faults.append(Fault(name, row, "", line[:_SHOWN], problem))

    def _take(self, line: str, file: Path, into: list[str]) -> str:
        """Add what a line asks for; return what is wrong with it, if anything."""
        if _VARIABLE.search(line):
            return "names an environment variable: write out its value"
        if not line.isprintable() or line.endswith("\\"):
            return "holds a character that no requirement has, or ends where it should go on"
        if found := _OPTION.fullmatch(line):
            option, value = found.groups()
            bounds = option in ("-c", "--constraint") or into is self.constraints
            return self._take_file(value, file, self.constraints if bounds else self.lines)
        for word in line.split():
            if word.startswith("-"):
                option = word.partition("=")[0][:_SHOWN]
                return f"has the option {option}: {_FROM_INDEX}; only -r and -c FILE are taken"
        wanted, semicolon, marker = (part.strip() for part in line.partition(";"))
        if ":" in wanted:
            return (
                f"names an address: {_FROM_INDEX}; for another, put its wheel into the folder "
                "and name that by its path"
            )
        if _is_path(wanted):
            return self._take_wheel(wanted, semicolon + marker, into)
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            return f"is not a requirement: {str(error).splitlines()[0]}"
        if requirement.url is not None:
            return f"names an address: {_FROM_INDEX}"
        into.append(str(requirement))
        return ""

    def _take_file(self, value: str, file: Path, into: list[str]) -> str:
        target = self._inside(file.parent / value)
        if target is None or ":" in value:
            return "names a file outside of the submission's folder"
        if not target.is_file():
            return "names a file that is not there"
        self.read(target, into)
        return ""

    def _take_wheel(self, wanted: str, marker: str, into: list[str]) -> str:
        found = _PATH.fullmatch(wanted)
        if found is None:
            return "names a file with characters besides letters, digits and ._+!-"
        path, extras = found.groups()
        target = self._inside(self.root / path)
        if target is None or path.startswith("/"):
            return "names a file outside of the submission's folder"
        if not target.exists():
            return "names a file that is not there"
        if not (target.is_file() and path.lower().endswith(".whl")):
            return "is not a wheel: only wheels are installed, because others run code to be built"
        if into is self.constraints:
            return "names a wheel, where only versions are bounded"
        if problem := wheel_problem(target):
            return problem
        if marker:
            try:
                marker = f"; {Requirement(f'wheel{marker}').marker}"
            except InvalidRequirement:
                return "has a condition after ; that cannot be read"
        self.wheels.add(target)
        into.append(f"./{path.removeprefix('./')}{extras or ''}{marker}")
        return ""

    def _inside(self, path: Path) -> Path | None:
        """Return where a path leads; None where that is outside of the folder, or nowhere."""
        try:
            target = path.resolve()
        except (OSError, RuntimeError, ValueError):  # Links in a circle, bytes no name has.
            return None
        return target if target.is_relative_to(self.root) else None


def _is_path(wanted: str) -> bool:
    """Whether pip would take this for a file and not for a name."""
    path = wanted.partition("[")[0].strip()
    return "/" in path or "\\" in path or path.startswith(".") or path.lower().endswith(_ARCHIVES)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield what pip takes for lines, each with the row it begins in."""
    begun, joined = 0, ""
    lines = text.splitlines()
    for row, line in enumerate(lines, start=1):
        begun = begun or row
        if line.endswith("\\") and row < len(lines) and not line.lstrip().startswith("#"):
            joined += line[:-1]
            continue
        whole = _COMMENT.sub("", joined + line).strip()
        if whole:
            yield begun, whole
        begun, joined = 0, ""
