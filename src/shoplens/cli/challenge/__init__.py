"""The `shoplens challenge` commands: one module each."""

from __future__ import annotations

import click

from shoplens.cli.challenge.new import new
from shoplens.cli.challenge.run import run


@click.group()
def challenge() -> None:
    """Take part in a challenge, or run one."""


for _command in (
    new,
    run,
):
    challenge.add_command(_command)
