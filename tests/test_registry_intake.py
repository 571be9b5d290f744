from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta, timezone
from multiprocessing import get_context
from pathlib import Path

import pytest
from made_challenges import (
    END,
    NOW,
    make_challenge,
    make_submission,
    score,
    send,
    submit_many,
)
from made_folders import make_deep

from shoplens.challenge.registry.annotations import add_note, change_tags, select
from shoplens.challenge.registry.copies import hash_folder, require_copy, store_copy
from shoplens.challenge.registry.intake import submit
from shoplens.challenge.registry.queue import HARNESS_FAILED, SubmissionOutcome, claim, finish
from shoplens.challenge.registry.submissions import list_submissions
from shoplens.challenge.registry.terms import Round
from shoplens.challenge.registry.trail import list_events
from shoplens.challenge.removal import remove_folder
from shoplens.challenge.sandbox.limits import Limits
from shoplens.errors import ChallengeError, DataError, MissingError, ShoplensError
from shoplens.parts import held

DAY = timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_submission(tmp_path / "mine")


def test_a_copy_is_named_by_its_contents_and_read_only(tmp_path: Path, folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "run.sh").write_text("echo\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "my_submission" / "again.py").symlink_to("user_config.py")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref\n")
    store = tmp_path / "store"
    content = store_copy(folder, store)
    copy = require_copy(store, content)
    assert copy == store / content
    assert hash_folder(folder) == content == hash_folder(copy)
    names = sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*"))
    assert names == [
        "aicrowd.json", "empty", "my_submission", "my_submission/again.py",
        "my_submission/user_config.py", "run.sh",
    ]  # fmt: skip
    assert (copy / "run.sh").stat().st_mode & 0o777 == 0o555
    assert (copy / "aicrowd.json").stat().st_mode & 0o222 == 0
    assert (copy / "my_submission" / "again.py").readlink() == Path("user_config.py")
    assert [path.name for path in store.iterdir()] == [content]


def test_the_same_folder_is_kept_once_and_another_beside_it(tmp_path: Path, folder: Path) -> None:
    store = tmp_path / "store"
    first = store_copy(folder, store)
    written = (store / first / "aicrowd.json").stat().st_mtime_ns
    assert store_copy(folder, store) == first
    assert (store / first / "aicrowd.json").stat().st_mtime_ns == written
    (folder / "aicrowd.json").write_text("{}")
    second = store_copy(folder, store)
    assert {path.name for path in store.iterdir()} == {first, second}
    assert (store / first / "aicrowd.json").read_text() != "{}"


def test_what_a_kill_left_half_copied_is_removed(tmp_path: Path, folder: Path) -> None:
    store = tmp_path / "store"
    dead, alive = store / ".copy.0123abcd.part", store / ".copy.4567abcd.part"
    for part in (dead, alive):
        part.mkdir(parents=True)
        os.utime(part, (1, 1))
    with held(alive):
        store_copy(folder, store)
    assert not dead.exists()
    assert alive.exists()


def test_a_team_whose_folder_is_too_deep_stops_no_other(tmp_path: Path, folder: Path) -> None:
    registry = make_challenge(tmp_path, "Owls", "Moles")
    deep = make_submission(tmp_path / "deep")
    make_deep(deep, 1100)
    with pytest.raises(DataError, match="more than 32 deep"):
        send(registry, deep, "Moles")
    with pytest.raises(DataError, match="more than 32 deep"):
        store_copy(deep, registry.submissions)
    assert list(registry.submissions.iterdir()) == []
    assert send(registry, folder, "Owls") == 1
    remove_folder(deep)


def test_every_difference_is_another_hash(folder: Path) -> None:
    seen = {hash_folder(folder)}
    for change in (
        (folder / "a").mkdir,
        lambda: (folder / "b").write_text("a"),
        lambda: (folder / "b").rename(folder / "c"),
        lambda: (folder / "c").chmod(0o755),
        lambda: (folder / "a" / "c").symlink_to("../c"),
        lambda: (folder / "c").write_text("b"),
    ):
        change()
        seen.add(hash_folder(folder))
    assert len(seen) == 7


