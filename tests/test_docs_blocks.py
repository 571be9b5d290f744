"""Runs the blocks of Python and of commands in README and docs (see docs_blocks.py)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import docs_blocks
import pytest
from conftest import ROOT
from docs_blocks import Block, Command
from server_process import serving

from shoplens.cli import main

VOLATILE = [
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?"), "DATE"),
    (re.compile(r"\b\d\d-\d\d \d\d:\d\d\b"), "DATE"),
    (re.compile(r"\b\d+\.\d( s)?$"), "SECONDS"),
]
"""What no two runs share."""


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache for all pages: they search the same photos."""
    return tmp_path_factory.mktemp("docs-cache")


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Hold the servers of a page."""
    with ExitStack() as running:
        yield running


class Reader:
    """Types the blocks of one page in one folder."""

    def __init__(
        self, folder: Path, capsys: pytest.CaptureFixture[str], servers: ExitStack
    ) -> None:
        self.home = self.folder = folder
        self.capsys = capsys
        self.servers = servers
        self.addresses: dict[str, str] = {}
        """Of servers, as pages give them, and where they are."""
        self.names: dict[str, Any] = {}

    def shoplens(self, *words: str) -> tuple[int, str]:
        """Run `shoplens`; return its exit code and all it printed."""
        self.capsys.readouterr()
        code = main(list(words))
        return code, "".join(self.capsys.readouterr())

    def run(self, block: Block, patch: pytest.MonkeyPatch) -> None:
        for shown, address in self.addresses.items():
            block = replace(block, text=block.text.replace(shown, address))
        if block.preparation is not None or block.kind in docs_blocks.CODE:
            self.folder = self.home
            patch.chdir(self.home)
        if block.preparation is not None:
            docs_blocks.PREPARATIONS[block.preparation](self.home, self.shoplens)
        if block.kind == "python":
            code = compile("\n" * block.row + block.text, str(block.page), "exec")
            exec(code, self.names)
            return
        if block.kind == "js":
            (self.home / "example.mjs").write_text(block.text, encoding="utf-8")
            self.type(Command(["node", "example.mjs"], []), block, patch)
            return
        for command in docs_blocks.commands(block):
            self.type(command, block, patch)

    def placed(self, word: str) -> str:
        """Return where a folder is that pages give no path, whatever the present folder."""
        return str(self.home / word) if word in docs_blocks.PLACEHOLDERS else word

    def type(self, command: Command, block: Block, patch: pytest.MonkeyPatch) -> None:
        program, *words = command.words
        if program == "cd":
            self.folder = self.folder / words[0]
            patch.chdir(self.folder)
            return
        if command.words[:2] == ["shoplens", "serve"] and "--check" not in words:
            self.serve([self.placed(word) for word in words[1:]])
            return
        if program == "shoplens":
            code, printed = self.shoplens(*(later(self.placed(word)) for word in words))
        elif program in PROGRAMS:
            if (found := PROGRAMS[program]) is None:
                pytest.skip(f"{program}, which {block} runs, is not on this machine")
            done = subprocess.run(
                [found, *words],
                cwd=self.folder,
                capture_output=True,
                text=True,
                check=False,
            )
            code, printed = done.returncode, done.stdout + done.stderr
        else:
            pytest.fail(f"{block}: {program} is not run by tests; mark the block")
        fails = any(line.startswith("error:") for line in command.shown)
        assert (code != 0) == fails, f"{block}: {' '.join(command.words)}: {printed}"
        lines = [normal(line) for line in printed.splitlines()]
        for line in command.shown:
            assert any(alike(normal(line), each) for each in lines), (
                f"{block}: {line!r} is not among what is printed:\n{printed}"
            )

    def serve(self, words: list[str]) -> None:
        """Start a server; `shoplens serve` would not return."""
        port = "8000"
        if "--port" in words:
            place = words.index("--port")
            _, port = words[place : place + 2]
            del words[place : place + 2]
        server = self.servers.enter_context(serving(*words))
        self.addresses[f"http://127.0.0.1:{port}"] = server.url


PROGRAMS = {"python": sys.executable, "curl": shutil.which("curl"), "node": shutil.which("node")}
"""Other programs that pages run, and where they are; None where one is not."""


def later(word: str) -> str:
    """Move a date of the pages to next year, so that their challenge has not ended yet."""
    year = datetime.now(timezone.utc).year + 1
    return re.sub(r"^20\d\d(?=-\d\d-\d\d)", str(year), word)


def normal(line: str) -> list[str]:
    """Return a line's words, without what no two runs share."""
    for pattern, word in VOLATILE:
        line = pattern.sub(word, line)
    return [word.strip("(,)") for word in line.split()]


def alike(shown: list[str], printed: list[str]) -> bool:
    """Tell whether a line shows the words of a printed one, in their order.

    Some may be left out: a terminal hides empty columns. Scores differ a little between processors.
    """
    rest = iter(printed)
    return all(any(word == each or same_score(word, each) for each in rest) for word in shown)


def same_score(shown: str, printed: str) -> bool:
    score = re.compile(r"[01]\.\d{3,4}")
    both = score.fullmatch(shown) and score.fullmatch(printed)
    return bool(both) and abs(float(shown) - float(printed)) <= 0.002


PAGES_TO_RUN = [
    page for page in docs_blocks.PAGES if any(not b.not_run for b in docs_blocks.blocks(page))
]


@pytest.mark.parametrize("page", PAGES_TO_RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(
    page: Path,
    tmp_path: Path,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    servers: ExitStack,
) -> None:
    monkeypatch.setenv("SHOPLENS_CACHE", str(shared_cache))
    monkeypatch.setenv("LOGNAME", "root")
    monkeypatch.chdir(tmp_path)
    docs_blocks.furnish(tmp_path)
    reader = Reader(tmp_path, capsys, servers)
    for block in docs_blocks.blocks(page):
        if block.not_run is None:
            reader.run(block, monkeypatch)


def test_every_block_is_run_or_marked(record_property: Any) -> None:
    found = [block for page in docs_blocks.PAGES for block in docs_blocks.blocks(page)]
    marked = [block for block in found if block.not_run]
    ran = [block for block in found if block.page in PAGES_TO_RUN and not block.not_run]
    print(f"{len(found)} blocks: {len(ran)} are run, {len(marked)} are marked as not run")
    for block in marked:
        print(f"  {block}: {block.not_run}")
    assert len(ran) + len(marked) == len(found)
    assert {block.preparation for block in ran} - {None} == set(docs_blocks.PREPARATIONS)


def test_blocks_are_read_as_their_page_means_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```\na b && c  # d\n\ne\n```\n<!-- not run: x -->\n```python\n1\n```\n"
        "```text\nno\n```\n```console\n$ f \\\n    g\nshown\n$ h\n```\n"
    )
    first, second, third = docs_blocks.blocks(page)
    assert [c.words for c in docs_blocks.commands(first)] == [["a", "b"], ["c"], ["e"]]
    assert (second.row, second.kind, second.not_run) == (7, "python", "x")
    typed = list(docs_blocks.commands(third))
    assert typed == [Command(["f", "g"], ["shown"]), Command(["h"], [])]


@pytest.mark.parametrize("text", ["```pyton\n1\n```\n", "<!-- norun: x -->\n```\na\n```\n"])
def test_a_block_or_marker_of_no_kind_is_refused(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md, line"):
        docs_blocks.blocks(page)
