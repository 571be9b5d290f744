"""How the command line starts: help without importing commands, and Ctrl-C at any moment."""

from __future__ import annotations

import importlib
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from conftest import Run, picture

import shoplens.cli
from shoplens.cli.commands import shoplens as program
from shoplens.cli.lazy import LazyGroup


def groups(group: click.Group, path: str = "shoplens") -> Iterator[tuple[str, click.Group]]:
    yield path, group
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from groups(command, f"{path} {name}")


GROUPS = dict(groups(program))


@pytest.mark.parametrize("path", GROUPS)
def test_the_help_lists_each_command_in_one_whole_line(
    path: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = run(*path.split()[1:], "--help").out
    listed = shown.partition("\nCommands:\n")[2].splitlines()
    names = GROUPS[path].list_commands(click.Context(GROUPS[path]))
    assert [line.split()[0] for line in listed] == list(names)
    for line in listed:
        assert len(line) <= 80
        assert line.endswith(".")
        assert not line.endswith(("...", "…."))


@pytest.mark.parametrize("path", [path for path in GROUPS if isinstance(GROUPS[path], LazyGroup)])
def test_the_table_of_commands_names_the_commands_that_there_are(path: str) -> None:
    group = GROUPS[path]
    assert isinstance(group, LazyGroup)
    context = click.Context(group)
    for name, (_, short_help) in group.subcommands.items():
        command = group.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(limit=100) == short_help


def test_no_command_is_left_out_of_the_tables() -> None:
    reached = {program}
    for group in GROUPS.values():
        context = click.Context(group)
        reached.update(group.get_command(context, name) for name in group.list_commands(context))
    for module in pkgutil.walk_packages(shoplens.cli.__path__, "shoplens.cli."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, click.Command):
                assert value in reached, f"{module.name}.{name}"


def imported_by(*words: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "shoplens", *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["challenge", "--help"]])
def test_help_and_version_import_no_command(words: list[str]) -> None:
    imported = imported_by(*words)
    assert "click" in imported
    assert not imported & {"numpy", "PIL", "rich", "jinja2", "msgspec"}
    assert not {name for name in imported if name.startswith("shoplens.")} - {
        "shoplens._version", "shoplens.cli", "shoplens.cli.challenge", "shoplens.cli.commands",
        "shoplens.cli.interrupts", "shoplens.cli.lazy", "shoplens.cli.library_warnings",
        "shoplens.errors",
    }  # fmt: skip


@pytest.mark.parametrize(
    "module",
    ["click.core", "shoplens.errors", "numpy._core", "PIL.Image", "shoplens.cli.options",
     "onnxruntime.capi._pybind_state", "onnxruntime"],
)  # fmt: skip
def test_an_interrupt_while_modules_are_imported(module: str, tmp_path: Path) -> None:
    picture(1).save(tmp_path / "photo.png")
    process = subprocess.Popen(
        # Python tells on standard error of each module when it has been imported.
        [sys.executable, "-X", "importtime", "-m", "shoplens", "search", tmp_path / "photo.png",
         "--gallery", tmp_path],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        if "import time:" not in line:
            said.append(line)
        elif line.rpartition("|")[2].strip() == module:
            process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "".join(said).strip() == "interrupted"
    assert process.stdout is not None
    assert process.stdout.read() == ""
    process.stdout.close()
    process.stderr.close()


def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    result = subprocess.run(
        [sys.executable, "-c",
         "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
         "os.execv(sys.executable, [sys.executable, '-c', '''"
         "import os, signal; from shoplens.cli.interrupts import interrupts_exit\n"
         "with interrupts_exit(): os.kill(os.getpid(), signal.SIGINT)\n"
         "print(1)''' ])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout == "1\n"


@pytest.mark.skipif(os.name == "nt", reason="pipes break differently there")
def test_a_reader_that_stops_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [sys.executable, "-m", "shoplens", "--help"],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert result.stderr == ""
    assert result.returncode == 1
