"""`shoplens challenge submit`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.intake import submit as take_in
from shoplens.challenge.registry.registry import Registry
from shoplens.cli.challenge.options import challenge_argument, team_option, who_option
from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@click.argument("submission", metavar="SUBMISSION_DIR", type=click.Path(path_type=Path))
@team_option
@click.option("--label", metavar="TEXT", help="What to call it; by default as the folder.")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TEXT",
    help="What it uses, as in 'external data' or 'batch-side re-ranking'; repeatable.",
)
@who_option
@json_option
def submit(
    challenge: Path,
    submission: Path,
    team: str,
    label: str | None,
    tags: tuple[str, ...],
    who: str | None,
    json_file: str | None,
) -> None:
    """Take a submission in: keep a copy of its folder, and put it into the queue.

    `shoplens challenge work` runs it.

    \b
    Example:
      shoplens challenge submit autumn my-first --team "Red Pandas"
    """
    receipt = take_in(
        Registry(challenge),
        submission,
        team,
        now=current(),
        label=label,
        tags=tags,
        who=who,
    )
    Results(json_file).line(
        f"submission {receipt.id} is in the queue (round {receipt.round}); "
        f"{receipt.left_today} more today"
    )
    if receipt.same_as:
        numbers = ", ".join(str(number) for number in receipt.same_as)
        message(f"warning: the team sent in the same before, as submission {numbers}")
    write_json(
        json_file,
        {
            "submission": receipt.id,
            "round": receipt.round,
            "content": receipt.content,
            "left_today": receipt.left_today,
            "same_as": list(receipt.same_as),
        },
    )
