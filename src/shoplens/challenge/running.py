"""Running a submission within the budget, checking its answer, scoring it exactly."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from numpy.lib.format import MAGIC_PREFIX

from shoplens.answers.answer import CheckedAnswer, Finding, Policy, check_answer, read_answer
from shoplens.challenge import inside
from shoplens.challenge.environment import folders_of
from shoplens.challenge.pins import RelaxedPin
from shoplens.challenge.sandbox.launcher import NOBODY
from shoplens.challenge.sandbox.limits import Limits
from shoplens.challenge.sandbox.staging import (
    copy_submission,
    stage_data,
    stage_submission,
    work_folder,
)
from shoplens.challenge.sandbox.supervision import Isolation, Outcome, Program, supervise
from shoplens.challenge.sandbox.view import DATA, SCRATCH, SUBMISSION, View
from shoplens.challenge.submission import Submission, read_submission
from shoplens.challenge.verdict import Verdict, phases_of, safe_log, verdict_of
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.errors import DataError, MissingError, RankingError, ShoplensError
from shoplens.evaluation.scores import Scores, evaluate
from shoplens.files import write_text
from shoplens.progress import Progress, silent
from shoplens.runs import RECORD, save_run

__all__ = ["ChallengeRun", "Limits", "run_submission", "score_answer"]

_ENTRY = str(Path(inside.__file__).resolve())
_BUDGET = Limits()


@dataclass(frozen=True, slots=True)
class ChallengeRun:
    """How one run of a submission ended."""

    verdict: Verdict
    reason: str
    """One line; empty when the verdict is ok."""
    phases: Mapping[str, float]
    """Seconds by phase. The submission itself says when its own phases begin."""
    wall_seconds: float
    """From the start of its interpreter to its end."""
    cpu_seconds: float
    peak_memory_mb: float
    """10^6 bytes of all its processes and of its scratch files."""
    enforced: tuple[str, ...]
    not_enforced: tuple[str, ...]
    """Which limits were enforced, and which were not, one sentence each."""
    findings: tuple[Finding, ...]
    scores: Scores | None
    """None unless the verdict is ok and the data have a ground truth."""
    log: str
    """What the submission's team may read."""
    full_log: bytes
    """Everything that it printed."""
    n_queries: int
    n_gallery: int
    private: bool = False
    """Whether the data are private: then what could carry them out is left out."""
    notes: tuple[str, ...] = ()
    """What the submission asked for and did not get, a sentence each."""
    relaxed_pins: tuple[RelaxedPin, ...] = ()
    """Packages that were installed in another version than the submission asks for."""

    def to_json(self) -> dict[str, Any]:
        """Return the record, as `shoplens challenge run --json` writes it."""
        if self.scores is not None:
            record = self.scores.to_json()
        else:
            record = {
                "n_queries": self.n_queries,
                "n_gallery": self.n_gallery,
                "n_without_positive": None,
                "n_failed": None,
                "model": {"name": None, "fingerprint": None},
                "chain": [],
                "batch_side": False,
                "metrics": {},
            }
        return {
            **record,
            "seconds": dict(self.phases),
            "verdict": self.verdict,
            "reason": self.reason,
            "wall_seconds": self.wall_seconds,
            "cpu_seconds": self.cpu_seconds,
            "peak_memory_mb": self.peak_memory_mb,
            "phases": dict(self.phases),
            "findings": [self._shown(finding) for finding in self.findings],
            "enforced": list(self.enforced),
            "not_enforced": list(self.not_enforced),
            "private": self.private,
            "notes": list(self.notes),
            "relaxed_pins": [asdict(pin) for pin in self.relaxed_pins],
            "log": self.log,
        }

    def _shown(self, finding: Finding) -> dict[str, Any]:
        values = finding.to_json()
        # An answer can be made to carry what the submission saw.
        return {**values, "text": "", "places": []} if self.private else values

    def save(self, folder: Path, dataset: Dataset, label: str) -> None:
        """Write a run folder (see `shoplens.runs`), with all that was printed under `logs/`.

        Without scores there is a record and no ranking.

        Raises:
            MissingError: the folder that should hold the run's folder is not there.
            ShoplensError: the files cannot be written.
        """
        extra = {**self.to_json(), "label": label}
        if self.scores is not None:
            save_run(folder, self.scores, dataset, extra)
        else:
            if not folder.absolute().parent.is_dir():
                raise MissingError(
                    f"cannot write run {folder}: {folder.absolute().parent} is not there"
                )
            folder.mkdir(exist_ok=True)
            created = datetime.now(timezone.utc).isoformat(timespec="seconds")
            record = {**extra, "dataset": str(dataset.root.absolute()), "created": created}
            write_text(folder / RECORD, json.dumps(record, indent=2, allow_nan=False) + "\n")
        logs = folder / "logs"
        logs.mkdir(exist_ok=True)
        write_text(logs / "all.txt", self.full_log.decode(errors="backslashreplace"))
        write_text(logs / "shown.txt", self.log)


