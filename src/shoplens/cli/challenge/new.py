"""`shoplens challenge new`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from shoplens.challenge.kit import RANKERS, Ranker, sample_folder, write_submission
from shoplens.cli.console import message, write_json
from shoplens.cli.options import json_option


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", metavar="TEXT", help="What to call it; by default the name of the folder.")
@click.option(
    "--ranker",
    type=click.Choice(RANKERS),
    default="shoplens",
    show_default=True,
    help="The ranker to start from: one that uses a model of shoplens, or a random one.",
)
@json_option
def new(folder: Path, name: str | None, ranker: Ranker, json_file: str | None) -> None:
    """Write a working submission to start from, into a new folder DIR.

    \b
    Example:
      shoplens challenge new my-first
      cd my-first
      python local_evaluation.py
    """
    files = write_submission(folder, name=name, ranker=ranker)
    sample = shlex.quote(str(sample_folder()))
    message(f"wrote {folder}: {len(files)} files, a submission that you can run at once")
    message("")
    message("Score it on the sample data, then run it as the challenge does:")
    message(f"  cd {shlex.quote(str(folder))}")
    message("  python local_evaluation.py")
    message(f"  shoplens challenge run . --data {sample}")
    message("")
    message(f"Its ranker is in {Path('my_submission', f'{ranker}_ranker.py')}.")
    write_json(json_file, {"folder": str(folder.absolute()), "ranker": ranker, "files": files})
