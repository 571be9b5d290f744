"""Running the submissions that wait, and storing their scores."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from shoplens.challenge.registry.copies import require_copy
from shoplens.challenge.registry.database import Database
from shoplens.challenge.registry.ground_truth import require_unchanged
from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.intake import ANSWER
from shoplens.challenge.registry.queue import (
    HARNESS_FAILED,
    LEASE,
    Claim,
    SubmissionOutcome,
    claim,
    extend,
    finish,
    give_back,
)
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.split import Split, read_split
from shoplens.challenge.registry.terms import Policy, Terms
from shoplens.challenge.running import ChallengeRun, run_submission, score_answer
from shoplens.challenge.sandbox.limits import Limits
from shoplens.challenge.sandbox.supervision import Isolation
from shoplens.challenge.submission import prepare_environment, read_submission
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.errors import ShoplensError
from shoplens.progress import Progress, silent

SCORE = "map@1000"

NOT_COUNTED = frozenset({"cannot_start"})
"""Verdicts of runs that did not begin: they do not count towards the daily limit."""


class Runner(Protocol):
    """Runs a submission, as `shoplens.challenge.running.run_submission` does."""

    def __call__(
        self,
        submission: Path,
        data: Dataset,
        *,
        limits: Limits,
        policy: Policy,
        python: Path | None,
        isolation: Isolation,
        private: bool,
        progress: Progress,
    ) -> ChallengeRun:
        """Run it once, on all queries, and score it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A submission that a worker has finished."""

    claim: Claim
    outcome: SubmissionOutcome
    public: float | None
    """mAP@1000 on the public side; None where it was not scored."""
    kept: bool
    """False where the claim was lost meanwhile: another worker's result counts."""


def worker_name() -> str:
    """Return a name for this process: machine and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def work(
    registry: Registry,
    *,
    worker: str | None = None,
    isolation: Isolation = "required",
    runner: Runner = run_submission,
    clock: Callable[[], datetime] = current,
    lease: timedelta = LEASE,
    started: Callable[[Claim], None] = lambda claim: None,
    progress: Progress = silent,
) -> Iterator[Finished]:
    """Run the submissions that wait, one after the other.

    Several workers can run at the same time on one machine. A fault in a submission is its outcome,
    and the work goes on. A fault of the machine ends the work, and the submission goes back into
    the queue.

    Args:
        registry: the challenge.
        worker: a name for the trail, of its own for each worker; None makes one.
        isolation: as `run_submission` takes it.
        runner: runs a submission.
        clock: tells the time.
        lease: how long a claim outlives its worker.
        started: called with each submission before it is run.
        progress: called with the progress of its run.

    Yields:
        Each submission when it is done.

    Raises:
        MissingError: the labelled set is gone.
        DataError: the labelled set has changed since the challenge was created.
        ShoplensError: the file of records cannot be written; this machine cannot keep submissions
            apart, or has no room left.
    """
    worker = worker_name() if worker is None else worker
    registry.database.upgrade(clock(), worker)
    while True:
        terms = registry.terms()
        require_unchanged(terms.data, terms.table_hashes)
        mine = claim(registry.database, worker, now=clock(), lease=lease)
        if mine is None:
            return
        started(mine)
        with registry.database.reading() as connection:
            split = read_split(connection)
        try:
            with _extended(registry.database, mine, clock, lease):
                outcome = _run(registry, mine, terms, split, runner, isolation, progress)
        except BaseException:
            # Interrupted, not failed: the next worker takes it at once.
            give_back(registry.database, mine, now=clock())
            raise
        kept = finish(registry.database, mine, outcome, now=clock())
        public = None if outcome.ap is None else float(outcome.ap[split.is_public].mean())
        yield Finished(mine, outcome, public, kept)


def _run(
    registry: Registry,
    mine: Claim,
    terms: Terms,
    split: Split,
    runner: Runner,
    isolation: Isolation,
    progress: Progress,
) -> SubmissionOutcome:
    try:
        copy = require_copy(registry.submissions, mine.content)
        if mine.kind == "folder":
            submission = read_submission(copy)
            try:
                environment = prepare_environment(
                    submission, registry.environments, progress=progress
                )
            except ShoplensError as error:
                return SubmissionOutcome("cannot_start", str(error), counted=False)
    except Exception as error:
        # Whatever it is: one submission must not stop the queue, and a team must see why.
        return _failed(error)
    dataset = read_dataset(terms.data)
    name = f"{mine.number:06d}-{mine.attempt}"
    try:
        if mine.kind == "answer":
            run = score_answer(copy / ANSWER, dataset, policy=terms.policy)
        else:
            run = runner(
                submission.folder,
                dataset,
                limits=mine.round.limits,
                policy=terms.policy,
                python=environment.python,
                isolation=isolation,
                private=True,
                progress=progress,
            )
        run.save(registry.runs / name, dataset, f"{mine.team}: {mine.label}")
    except (ShoplensError, OSError):
        raise  # The machine's fault (no namespaces, a full disk), and so every other's to come.
    except Exception as error:
        return _failed(error)
    return SubmissionOutcome(
        verdict=run.verdict,
        reason=run.reason,
        counted=run.verdict not in NOT_COUNTED,
        # What was not run took no time.
        seconds=None if mine.kind == "answer" else run.wall_seconds,
        peak_memory_mb=None if mine.kind == "answer" else run.peak_memory_mb,
        run=name,
        record=json.dumps(run.to_json()),
        ap=None if run.scores is None else run.scores.per_query[SCORE][split.positions],
    )


def _failed(error: Exception) -> SubmissionOutcome:
    kind = "" if isinstance(error, ShoplensError) else f"{type(error).__name__}: "
    return SubmissionOutcome(HARNESS_FAILED, f"{kind}{error}", counted=False)


@contextmanager
def _extended(
    database: Database, mine: Claim, clock: Callable[[], datetime], lease: timedelta
) -> Iterator[None]:
    """Keep a claim while the block runs."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(lease.total_seconds() / 4):
            try:
                if not extend(database, mine, now=clock(), lease=lease):
                    return
            except (ShoplensError, sqlite3.Error):
                continue  # Locked for long, say: the next try may come in time.

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
