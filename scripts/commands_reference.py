"""The reference of the command line, written from the commands themselves.

python scripts/commands_reference.py > commands.md
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from shoplens.cli.commands import shoplens

INTRODUCTION = """\
# Commands

This page is made from the commands themselves: it says what `shoplens COMMAND --help` says. What
the commands have in common is described in [The command line](../cli.md).

"""


def commands_page() -> str:
    """Return a Markdown page with a section for every command."""
    root = click.Context(shoplens, info_name="shoplens")
    sections = [_section(context) for context in _walk(root) if context is not root]
    return INTRODUCTION + "\n".join(sections)


def _walk(context: click.Context) -> Iterator[click.Context]:
    """Yield the context of a command and of all commands below it."""
    yield context
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None and not command.hidden:
                yield from _walk(click.Context(command, info_name=name, parent=context))


def _section(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"## {context.command_path}\n", f"```text\n{usage}\n```\n", *_text(command.help or "")]
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    rows = [record for option in options if (record := option.get_help_record(context))]
    if rows:
        parts.append("| option | meaning |\n|---|---|")
        parts += [f"| `{_cell(names)}` | {_cell(_escaped(words))} |" for names, words in rows]
        parts.append("")
    return "\n".join(parts)


def _text(help_text: str) -> Iterator[str]:
    r"""Yield a command's help as Markdown; a paragraph marked \b is shown as it is written."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(help_text).split("\f")[0]):
        if paragraph.startswith("\b"):
            lines = paragraph.split("\n")[1:]
            if lines and not lines[0].startswith(" ") and lines[0].endswith(":"):
                yield _escaped(lines.pop(0)) + "\n"
            yield "```text\n" + inspect.cleandoc("\n".join(lines)) + "\n```\n"
        else:
            yield _escaped(paragraph) + "\n"


def _escaped(text: str) -> str:
    """Keep Markdown from reading marks that stand outside `code`."""
    code_at_odd = text.split("`")
    for index in range(0, len(code_at_odd), 2):
        code_at_odd[index] = re.sub(r"([\\*_<>\[\]])", r"\\\1", code_at_odd[index])
    return "`".join(code_at_odd)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(commands_page())
