"""`shoplens challenge work`."""

from __future__ import annotations

import time
from contextlib import ExitStack

import click

from shoplens.challenge.registry.queue import Claim, list_held
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.work import Finished
from shoplens.challenge.registry.work import work as work_off
from shoplens.challenge.sandbox.supervision import Isolation
from shoplens.challenge.site.wording import reason_words
from shoplens.cli.challenge.options import registry_argument
from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import json_option
from shoplens.progress import Progress

_LOOK_AGAIN = 2.0
"""Seconds between two checks of an empty queue."""


@click.command()
@registry_argument
@click.option("--once", is_flag=True, help="Run one submission, not all that wait.")
@click.option("--watch", is_flag=True, help="Wait for more when the queue is empty, until Ctrl-C.")
@click.option(
    "--isolation",
    type=click.Choice(["auto", "required", "none"]),
    default="required",
    show_default=True,
    help="As in `shoplens challenge run`: auto also runs where a submission can read the labels "
    "and reach the network, and says so.",
)
@json_option
def work(
    registry: Registry, once: bool, watch: bool, isolation: Isolation, json_file: str | None
) -> None:
    """Run the submissions that wait, each within its round's limits, and score them.

    Several workers can run at the same time on one machine; each submission is run by one of them.
    If a worker is killed, another takes its submission half a minute later. Submissions that fail
    do not change the exit code.

    \b
    Example:
      shoplens challenge work autumn
    """
    if once and watch:
        raise click.UsageError("--once and --watch contradict each other")
    if watch and json_file is not None:
        raise click.UsageError("--watch never ends, so there is no --json")
    results = Results(json_file)
    done: list[Finished] = []
    with ExitStack() as shown:
        display: list[Progress] = []

        def begin(claim: Claim) -> None:
            _say_started(claim)
            display[:] = [shown.enter_context(progress_display())]

        def progress(stage: str, done: int, total: int) -> None:
            display[0](stage, done, total)

        while True:
            for finished in work_off(
                registry, isolation=isolation, started=begin, progress=progress
            ):
                # Bars and results share a terminal: one after the other.
                shown.close()
                results.line(_line(finished))
                done.append(finished)
                if once:
                    break
            if not watch:
                break
            done.clear()
            time.sleep(_LOOK_AGAIN)
    if not done:
        message("the queue is empty")
    for held in list_held(registry.database):
        message(
            f"worker {held.worker} is running submission {held.number}; if it was killed, run "
            f"`shoplens challenge work` again after {held.until:%H:%M:%S} UTC"
        )
    write_json(json_file, {"finished": [_json(finished) for finished in done]})


def _say_started(claim: Claim) -> None:
    again = f" (attempt {claim.attempt})" if claim.attempt > 1 else ""
    message(f"submission {claim.number}, {claim.team}: {claim.label}{again}")


def _line(finished: Finished) -> str:
    outcome = finished.outcome
    text = f"submission {finished.claim.number}, {finished.claim.team}: {outcome.verdict}"
    if finished.public is not None:
        text += f", public mAP@1000 {finished.public:.4f}"
    if outcome.seconds is not None:
        text += f", {outcome.seconds:.1f} s"
    if outcome.verdict != "ok" and outcome.reason:
        text += f": {reason_words(outcome.reason)}"
    if not finished.kept:
        text += " (another worker had taken it over: its result counts)"
    return text


def _json(finished: Finished) -> dict[str, object]:
    outcome = finished.outcome
    return {
        "submission": finished.claim.number,
        "team": finished.claim.team,
        "attempt": finished.claim.attempt,
        "verdict": outcome.verdict,
        "reason": outcome.reason,
        "counted": outcome.counted,
        "public": finished.public,
        "wall_seconds": outcome.seconds,
        "peak_memory_mb": outcome.peak_memory_mb,
        "kept": finished.kept,
    }
