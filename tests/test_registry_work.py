from __future__ import annotations

import errno
import json
import shutil
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from made_challenges import (
    END,
    NOW,
    SAMPLE,
    kill,
    make_challenge,
    make_submission,
    send,
    split_of,
    start_python,
)

from shoplens.challenge.registry.copies import hash_folder
from shoplens.challenge.registry.creation import create_challenge
from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.queue import HARNESS_FAILED, Claim, claim
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.submissions import list_submissions
from shoplens.challenge.registry.teams import add_team
from shoplens.challenge.registry.trail import list_events
from shoplens.challenge.registry.work import Finished, work
from shoplens.challenge.running import ChallengeRun
from shoplens.challenge.sandbox.limits import Limits
from shoplens.datasets.dataset import read_dataset
from shoplens.errors import DataError
from shoplens.evaluation.scores import evaluate
from shoplens.ranking import Ranking
from shoplens.runs import load_run

SHORT = timedelta(seconds=1)


def test_a_submission_is_run_scored_and_kept(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls")
    send(registry, make_submission(tmp_path / "mine"), "Owls", label="gallery order")
    started: list[Claim] = []
    (finished,) = work(registry, worker="one", clock=lambda: NOW, started=started.append)
    assert finished.kept
    assert [claim.number for claim in started] == [1]
    assert finished.outcome.verdict == "ok", finished.outcome.reason
    # What it must have scored: the gallery in its order for every query.
    data = read_dataset(SAMPLE)
    rows = np.tile(data.gallery.ids, (len(data.queries), 1))
    truth = evaluate(Ranking(data.queries.ids, rows, None), data).per_query["map@1000"]
    split = split_of(registry)
    (one,) = list_submissions(registry, END)
    assert one.public == finished.public == pytest.approx(truth[split.is_public].mean())
    assert one.private == pytest.approx(truth[~split.is_public].mean())
    assert (one.state, one.verdict, one.worker, one.counted) == ("done", "ok", "one", True)
    assert one.seconds is not None
    assert one.run is not None
    assert load_run(one.run).scores.per_query["map@1000"] == pytest.approx(truth)
    assert json.loads((one.run / "run.json").read_text())["label"] == "Owls: gallery order"
    (entry,) = registry.board("private", END).entries
    assert entry.precision == pytest.approx(truth[~split.is_public])
    assert list(work(registry)) == []


def test_faults_of_submissions_are_outcomes_and_the_next_one_is_run(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls", limits=Limits(seconds=10.0))
    send(registry, make_submission(tmp_path / "a", "raise ValueError('no')"), "Owls")
    send(registry, make_submission(tmp_path / "b", "time.sleep(60)"), "Owls")
    send(registry, make_submission(tmp_path / "c", "return None"), "Owls")
    gone = send(registry, make_submission(tmp_path / "d", "time.sleep(1e-9)"), "Owls")
    shutil.rmtree(registry.submissions / list_submissions(registry, NOW, number=gone)[0].content)
    done = list(work(registry, clock=lambda: NOW))
    verdicts = [one.outcome.verdict for one in done]
    assert verdicts[:2] == ["crashed", "time_limit"]
    assert verdicts[2] in ("no_answer", "invalid_answer")
    assert verdicts[3] == HARNESS_FAILED
    records = list_submissions(registry, NOW)
    assert [one.counted for one in records] == [True, True, True, False]
    assert [one.state for one in records] == ["done", "done", "done", "failed"]
    assert "is gone" in (records[3].reason or "")
    assert [one.public for one in records] == [None] * 4


def test_each_round_has_its_limits(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls", limits=Limits(seconds=77.0, memory_mb=3000))
    send(registry, make_submission(tmp_path / "mine"), "Owls")
    list(work(registry, clock=lambda: NOW))
    (one,) = list_submissions(registry, NOW)
    assert any("77 s" in sentence for sentence in one.record["enforced"])


def test_a_changed_ground_truth_stops_the_work_before_anything_is_claimed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(SAMPLE, data)
    registry = create_challenge(tmp_path / "challenge", data, now=NOW)
    add_team(registry.database, "Owls", now=NOW)
    send(registry, make_submission(tmp_path / "mine"), "Owls")
    table = data / "gallery.csv"
    table.write_text(table.read_text() + "\n")
    with pytest.raises(DataError, match=r"ground truth has changed .*gallery\.csv"):
        list(work(registry, clock=lambda: NOW))
    assert list_submissions(registry, NOW)[0].state == "queued"


def test_an_interrupted_worker_gives_its_submission_back(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls")
    send(registry, make_submission(tmp_path / "mine"), "Owls")

    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(work(registry, worker="one", clock=lambda: NOW, progress=interrupt))
    assert list_submissions(registry, NOW)[0].state == "queued"
    (finished,) = work(registry, worker="two", clock=lambda: NOW)
    assert (finished.claim.attempt, finished.outcome.verdict) == (2, "ok")


def test_packages_that_cannot_be_installed_are_an_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    folder = make_submission(tmp_path / "mine")
    (folder / "requirements.txt").write_text("no-such-thing==4\n")
    registry = make_challenge(tmp_path, "Owls")
    send(registry, folder, "Owls")
    send(registry, make_submission(tmp_path / "next"), "Owls")
    refused, following = work(registry, clock=lambda: NOW)
    assert (refused.outcome.verdict, refused.outcome.counted) == ("cannot_start", False)
    assert "installing requirements.txt failed" in refused.outcome.reason
    assert "No matching distribution found for" in refused.outcome.reason
    assert str(tmp_path) not in refused.outcome.reason
    assert following.outcome.verdict == "ok"
    content = refused.claim.content
    assert hash_folder(registry.submissions / content) == content


def test_a_fault_of_the_machine_ends_the_work_and_loses_nothing(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls")
    for name in ("one", "two"):
        send(registry, make_submission(tmp_path / name), "Owls")

    def full(*_: object, **__: object) -> ChallengeRun:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        list(work(registry, clock=lambda: NOW, runner=full))
    assert [one.state for one in list_submissions(registry, NOW)] == ["queued", "queued"]
    assert [one.outcome.verdict for one in work(registry, clock=lambda: NOW)] == ["ok", "ok"]


WORKER = """
import sys
from datetime import timedelta
from pathlib import Path
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.work import work

lease = timedelta(seconds=float(sys.argv[3]))
for finished in work(Registry(Path(sys.argv[1])), worker=sys.argv[2], lease=lease):
    print(finished.claim.number, finished.outcome.verdict, flush=True)
"""


def wait_until_running(registry: Registry, seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if any(one.state == "running" for one in list_submissions(registry, NOW)):
            return
        time.sleep(0.05)
    pytest.fail(f"no submission was running after {seconds} s")


def test_kill_9_of_a_worker_in_the_middle_of_a_run_and_another_takes_it(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls")
    send(registry, make_submission(tmp_path / "slow", "time.sleep(2)"), "Owls")
    send(registry, make_submission(tmp_path / "quick"), "Owls")
    process = start_python(WORKER, registry.folder, "killed", SHORT.total_seconds())
    wait_until_running(registry)
    time.sleep(0.3)
    kill(process)
    # While the lease holds, the other worker takes what else there is.
    done: list[Finished] = []
    until = time.monotonic() + 180
    while len(done) < 2 and time.monotonic() < until:
        done += work(registry, worker="alive", lease=SHORT)
        time.sleep(0.1)
    assert sorted((one.claim.number, one.outcome.verdict) for one in done) == [
        (1, "ok"), (2, "ok"),
    ]  # fmt: skip
    events = list_events(registry.database)
    begun = [(e.who, e.detail["submission"]) for e in events if e.what == "run begun"]
    assert sorted(begun) == [("alive", 1), ("alive", 2), ("killed", 1)]
    assert [e.who for e in events if e.what == "run ended"] == ["alive", "alive"]
    records = list_submissions(registry, NOW)
    assert [(one.state, one.worker, one.attempt) for one in records] == [
        ("done", "alive", 2), ("done", "alive", 1),
    ]  # fmt: skip


def test_a_run_longer_than_the_lease_stays_with_its_worker(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls")
    send(registry, make_submission(tmp_path / "slow", "time.sleep(6)"), "Owls")
    process = start_python(WORKER, registry.folder, "patient", 4)
    try:
        wait_until_running(registry)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            assert claim(registry.database, "greedy", now=current()) is None
            time.sleep(0.1)
        assert process.communicate(timeout=180)[0] == "1 ok\n"
    finally:
        kill(process)


def test_two_workers_at_once_run_each_submission_once(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls", per_day=9)
    submission = make_submission(tmp_path / "mine")
    numbers = [send(registry, submission, "Owls") for _ in range(4)]
    workers = [start_python(WORKER, registry.folder, name, 60) for name in ("one", "two")]
    lines = [process.communicate(timeout=300)[0].splitlines() for process in workers]
    assert sorted(lines[0] + lines[1]) == [f"{number} ok" for number in numbers]
    assert [one.attempt for one in list_submissions(registry, NOW)] == [1] * 4