def run_submission(
    submission: Path,
    data: Path | Dataset,
    *,
    limits: Limits = _BUDGET,
    policy: Policy = "strict",
    python: Path | None = None,
    relaxed_pins: Sequence[RelaxedPin] = (),
    isolation: Isolation = "auto",
    private: bool = False,
    progress: Progress = silent,
) -> ChallengeRun:
    """Run a submission on a test set, within limits and without network or ground truth.

    However it ends, nothing of it is left: no process, mount, group or file.

    Args:
        submission: its folder.
        data: a test set; scored where it has a ground truth.
        limits: what the submission may use.
        policy: how strictly its answer is checked, see `shoplens.answers.answer`.
        python: the interpreter of its environment; None for the one that runs this.
        relaxed_pins: what that environment holds in another version than asked for; the record
            says so.
        isolation: `required` refuses to run without namespaces, `none` does not use them, `auto`
            uses them where the machine grants them.
        private: leave out of the record what could carry the data out: everything printed, the
            messages of errors, and values of the answer.
        progress: called with the number of photos made ready, and with the seconds run.

    Returns:
        A `ChallengeRun`. A fault of the submission is a verdict, not an exception.

    Raises:
        ShoplensError: isolation is required and the machine does not grant it, or the data cannot
            be made ready.
        DataError: the test set is faulty.
    """
    dataset = data if isinstance(data, Dataset) else read_dataset(data)
    try:
        read = read_submission(submission)
    except ShoplensError as error:
        return _not_started(str(error), dataset, private)
    phases: dict[str, float] = {}
    with work_folder() as work:
        started = time.monotonic()
        stage_data(dataset, work / "data", progress=progress)
        shown = stage_submission(read.folder, work / "submission")
        phases["stage"] = time.monotonic() - started

        try:
            interpreter = _Interpreter.look_at(python or Path(sys.executable))
        except ShoplensError as error:
            return _not_started(str(error), dataset, private)

        def plain() -> Program:
            """Make a program that sees the machine as it is: nothing of ours may be written to."""
            (work / "data").rename(work / "plain" / "data")
            folder = work / "plain" / "submission"
            copy_submission(read.folder, folder, NOBODY if os.getuid() == 0 else None)
            (work / "scratch").mkdir()
            (work / "scratch").chmod(0o777)
            return interpreter.program(
                str(work / "plain" / "data"), str(folder), str(work / "scratch")
            )

        (work / "plain").mkdir()
        (work / "root").mkdir()
        outcome = supervise(
            plain,
            interpreter.program(DATA, SUBMISSION, SCRATCH),
            View(
                root=str(work / "root"),
                submission=str(shown),
                data=str(work / "data"),
                entry=_ENTRY,
                shown=interpreter.folders,
                hidden=[str(dataset.root.resolve())],
                devices=_graphics_devices() if read.config.gpu else [],
                scratch_bytes=limits.scratch_mb * 10**6,
                scratch_files=limits.scratch_files,
            ),
            work / "answer.npy",
            limits,
            isolation,
            lambda seconds: progress("run", int(seconds), int(limits.seconds)),
        )
        phases.update(phases_of(outcome))
        run = _judge(read, dataset, outcome, phases, work / "answer.npy", policy, private)
        notes = (*run.notes, *map(str, relaxed_pins))
        return replace(run, notes=notes, relaxed_pins=tuple(relaxed_pins))


def score_answer(answer: Path, dataset: Dataset, *, policy: Policy = "strict") -> ChallengeRun:
    """Check and score an answer array that a team made on its own machine. Nothing is run.

    Args:
        answer: the array, a `.npy` file.
        dataset: a test set; the answer is scored where it has a ground truth.
        policy: how strictly the answer is checked, see `shoplens.answers.answer`.

    Raises `DataError` if the test set is faulty.
    """
    phases: dict[str, float] = {}
    verdict, reason, checked = _checked(dataset, answer, policy, True, phases)
    scores = _scored(dataset, checked, phases)
    return ChallengeRun(
        verdict,
        reason,
        {name: round(seconds, 4) for name, seconds in phases.items()},
        0.0,
        0.0,
        0.0,
        (),
        (),
        checked.findings if checked is not None else (),
        scores,
        "",
        b"",
        len(dataset.queries),
        len(dataset.gallery),
        private=True,
        notes=("an answer array: nothing was run",),
    )