def test_a_copy_that_was_changed_or_is_gone_is_not_run(tmp_path: Path, folder: Path) -> None:
    content = store_copy(folder, tmp_path / "store")
    file = tmp_path / "store" / content / "aicrowd.json"
    file.chmod(0o644)
    file.write_text("other")
    with pytest.raises(ShoplensError, match="was changed"):
        require_copy(tmp_path / "store", content)
    with pytest.raises(ShoplensError, match="is gone"):
        require_copy(tmp_path / "store", "0" * 64)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "../mine/aicrowd.json"])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, folder: Path, target: str) -> None:
    (tmp_path / "outside").write_text("secret")
    (folder / "link").symlink_to(target)
    with pytest.raises(DataError, match="link is a link that leaves"):
        store_copy(folder, tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def test_what_is_no_file_is_refused(tmp_path: Path, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(DataError, match="pipe is not a file"):
        store_copy(folder, tmp_path / "store")


def test_the_challenge_itself_is_no_submission(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="holds the challenge itself"):
        store_copy(folder, folder / "challenge" / "submissions")


def test_a_submission_is_recorded(tmp_path: Path, folder: Path) -> None:
    registry = make_challenge(tmp_path, "Owls")
    receipt = submit(
        registry, folder, "owls", now=NOW, tags=("External Data", "external data"), who="ada"
    )
    assert (receipt.id, receipt.round, receipt.left_today, receipt.same_as) == (1, "main", 4, ())
    (one,) = list_submissions(registry, NOW)
    assert (one.team, one.label, one.state, one.tags) == (
        "Owls", "mine", "queued", ("external data",),
    )  # fmt: skip
    assert one.content == receipt.content == hash_folder(registry.submissions / one.content)
    assert one.submitted == NOW
    assert (one.verdict, one.public, one.private, dict(one.record)) == (None, None, None, {})
    event = list_events(registry.database)[-1]
    assert (event.what, event.who, event.detail["submission"]) == ("submitted", "ada", 1)
    again = submit(registry, folder, "owls", now=NOW, label="once more")
    assert (again.same_as, again.left_today) == ((1,), 3)


def test_what_is_no_submission_is_refused(tmp_path: Path, folder: Path) -> None:
    registry = make_challenge(tmp_path, "Owls")
    with pytest.raises(DataError, match="no team 'Owl'; did you mean"):
        send(registry, folder, "Owl")
    (folder / "my_submission" / "user_config.py").unlink()
    with pytest.raises(MissingError, match="user_config"):
        send(registry, folder, "Owls")
    assert list_submissions(registry, NOW) == ()
    assert list(registry.submissions.iterdir()) == []


def test_the_day_ends_at_midnight_utc(tmp_path: Path, folder: Path) -> None:
    registry = make_challenge(tmp_path, "Owls", "Pandas", per_day=2)
    last = datetime(2026, 3, 11, 23, 59, 59, 999999, tzinfo=timezone.utc)
    first = datetime(2026, 3, 12, tzinfo=timezone.utc)
    send(registry, folder, "Owls", last - DAY)
    send(registry, folder, "Owls", first - DAY)
    send(registry, folder, "Owls", last)
    with pytest.raises(
        ChallengeError, match=r"handed in 2 submissions on 2026-03-11.*2 a day.*03-12"
    ):
        send(registry, folder, "Owls", last)
    # An hour past midnight in Berlin the day is still the same.
    berlin = datetime(2026, 3, 12, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    with pytest.raises(ChallengeError, match="on 2026-03-11"):
        send(registry, folder, "Owls", berlin)
    send(registry, folder, "Pandas", last)
    send(registry, folder, "Owls", first)
    assert len(list_submissions(registry, first, team="owls")) == 4


def test_failures_of_the_harness_do_not_count(tmp_path: Path, folder: Path) -> None:
    registry = make_challenge(tmp_path, "Owls", per_day=1)
    send(registry, folder, "Owls")
    with pytest.raises(ChallengeError):
        send(registry, folder, "Owls")
    mine = claim(registry.database, "tests", now=NOW)
    assert mine is not None
    finish(
        registry.database, mine, SubmissionOutcome(HARNESS_FAILED, "disk", counted=False), now=NOW
    )
    send(registry, folder, "Owls")
    mine = claim(registry.database, "tests", now=NOW)
    assert mine is not None
    finish(
        registry.database, mine, SubmissionOutcome("crashed", "its fault", counted=True), now=NOW
    )
    with pytest.raises(ChallengeError):
        send(registry, folder, "Owls")
    assert [one.state for one in list_submissions(registry, NOW)] == ["failed", "done"]


def test_attempts_that_do_not_count_are_limited_too(tmp_path: Path, folder: Path) -> None:
    rounds = (Round("one", NOW, NOW + 2 * DAY, 2), Round("two", NOW + 2 * DAY, END, 2, Limits(), 3))
    registry = make_challenge(tmp_path, "Owls", "Pandas", rounds=rounds)

    def attempt(now: datetime) -> int:
        left = submit(registry, folder, "Owls", now=now).left_today
        mine = claim(registry.database, "tests", now=now)
        assert mine is not None
        finish(
            registry.database,
            mine,
            SubmissionOutcome("cannot_start", "no file", counted=False),
            now=now,
        )
        return left

    assert [attempt(NOW) for _ in range(4 * 2)] == [1, 1, 1, 1, 1, 1, 1, 0]
    with pytest.raises(ChallengeError, match=r"8 submissions with those that could not be started"):
        attempt(NOW)
    assert list(registry.submissions.iterdir())
    send(registry, folder, "Pandas")
    assert claim(registry.database, "tests", now=NOW) is not None
    attempt(NOW + DAY)
    for _ in range(3):
        attempt(NOW + 2 * DAY)
    with pytest.raises(ChallengeError, match="3 a day are allowed"):
        attempt(NOW + 2 * DAY)


def test_submissions_are_taken_in_rounds_only(tmp_path: Path, folder: Path) -> None:
    rounds = (
        Round("warm-up", NOW + DAY, NOW + 2 * DAY, 1),
        Round("final", NOW + 3 * DAY, END - DAY, 2),
    )
    registry = make_challenge(tmp_path, "Owls", rounds=rounds)
    for moment, problem in (
        (NOW, "'warm-up' begins 2026-03-11"),
        (NOW + 2 * DAY, "'final' begins 2026-03-13"),
        (END - DAY, "no later round follows"),
        (END, "the challenge ended 2026-04-09"),
    ):
        with pytest.raises(ChallengeError, match=problem):
            send(registry, folder, "Owls", moment)
    assert submit(registry, folder, "Owls", now=NOW + DAY).round == "warm-up"
    assert submit(registry, folder, "Owls", now=NOW + 3 * DAY).left_today == 1


def test_many_processes_lose_nothing_and_never_pass_the_limit(tmp_path: Path, folder: Path) -> None:
    registry = make_challenge(tmp_path, "Owls", "Pandas", per_day=7)
    teams = ("Owls", "Pandas", "Owls")
    with ProcessPoolExecutor(len(teams), get_context("spawn")) as processes:
        jobs = [
            processes.submit(submit_many, str(registry.folder), str(folder), team, 8)
            for team in teams
        ]
        numbers = sorted(number for job in jobs for number in job.result())
    assert numbers == list(range(1, 15))
    records = list_submissions(registry, NOW)
    assert [one.id for one in records] == numbers
    for team in ("Owls", "Pandas"):
        assert len([one for one in records if one.team == team]) == 7
    submitted = [e for e in list_events(registry.database) if e.what == "submitted"]
    assert sorted(e.detail["submission"] for e in submitted) == numbers
    assert len(list(registry.submissions.iterdir())) == 1


def test_notes_and_tags(tmp_path: Path, folder: Path) -> None:
    registry = make_challenge(tmp_path, "Owls")
    number = send(registry, folder, "Owls")
    add_note(registry.database, number, "two crops,\naveraged", now=NOW, who="ada")
    assert change_tags(registry.database, number, ["External data", "b"], now=NOW) == (
        "b", "external data",
    )  # fmt: skip
    assert change_tags(registry.database, number, (), ["B"], now=NOW) == ("external data",)
    (one,) = list_submissions(registry, NOW)
    assert [(note.author, note.text) for note in one.notes] == [("ada", "two crops,\naveraged")]
    assert one.tags == ("external data",)
    with pytest.raises(DataError, match="submission 1 has no tag 'c'; it has external data"):
        change_tags(registry.database, number, ["d"], ["c"], now=NOW)
    assert list_submissions(registry, NOW)[0].tags == ("external data",)
    with pytest.raises(DataError, match="no submission 9"):
        add_note(registry.database, 9, "text", now=NOW)


def test_final_submissions_are_named(tmp_path: Path, folder: Path) -> None:
    rounds = (Round("one", NOW, NOW + DAY, 9), Round("two", NOW + DAY, END, 9))
    registry = make_challenge(tmp_path, "Owls", "Pandas", selections=2, rounds=rounds)
    database = registry.database
    for team in ("Owls", "Owls", "Owls", "Pandas"):
        send(registry, folder, team)
        score(registry, 0.5, 0.5)
    other_round = send(registry, folder, "Owls", NOW + DAY)
    with pytest.raises(ChallengeError, match=r"submission 5 has no score \(queued\)"):
        select(database, "Owls", [other_round], now=NOW + DAY)
    score(registry, 0.5, 0.5, NOW + DAY)
    for numbers, problem in (
        ([1, 2, 3], "you named 3 submissions; a team may select 2"),
        ([4], "submission 4 is not one of team 'Owls'"),
        ([1, 5], "of several rounds"),
    ):
        with pytest.raises(ChallengeError, match=problem):
            select(database, "Owls", numbers, now=NOW + DAY)
    select(database, "Owls", [1], now=NOW + DAY)
    select(database, "Owls", [5], now=NOW + DAY)
    select(database, "owls", [3, 2, 3], now=NOW + DAY)

    def chosen() -> list[int]:
        return [one.id for one in list_submissions(registry, NOW) if one.selected]

    assert chosen() == [2, 3, 5]
    select(database, "Owls", [], now=NOW + DAY)
    assert chosen() == [2, 3]
    with pytest.raises(ChallengeError, match="can no longer be chosen"):
        select(database, "Owls", [1], now=END)
    assert chosen() == [2, 3]
