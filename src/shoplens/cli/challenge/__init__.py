"""The `shoplens challenge` commands: one module each."""

from __future__ import annotations

import click

from shoplens.cli.challenge.create import create
from shoplens.cli.challenge.declare import declarations, declare
from shoplens.cli.challenge.end import end
from shoplens.cli.challenge.events import events
from shoplens.cli.challenge.leaderboard import leaderboard
from shoplens.cli.challenge.new import new
from shoplens.cli.challenge.note import note
from shoplens.cli.challenge.retry import retry
from shoplens.cli.challenge.run import run
from shoplens.cli.challenge.seeking import seeking
from shoplens.cli.challenge.select import select
from shoplens.cli.challenge.site import site
from shoplens.cli.challenge.status import status
from shoplens.cli.challenge.submissions import submissions
from shoplens.cli.challenge.submit import submit
from shoplens.cli.challenge.tag import tag
from shoplens.cli.challenge.team import team
from shoplens.cli.challenge.work import work


@click.group()
def challenge() -> None:
    """Take part in a challenge, or run one."""


for _command in (
    # Taking part.
    new,
    run,
    # Running one, in the order of its life.
    create,
    status,
    team,
    seeking,
    declare,
    declarations,
    submit,
    work,
    retry,
    submissions,
    select,
    note,
    tag,
    end,
    events,
    leaderboard,
    site,
):
    challenge.add_command(_command)