@dataclass(frozen=True, slots=True)
class _Interpreter:
    """A Python, and what of the disk it lives on."""

    path: str
    folders: tuple[str, ...]

    @classmethod
    @functools.lru_cache(maxsize=8)
    def look_at(cls, path: Path) -> _Interpreter:
        """Find out where an interpreter lives; one that a submission has filled is not started."""
        folders = folders_of(path) or _folders_told_by(path)
        # Links are shown as links, so what they lead to is shown as well.
        found = dict.fromkeys(str(p) for folder in folders for p in (folder, folder.resolve()))
        # The program itself may be a link by which a virtual environment is told: it stays one.
        program = str(path.parent.resolve() / path.name)
        return cls(program, tuple(p for p in found if p != "/" and Path(p).exists()))

    def program(self, data: str, folder: str, scratch: str) -> Program:
        return Program(
            [self.path, "-s", _ENTRY],
            {
                "PATH": f"{Path(self.path).parent}:/usr/local/bin:/usr/bin:/bin",
                "HOME": scratch,
                "TMPDIR": "/tmp" if scratch == SCRATCH else scratch,
                "LANG": "C.UTF-8",
                "PYTHONUNBUFFERED": "1",
                "AICROWD_DATASET_DIR": data,
            },
            folder,
        )


def _folders_told_by(path: Path) -> tuple[Path, ...]:
    """Ask an interpreter where it and its packages lie."""
    code = (
        "import sys, json; print(json.dumps("
        "[sys.prefix, sys.base_prefix, sys.exec_prefix, sys.executable, *sys.path]))"
    )
    try:
        told = subprocess.run(
            [str(path), "-I", "-c", code], capture_output=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ShoplensError(f"the interpreter {path} does not run: {error}") from error
    return tuple(Path(os.path.normpath(name)) for name in json.loads(told.stdout) if name)


def _graphics_devices() -> list[str]:
    return sorted(str(path) for path in Path("/dev").glob("nvidia*") if not path.is_dir())


def _not_started(reason: str, dataset: Dataset, private: bool) -> ChallengeRun:
    n_queries, n_gallery = len(dataset.queries), len(dataset.gallery)
    return ChallengeRun(
        "cannot_start", reason, {}, 0.0, 0.0, 0.0, (), (), (), None, "", b"", n_queries, n_gallery,
        private,
    )  # fmt: skip


def _judge(
    submission: Submission,
    dataset: Dataset,
    outcome: Outcome,
    phases: dict[str, float],
    answer: Path,
    policy: Policy,
    private: bool,
) -> ChallengeRun:
    verdict, reason = verdict_of(outcome, private)
    checked: CheckedAnswer | None = None
    scores: Scores | None = None
    if verdict == "ok":
        verdict, reason, checked = _checked(dataset, answer, policy, private, phases)
        scores = _scored(dataset, checked, phases)
    notes = list(submission.notes)
    if submission.config.gpu and not _graphics_devices():
        notes.append("aicrowd.json asks for a graphics processor; this machine has none")
    elif submission.config.gpu:
        outcome.not_enforced.append("graphics memory: no limit")
    return ChallengeRun(
        verdict,
        reason,
        {name: round(seconds, 4) for name, seconds in phases.items()},
        round(outcome.wall_seconds, 3),
        round(outcome.cpu_seconds, 3),
        round(outcome.peak_memory / 1e6, 1),
        tuple(outcome.enforced),
        tuple(outcome.not_enforced),
        checked.findings if checked is not None else (),
        scores,
        safe_log(outcome) if private else outcome.log.decode(errors="replace"),
        outcome.log,
        len(dataset.queries),
        len(dataset.gallery),
        private,
        tuple(notes),
    )


def _checked(
    dataset: Dataset, answer: Path, policy: Policy, private: bool, phases: dict[str, float]
) -> tuple[Verdict, str, CheckedAnswer | None]:
    """Return the verdict on an answer, the reason, and what the check found; note its time."""
    started = time.monotonic()
    verdict: Verdict = "ok"
    reason = ""
    checked: CheckedAnswer | None = None
    try:
        _require_array(answer)
        array = read_answer(answer)
        checked = check_answer(array, dataset.queries.ids, dataset.gallery.ids, policy)
        checked.require()
    except RankingError as error:
        verdict = "invalid_answer"
        # The file is ours, and its name no one's business.
        reason = str(error).replace(str(answer), "what was sent")
        if private:
            found = checked.findings if checked else ()
            codes = [finding.code for finding in found if finding.level == "error"]
            reason = ", ".join(codes) or "not an array of numbers"
    phases["check"] = time.monotonic() - started
    return verdict, reason, checked


def _scored(
    dataset: Dataset, checked: CheckedAnswer | None, phases: dict[str, float]
) -> Scores | None:
    """Return the scores of an answer that was accepted, where there are labels; note the time."""
    if checked is None or checked.ranking is None or not dataset.has_products:
        return None
    started = time.monotonic()
    try:
        scores = evaluate(checked.ranking, dataset)
    except DataError as error:
        raise DataError(f"{dataset.root} cannot be scored: {error}", error.faults) from error
    phases["score"] = time.monotonic() - started
    return scores


def _require_array(answer: Path) -> None:
    """Refuse what the entry program cannot have sent."""
    with answer.open("rb") as stream:
        if stream.read(len(MAGIC_PREFIX)) != MAGIC_PREFIX:
            raise RankingError("what was sent is not an array (.npy)")
