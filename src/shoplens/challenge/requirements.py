"""A submission's `requirements.txt` with the files it names, read before pip is let at it.

pip reads more than a submission may be given: other files (`-r ../labels.csv`, whose lines stand in
its messages then), the harness's environment variables (`${TOKEN}` in an address), wheels of
others. So pip is given none of the submission's own files: it gets what is understood here, written
anew, and what is not is a fault.
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
_FILE_URL = re.compile(r"\bfile:", re.IGNORECASE)
_NESTED = {"-r": False, "--requirement": False, "-c": True, "--constraint": True}
"""Options that name further files; whether these only bound versions."""
_ADDRESSES = ("-i", "--index-url", "--extra-index-url")
_FOLDERS = ("-f", "--find-links")
_ALONE = ("--no-index", "--pre", "--prefer-binary", "--require-hashes")
_ARCHIVES = (".whl", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What is asked for, and what of the submission's folder that depends on."""

    root: Path
    """The submission's folder; local paths count from it."""
    file: Path
    lines: tuple[str, ...]
    """For pip to read, from the folder: of the file and those it names, without comments; continued
    lines joined."""
    constraints: tuple[str, ...]
    """Lines of the files that bound versions."""
    files: tuple[Path, ...]
    """Wheels in the folder that an installation reads, sorted."""
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
        tuple(sorted(reader.local)),
        tuple(reader.faults),
    )


class _Reader:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.lines: list[str] = []
        self.constraints: list[str] = []
        self.local: set[Path] = set()
        self.faults: list[Fault] = []
        self._visited: set[tuple[Path, bool]] = set()

    def read(self, file: Path, into: list[str]) -> None:
        """Read a file and those it names; what they ask for goes to `into`."""
        if (visit := (file, into is self.constraints)) in self._visited:
            return
        self._visited.add(visit)
        name = file.relative_to(self.root).as_posix()
        for row, line in _logical_lines(read_text(file)):
            for problem in self._take(line, file, into):
                self.faults.append(Fault(name, row, "", line[:80], problem))

    def _take(self, line: str, file: Path, into: list[str]) -> Iterator[str]:
        """Add what a line asks for; yield what is wrong with it."""
        if _VARIABLE.search(line):
            yield "names an environment variable: write out what it stands for"
            return
        if _FILE_URL.search(line):
            yield "names a file of the machine: put it into the folder and name it by its path"
            return
        if not line.isprintable() or line.endswith("\\"):
            yield "holds a character that no requirement has, or goes on where nothing follows"
            return
        try:
            tokens = shlex.split(line)
        except ValueError as error:
            yield f"cannot be read: {error}"
            return
        if line.startswith("-"):
            yield from self._take_options(tokens, file, into)
            return
        problems = [*self._local_faults(tokens)]
        problems += [
            f"has the option {token.partition('=')[0]}, which is not taken here"
            for token in tokens
            if token.startswith("-") and not token.startswith("--hash=")
        ]
        if not problems:
            into.append(line)
        yield from problems

    def _take_options(self, tokens: list[str], file: Path, into: list[str]) -> Iterator[str]:
        rest = iter(tokens)
        for token in rest:
            option, has_value, value = token.partition("=")
            if token[:2] in ("-r", "-c", "-i", "-f") and not token.startswith("--"):
                option, value = token[:2], token[2:].removeprefix("=")
                has_value = value
            if option in _ALONE and not has_value:
                into.append(option)
                continue
            if option not in (*_NESTED, *_ADDRESSES, *_FOLDERS):
                yield f"has the option {option}, which is not taken here"
                return
            value = value if has_value else next(rest, "")
            if option in _NESTED:
                yield from self._take_file(value, file, _NESTED[option] or into is self.constraints)
            elif option in _ADDRESSES:
                if value.startswith(("https://", "http://")):
                    into.append(f"{option} {value}")
                else:
                    yield f"{option} must name an address that begins with https://"
            else:
                yield from self._take_folder(value, file, into)

    def _take_file(self, value: str, file: Path, bounds: bool) -> Iterator[str]:
        target = self._inside(file.parent / value) if "://" not in value else None
        if target is None:
            yield "names a file outside of the submission's folder"
        elif not target.is_file():
            yield "names a file that is not there"
        else:
            self.read(target, self.constraints if bounds else self.lines)

    def _take_folder(self, value: str, file: Path, into: list[str]) -> Iterator[str]:
        """Take a place to find wheels in: an address, or a folder of the submission."""
        if value.startswith(("https://", "http://")):
            into.append(f"--find-links {value}")
            return
        target = self._inside(file.parent / value) if "://" not in value else None
        if target is None or not target.is_dir():
            yield "names a folder that is not in the submission's folder"
            return
        for entry in sorted(target.iterdir()):
            wheel = self._inside(entry)
            if wheel is None:
                yield f"names a folder with a link that leaves the submission's: {entry.name}"
                return
            if wheel.is_file():
                self.local.add(wheel)
        into.append(f"--find-links {shlex.quote(self._written(target))}")

    def _local_faults(self, tokens: list[str]) -> Iterator[str]:
        """Note a wheel of the submission's that a line asks for; yield why it may not."""
        for token in tokens:
            if token.startswith((";", "--")):
                return
            path = token.partition("[")[0].partition(";")[0]
            is_path = "/" in path or "\\" in path or path.startswith(".")
            if "://" in path or not (is_path or path.lower().endswith(_ARCHIVES)):
                continue
            target = self._inside(self.root / path)
            if target is None:
                yield "names a file outside of the submission's folder"
            elif not target.exists():
                yield "names a file that is not there"
            elif not (target.is_file() and target.suffix.lower() == ".whl"):
                yield "names what is no wheel: only wheels are installed, for others run code"
            else:
                self.local.add(target)

    def _inside(self, path: Path) -> Path | None:
        """Return where a path leads; None where that is outside of the folder, or nowhere."""
        try:
            target = path.resolve()
        except (OSError, RuntimeError, ValueError):  # Links in a circle, bytes no name has.
            return None
        return target if target.is_relative_to(self.root) else None

    def _written(self, path: Path) -> str:
        return f"./{path.relative_to(self.root).as_posix()}"


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
