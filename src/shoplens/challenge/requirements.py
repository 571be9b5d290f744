"""A submission's `requirements.txt` with the files it names, read before pip is let at it.

pip reads more than a submission may be given: other files (`-r ../labels.csv`, whose lines stand in
its messages then) and the harness's environment variables (`${TOKEN}` in an address). Both are
faults here. What an installation depends on is known from the same reading.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shoplens.files import read_text
from shoplens.records import Fault

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{[A-Za-z0-9_]+\}")
_NESTED = ("--requirement", "--constraint")
"""Options that name further files of requirements; pip knows them abbreviated, too."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What is asked for, and what of the submission's folder that depends on."""

    root: Path
    """The submission's folder; local paths count from it."""
    file: Path
    lines: tuple[str, ...]
    """Of the file and those it names, without comments; continued lines joined."""
    files: tuple[Path, ...]
    """What else in the folder an installation reads (wheels, sources), sorted."""
    faults: tuple[Fault, ...]

    @property
    def is_editable(self) -> bool:
        """Whether a line asks for an installation that goes on reading where it came from."""
        return any(line.startswith(("-e", "--e")) for line in self.lines)


def read_requirements(file: Path, root: Path) -> Requirements:
    """Read a file of requirements inside a submission's folder.

    Raises `DataError` when a file is not UTF-8.
    """
    reader = _Reader(root)
    reader.read(file)
    files = tuple(sorted(reader.local - reader.visited))
    return Requirements(root, file, tuple(reader.lines), files, tuple(reader.faults))


class _Reader:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.lines: list[str] = []
        self.local: set[Path] = set()
        self.visited: set[Path] = set()
        self.faults: list[Fault] = []

    def read(self, file: Path) -> None:
        if file in self.visited:
            return
        self.visited.add(file)
        name = file.relative_to(self.root).as_posix()
        for row, line in _logical_lines(read_text(file)):
            self.lines.append(line)
            for problem in self._problems(line, file):
                self.faults.append(Fault(name, row, "", line[:80], problem))

    def _problems(self, line: str, file: Path) -> Iterator[str]:
        if _VARIABLE.search(line):
            yield "names an environment variable: write out what it stands for"
        try:
            tokens = shlex.split(line)
        except ValueError as error:
            yield f"cannot be read: {error}"
            return
        for nested in _nested_files(tokens):
            if "://" in nested and not nested.startswith("file:"):
                continue
            target = (file.parent / nested).resolve()
            if not target.is_relative_to(self.root):
                yield "leaves the submission's folder"
            elif not target.is_file():
                yield "names a file that is not there"
            else:
                self.read(target)
        for token in tokens:
            self._add_local(token)

    def _add_local(self, token: str) -> None:
        """Note a wheel, an archive or a folder of the submission that a line asks for."""
        path = (self.root / token.partition("[")[0]).resolve()
        if path.is_relative_to(self.root):
            if path.is_file():
                self.local.add(path)
            elif path.is_dir():
                self.local.update(inner for inner in path.rglob("*") if inner.is_file())


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


def _nested_files(tokens: list[str]) -> Iterator[str]:
    for position, token in enumerate(tokens):
        name, has_value, value = token.partition("=")
        following = tokens[position + 1] if position + 1 < len(tokens) else ""
        if len(name) > 3 and any(option.startswith(name) for option in _NESTED):
            yield value if has_value else following
        elif token in ("-r", "-c"):
            yield following
        elif token.startswith(("-r", "-c")):
            yield token[2:].removeprefix("=")
