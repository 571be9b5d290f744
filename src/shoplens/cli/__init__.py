"""The `shoplens` command: one module per subcommand."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import click

from shoplens._version import __version__
from shoplens.cli.cache import cache
from shoplens.cli.challenge import challenge
from shoplens.cli.check import check
from shoplens.cli.compare import compare
from shoplens.cli.console import message, warnings_told
from shoplens.cli.dataset import dataset
from shoplens.cli.demo import demo
from shoplens.cli.embed import embed
from shoplens.cli.evaluate import evaluate
from shoplens.cli.export import export
from shoplens.cli.models import models
from shoplens.cli.rank import rank
from shoplens.cli.report import report
from shoplens.cli.search import search
from shoplens.cli.train import train
from shoplens.errors import ShoplensError

__all__ = ["main"]

INTERRUPTED = 130
USAGE = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="shoplens")
def shoplens() -> None:
    """Image-based product search: a photo and a box in, the same product out of a catalogue.

    \b
    First steps:
      shoplens demo                        search the sample data, open the page it writes
      shoplens check DATASET               look a dataset through for faults
      shoplens evaluate DATASET            embed, rank and score it
      shoplens search PHOTO --box 120,40,300,200 --gallery FOLDER

    \b
    Exit codes: 0 done; 1 the work found faults; 2 wrong usage; 3 a needed file or extra is
    missing; 130 interrupted.
    """


for _command in (
    check, embed, rank, evaluate, report, compare, search, demo, models, cache, train, export,
    challenge, dataset,
):  # fmt: skip
    shoplens.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding cannot show must not end the run.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings_told():
            code = shoplens.main(
                None if arguments is None else list(arguments),
                prog_name="shoplens",
                standalone_mode=False,
            )
    except click.UsageError as error:
        error.show()
        return USAGE
    except (click.exceptions.Abort, KeyboardInterrupt):
        message("interrupted")
        return INTERRUPTED
    except ShoplensError as error:
        message(f"error: {error}")
        return error.exit_code
    except OSError as error:
        message(f"error: {error}")
        return ShoplensError.exit_code
    return code if isinstance(code, int) else 0
