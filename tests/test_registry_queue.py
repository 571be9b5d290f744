from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
from made_challenges import NOW, claim_many, make_challenge, make_submission, send

from shoplens.challenge.registry.queue import (
    HARNESS_FAILED,
    LEASE,
    MAX_DEATHS,
    SubmissionOutcome,
    claim,
    count_waiting,
    extend,
    finish,
    give_back,
    list_held,
    retry,
)
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.submissions import list_submissions
from shoplens.challenge.registry.trail import list_events
from shoplens.errors import ChallengeError

CRASHED = SubmissionOutcome("crashed", "made", counted=True)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = make_challenge(tmp_path, "Owls", per_day=100)
    submission = make_submission(tmp_path / "mine")
    for number in range(3):
        send(registry, submission, "Owls", label=f"try {number}")
    return registry


def test_submissions_are_claimed_in_order_once_each(registry: Registry) -> None:
    claims = [claim(registry.database, f"worker {n}", now=NOW) for n in range(4)]
    assert [one and one.number for one in claims] == [1, 2, 3, None]
    first = claims[0]
    assert first is not None
    assert (first.team, first.label, first.attempt, first.round.name) == (
        "Owls", "try 0", 1, "main",
    )  # fmt: skip
    assert [one.state for one in list_submissions(registry, NOW)] == ["running"] * 3
    held = list_held(registry.database)
    assert [(one.number, one.worker) for one in held] == [
        (1, "worker 0"), (2, "worker 1"), (3, "worker 2"),
    ]  # fmt: skip
    assert {one.until for one in held} == {NOW + LEASE}


def test_a_claim_runs_out_unless_it_is_extended(registry: Registry) -> None:
    database = registry.database
    mine = claim(database, "one", now=NOW)
    assert mine is not None
    almost = NOW + LEASE - timedelta(microseconds=1)
    assert count_waiting(database, almost) == 2
    assert count_waiting(database, NOW + LEASE) == 3
    assert extend(database, mine, now=almost)
    assert count_waiting(database, NOW + LEASE) == 2
    other = claim(database, "two", now=almost + LEASE)
    assert other is not None
    assert (other.number, other.attempt) == (1, 2)


def test_who_lost_the_claim_writes_nothing(registry: Registry) -> None:
    database = registry.database
    mine = claim(database, "one", now=NOW)
    other = claim(database, "two", now=NOW + LEASE)
    assert mine is not None
    assert other is not None
    assert mine.number == other.number
    later = NOW + LEASE + timedelta(seconds=1)
    assert not extend(database, mine, now=later)
    assert not finish(database, mine, SubmissionOutcome("time_limit", "late", True), now=later)
    give_back(database, mine, now=later)
    assert list_submissions(registry, later, number=1)[0].worker == "two"
    assert finish(database, other, CRASHED, now=later)
    assert not finish(database, other, SubmissionOutcome("ok", "", True), now=later)
    (one,) = list_submissions(registry, later, number=1)
    assert (one.verdict, one.worker, one.attempt) == ("crashed", "two", 2)
    ended = [e for e in list_events(database) if e.what == "run ended"]
    assert [(e.who, e.detail["verdict"]) for e in ended] == [("two", "crashed")]


def test_what_is_given_back_is_taken_again_at_once(registry: Registry) -> None:
    database = registry.database
    for attempt in range(1, MAX_DEATHS + 3):
        mine = claim(database, "one", now=NOW)
        assert mine is not None
        assert (mine.number, mine.attempt) == (1, attempt)
        give_back(database, mine, now=NOW)
    assert list_submissions(registry, NOW, number=1)[0].state == "queued"


def test_a_submission_that_its_workers_die_of_is_given_up(registry: Registry) -> None:
    database = registry.database
    now = NOW
    for _ in range(MAX_DEATHS):
        mine = claim(database, "one", now=now)
        assert mine is not None
        assert mine.number == 1
        now += LEASE
    mine = claim(database, "one", now=now)
    assert mine is not None
    assert mine.number == 2
    (one,) = list_submissions(registry, now, number=1)
    assert (one.state, one.verdict, one.counted) == ("failed", HARNESS_FAILED, False)
    assert one.reason == "its worker died 3 times while it ran"


def test_a_failure_of_the_harness_is_tried_again_and_others_stand(registry: Registry) -> None:
    database = registry.database
    for outcome in (SubmissionOutcome(HARNESS_FAILED, "disk full", counted=False), CRASHED):
        mine = claim(database, "one", now=NOW)
        assert mine is not None
        finish(database, mine, outcome, now=NOW)
    retry(database, 1, now=NOW)
    assert list_submissions(registry, NOW, number=1)[0].counted
    for number, problem in ((1, "is queued"), (2, "is done \\(crashed\\): its result stands")):
        with pytest.raises(ChallengeError, match=problem):
            retry(database, number, now=NOW)
    mine = claim(database, "one", now=NOW)
    assert mine is not None
    assert (mine.number, mine.attempt) == (1, 2)
    finish(database, mine, SubmissionOutcome("ok", "", counted=True), now=NOW)
    (one,) = list_submissions(registry, NOW, number=1)
    assert (one.state, one.verdict, one.counted) == ("done", "ok", True)


def test_many_workers_double_nothing_and_lose_nothing(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls", per_day=100)
    submission = make_submission(tmp_path / "mine")
    numbers = [send(registry, submission, "Owls") for _ in range(40)]
    with ProcessPoolExecutor(3, get_context("spawn")) as processes:
        jobs = [processes.submit(claim_many, str(registry.folder), f"worker {n}") for n in range(3)]
        taken = sorted(number for job in jobs for number in job.result())
    assert taken == numbers
    events = list_events(registry.database)
    for what in ("run begun", "run ended"):
        assert sorted(e.detail["submission"] for e in events if e.what == what) == numbers
    assert {one.state for one in list_submissions(registry, NOW)} == {"done"}
