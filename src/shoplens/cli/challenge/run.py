"""`shoplens challenge run`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click

from shoplens.answers.answer import Policy
from shoplens.cache import cache_folder
from shoplens.challenge.environment import Environment
from shoplens.challenge.running import ChallengeRun, Limits, run_submission
from shoplens.challenge.sandbox.supervision import Isolation
from shoplens.challenge.submission import prepare_environment, read_submission
from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.evaluate import print_scores
from shoplens.cli.options import json_option
from shoplens.datasets.dataset import read_dataset
from shoplens.errors import ShoplensError
from shoplens.progress import Progress
from shoplens.runs import RECORD

_BUDGET = Limits()
_LAST_LINES = 15
"""Lines of the log that are shown when a submission fails."""


def _limit(
    name: str, default: float | None, unit: str, about: str
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return an option for one limit."""
    return click.option(
        name,
        type=click.FloatRange(min=0, min_open=True) if unit == "SECONDS" else click.IntRange(min=1),
        default=default,
        show_default=True,
        metavar=unit,
        help=about,
    )


@click.command()
@click.argument("submission", metavar="SUBMISSION_DIR", type=click.Path(path_type=Path))
@click.option("--data", required=True, metavar="DATASET", help="The test set to run it on.")
@_limit("--limit", _BUDGET.seconds, "SECONDS", "Wall-clock time.")
@_limit("--cpus", _BUDGET.cpus, "N", "Processor cores.")
@_limit("--memory", _BUDGET.memory_mb, "MB", "Memory, including the files that it writes.")
@_limit("--processes", _BUDGET.processes, "N", "Processes and threads at one time.")
@_limit("--scratch", _BUDGET.scratch_mb, "MB", "Files that it writes; they are kept in memory.")
@_limit("--answer-size", _BUDGET.output_mb, "MB", "Size of its answer.")
@_limit("--log-size", _BUDGET.log_mb, "MB", "What it prints.")
@click.option(
    "--policy",
    type=click.Choice(["strict", "lenient"]),
    default="strict",
    show_default=True,
    help="strict checks the answer as the original scoring does; lenient as its documentation "
    "says: columns after the 1000th and repeated photos are dropped.",
)
@click.option(
    "--private",
    is_flag=True,
    help="Treat the data as private: do not show what is printed, messages of errors, or values "
    "of the answer.",
)
@click.option(
    "--isolation",
    type=click.Choice(["auto", "required", "none"]),
    default="auto",
    show_default=True,
    help="auto isolates it where the machine can; required refuses to run where it cannot; none "
    "does not isolate it (only for code that you trust).",
)
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Run it with this interpreter and install nothing.",
)
@click.option(
    "--relax-pins",
    is_flag=True,
    help="Where a version that requirements.txt pins does not exist for this Python, install the "
    "nearest one that does.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write a run folder: run.json, ranking.npz, and everything printed under logs/.",
)
@click.option("--force", is_flag=True, help="Let --out replace an earlier run.")
@json_option
def run(
    submission: Path,
    data: str,
    limit: float,
    cpus: int,
    memory: int,
    processes: int,
    scratch: int,
    answer_size: int,
    log_size: int,
    policy: Policy,
    private: bool,
    isolation: Isolation,
    python: Path | None,
    relax_pins: bool,
    out: Path | None,
    force: bool,
    json_file: str | None,
) -> int:
    """Run a submission within the challenge's budget, without network or labels, and score it.

    The packages in its requirements.txt are installed first, with network. docs/sandbox.md
    describes how the limits are enforced. The record says which of them were.

    \b
    Example:
      shoplens challenge run my-submission --data examples/furniture --out runs/first
    """
    if relax_pins and python is not None:
        raise click.UsageError("--python installs nothing, so there are no pins to relax")
    if not submission.is_dir():
        read_submission(submission)  # Says what is missing.
    if out is not None:
        _prepare(out, force)  # Before ten minutes are spent.
    dataset = read_dataset(data)
    with progress_display() as progress:
        environment = _environment(submission, python, relax_pins, progress)
        result = run_submission(
            submission,
            dataset,
            limits=Limits(
                seconds=limit,
                cpus=cpus,
                memory_mb=memory,
                processes=processes,
                scratch_mb=scratch,
                output_mb=answer_size,
                log_mb=log_size,
            ),
            policy=policy,
            python=environment.python,
            relaxed_pins=environment.relaxed_pins,
            isolation=isolation,
            private=private,
            progress=progress,
        )
    if out is not None:
        result.save(out, dataset, out.absolute().name)
    _print(result, json_file)
    write_json(json_file, result.to_json())
    return 0 if result.verdict == "ok" else 1


def _environment(
    submission: Path, python: Path | None, relaxing_pins: bool, progress: Progress
) -> Environment:
    """Return what the submission runs with; unless an interpreter is named, packages installed."""
    if python is not None:
        found = shutil.which(python) if python.name == str(python) else None
        return Environment(Path(found or python))
    try:
        read = read_submission(submission)
    except ShoplensError:
        # It cannot start: that is a verdict, and the run gives it.
        return Environment(Path(sys.executable))
    return prepare_environment(
        read, cache_folder() / "environments", relaxing_pins=relaxing_pins, progress=progress
    )


def _prepare(out: Path, force: bool) -> None:
    """Make the folder of a run; raises `ShoplensError` where that would overwrite something."""
    if out.is_dir() and any(out.iterdir()):
        if not (out / RECORD).is_file():
            raise ShoplensError(f"{out} contains something other than a run: name a new folder")
        if not force:
            raise ShoplensError(f"{out} contains an earlier run: name a new folder, or use --force")
    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise ShoplensError(f"cannot make the folder {out}: {error.strerror}") from error


def _print(result: ChallengeRun, json_file: str | None) -> None:
    results = Results(json_file)
    reason = f": {result.reason}" if result.reason else ""
    results.line(f"{result.verdict}{reason}")
    results.line(
        f"{result.wall_seconds:.1f} s, {result.cpu_seconds:.1f} s of processors, "
        f"{result.peak_memory_mb:,.0f} MB of memory at the peak"
    )
    if not result.private:
        # The reason has said what was refused.
        for finding in result.findings:
            if finding.level == "warning":
                results.line(str(finding))
    if result.scores is not None:
        print_scores(results, result.scores)
    if result.verdict == "crashed":
        for line in result.log.splitlines()[-_LAST_LINES:]:
            message(f"  {line}")
    for note in (*result.notes, *(f"not enforced: {text}" for text in result.not_enforced)):
        message(f"note: {note}")
