"""A group of commands that imports a command when it is used: help and `--version` are quick."""

from __future__ import annotations

import importlib
import keyword
from collections.abc import Mapping
from typing import Any

import click

from shoplens.cli.interrupts import interrupts_exit


class LazyGroup(click.Group):
    """Commands by name, in the order in which the help lists them.

    Args:
        subcommands: for each name, the module that defines a command of that name, and the line
            about it in the group's help. A line that is longer than a terminal is wide is wrapped.
        attributes: what `click.Group` takes.
    """

    def __init__(self, *, subcommands: Mapping[str, tuple[str, str]], **attributes: Any) -> None:
        super().__init__(**attributes)
        self.subcommands = subcommands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names."""
        return list(self.subcommands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none of that name."""
        if cmd_name not in self.subcommands:
            return None
        module, short_help = self.subcommands[cmd_name]
        with interrupts_exit():
            # `import` is a word of Python: its function has an underscore more.
            name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
            command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{name} is not a command")
        command.short_help = short_help
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in self.subcommands.items()])
