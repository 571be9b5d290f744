from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from made_challenges import END, NOW, SAMPLE, make_challenge, make_submission, score, send

from shoplens.challenge.registry.instants import current, to_text
from shoplens.challenge.registry.queue import SubmissionOutcome, claim, finish
from shoplens.challenge.registry.registry import Registry

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_challenge_from_start_to_finish(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "autumn"

    def do(*words: object, code: int = 0) -> str:
        result = run("challenge", words[0], *words[1:])
        assert result.code == code, result.err
        return result.out + result.err

    made = run("challenge", "create", place, "--data", SAMPLE, "--json", "-").json
    assert (made["n_public"], made["n_private"], made["title"]) == (12, 28, "autumn")
    assert "unchanged" in do("status", place)
    do("team", "add", place, "Red Pandas", "--member", "Ada")
    joined = run("challenge", "team", "join", place, "red pandas", "Linus", "--json", "-")
    assert joined.json == {"team": "red pandas", "member": "Linus"}
    do("team", "leave", place, "Red Pandas", "Linus")
    assert run("challenge", "team", "list", place, "--json", "-").json["teams"][0]["members"] == [
        "Ada"
    ]
    assert "Grace" in do("seeking", place, "--add", "Grace", "--contact", "c", "--about", "a")
    assert "nobody is looking" in do("seeking", place, "--remove", "grace")
    do("declare", place, "--team", "Red Pandas", "--link", "https://a.example", "--about", "shoes")
    assert "https://a.example" in do("declarations", place)
    submission = make_submission(tmp_path / "mine")
    assert "submission 1 is in the queue (round main); 4 more today" in do(
        "submit", place, submission, "--team", "Red Pandas", "--tag", "external data"
    )
    worked = run("challenge", "work", place, "--json", "-").json["finished"]
    assert [(one["submission"], one["verdict"]) for one in worked] == [(1, "ok")]
    assert "the queue is empty" in do("work", place)
    do("note", place, 1, "the gallery in its order")
    assert "external data, quick" in do("tag", place, 1, "--add", "quick")
    do("select", place, 1, "--team", "Red Pandas")
    shown = do("submissions", place, 1)
    for text in ("verdict: ok", "final: named", "the gallery in its order", "external data, quick"):
        assert text in shown
    assert "private" not in shown
    do("end", place, "--now", "--by", "boss")
    assert "private: 0." in do("submissions", place, 1)
    assert "private scores: open" in do("status", place)
    assert "the challenge ended" in do("submit", place, submission, "--team", "Red Pandas", code=1)
    trail = run("challenge", "events", place, "--json", "-").json["events"]
    assert [event["what"] for event in trail] == [
        "challenge created", "team added", "member joined", "member joined", "member left",
        "seeking team mates", "no longer seeking team mates", "data declared", "submitted",
        "run begun", "run ended", "note written", "tags changed", "final submissions named",
        "end moved",
    ]  # fmt: skip
    assert trail[-1]["who"] == "boss"
    assert "end moved" in do("events", place, "--latest", 1)


def test_the_seal_holds_in_tables_and_json(run: Run, tmp_path: Path) -> None:
    now = current()
    sealed = make_challenge(tmp_path / "a", "Owls", now=now - DAY, ends=now + DAY)
    opened = make_challenge(tmp_path / "b", "Owls", now=now - 2 * DAY, ends=now - DAY)
    submission = make_submission(tmp_path / "mine")
    for registry, moment in ((sealed, now), (opened, now - 2 * DAY)):
        send(registry, submission, "Owls", moment)
        score(registry, 0.25, 0.125, moment)

    def everything(folder: Path) -> str:
        texts = []
        for words in (["submissions", folder], ["submissions", folder, 1], ["status", folder]):
            for more in ([], ["--json", "-"]):
                result = run("challenge", *words, *more)
                assert result.code == 0
                texts.append(result.out)
        return "\n".join(texts)

    said = everything(sealed.folder)
    assert "0.25" in said
    assert "0.125" not in said
    # Nor what is over both sides: with the public score it would give the private one away.
    assert "0.987654" not in said
    assert all(
        json.loads(text)["sealed"]
        for text in [run("challenge", "submissions", sealed.folder, "--json", "-").out]
    )
    said = everything(opened.folder)
    assert "0.1250" in said
    assert "0.987654" in said


def finish_next(registry: Registry, verdict: str, reason: str, record: dict[str, Any]) -> None:
    """Let a worker take the next submission, and write down a run without scores."""
    now = current()
    mine = claim(registry.database, "tests", now=now)
    assert mine is not None
    text = json.dumps({"verdict": verdict, "reason": reason, "private": True, **record})
    outcome = SubmissionOutcome(verdict, reason, True, 1.5, 20.0, "000001-1", text)
    assert finish(registry.database, mine, outcome, now=now)


def test_a_refused_answer_is_explained_in_words(run: Run, tmp_path: Path) -> None:
    now = current()
    registry = make_challenge(tmp_path, "Owls", now=now - DAY, ends=now + DAY)
    send(registry, make_submission(tmp_path / "mine"), "Owls", now)
    findings = [
        {"level": "error", "code": "unknown_id", "text": "", "count": 32_374, "places": []},
        {"level": "warning", "code": "positions", "text": "", "count": 1, "places": []},
    ]
    finish_next(registry, "invalid_answer", "unknown_id, positions", {"findings": findings})
    shown = run("challenge", "submissions", registry.folder, 1).out
    assert "verdict: invalid_answer: the id (or row position) of no gallery photo; " in shown
    assert "error: the id (or row position) of no gallery photo (32,374 places)" in shown
    assert "unknown_id" not in shown


def test_a_team_is_told_what_it_said_and_the_public_is_not(run: Run, tmp_path: Path) -> None:
    now = current()
    registry = make_challenge(tmp_path, "Owls", now=now - DAY, ends=now + DAY)
    send(registry, make_submission(tmp_path / "mine"), "Owls", now)
    log = "What was printed is withheld: the data are private.\nraise_aicrowd_error: no index\n"
    finish_next(registry, "crashed", "predict: NameError", {"log": log})
    shown = run("challenge", "submissions", registry.folder, 1).out
    assert "verdict: crashed: predict: NameError\nraise_aicrowd_error: no index\n" in shown
    site = tmp_path / "site"
    assert run("challenge", "site", registry.folder, site).code == 0
    assert not any(b"no index" in file.read_bytes() for file in site.rglob("*.*"))


def test_the_table_of_submissions_breaks_no_words(
    run: Run, run_on_terminal: Run, tmp_path: Path
) -> None:
    now = current()
    name, label = "The Very Long Nameless Team of Forty Owls", "unpronounceable-" * 3
    for over, ends in ((False, now + DAY), (True, now - DAY)):
        registry = make_challenge(tmp_path / str(over), name, now=now - 3 * DAY, ends=ends)
        submission = make_submission(tmp_path / f"mine{over}")
        send(registry, submission, name, now - 2 * DAY, label=label)
        send(registry, submission, name, now - 2 * DAY, label="b")
        score(registry, 0.25, 0.125, now - 2 * DAY)
        finish_next(registry, "invalid_answer", "columns", {})
        rows = run("challenge", "submissions", registry.folder).out.splitlines()
        assert rows[1].split("\t")[1:3] == [name, label]
        table = run_on_terminal("challenge", "submissions", registry.folder).out
        assert max(map(len, table.splitlines())) <= 80
        words = [word for word in table.split() if not word.endswith("…")]
        for word in ("invalid_answer", "0.2500", "submitted", "Nameless", "Forty"):
            assert word in words
        assert ("0.1250" in words) == over


def test_rounds_on_the_command_line(run: Run, tmp_path: Path) -> None:
    made = run(
        "challenge", "create", tmp_path / "c", "--data", SAMPLE,
        "--round", "warm-up, 2026-10-01, 2026-11-01, limit=1800, cpus=2, memory=8000",
        "--round", "final,2026-11-01,2026-12-01T18:00+02:00,per-day=2",
        "--limit", "900", "--json", "-",
    )  # fmt: skip
    assert made.code == 0, made.err
    first, last = made.json["rounds"]
    assert (first["name"], first["per_day"], first["limits"]["seconds"]) == ("warm-up", 5, 1800)
    assert (first["limits"]["cpus"], first["limits"]["memory_mb"]) == (2, 8000)
    assert (last["per_day"], last["limits"]["seconds"]) == (2, 900)
    assert last["ends"] == made.json["ends"] == "2026-12-01T16:00:00.000000Z"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("final", "is not NAME,START,END"),
        ("final,soon,2026-12-01", "'soon' is not a date or time"),
        (
            "final,2026-11-01,2026-12-01,limits=4",
            "a round has no 'limits': the keys are limit, cpus",
        ),
        ("final,2026-11-01,2026-12-01,limit=much", "'much' is not a number"),
        ("final,2026-11-01,2026-12-01,cpus=1.5", "'1.5' is not a whole number"),
        ("final,2026-11-01,2026-12-01,per-day=0", "must be positive"),
    ],
)
def test_a_round_that_cannot_be_read_is_wrong_usage(
    run: Run, tmp_path: Path, text: str, problem: str
) -> None:
    result = run("challenge", "create", tmp_path / "c", "--data", SAMPLE, "--round", text)
    assert result.code == 2
    assert problem in " ".join(result.err.split())
    assert not (tmp_path / "c").exists()


def test_exit_codes(run: Run, tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls", now=current(), ends=END.replace(year=2999))
    place = registry.folder
    for words, code in (
        (("status", tmp_path), 3),
        (("create", place, "--data", SAMPLE), 1),
        (("create", tmp_path / "c", "--data", tmp_path / "nowhere"), 3),
        (("create", tmp_path / "c", "--data", SAMPLE, "--end", "soon"), 2),
        (("create", tmp_path / "c", "--data", SAMPLE, "--public-share", "1"), 2),
        (("submit", place, tmp_path / "nowhere", "--team", "Owls"), 3),
        (("team", "add", place, "owls"), 1),
        (("submissions", place, 7), 1),
        (("tag", place, 7), 2),
        (("end", place), 2),
        (("seeking", place, "--add", "Ada"), 2),
        (("work", place, "--once", "--watch"), 2),
        (("retry", place, 7), 1),
    ):
        result = run("challenge", *words)
        assert result.code == code, (words, result.err)


def test_a_challenge_that_cannot_be_put_there_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("challenge", "create", tmp_path / "file" / "c", "--data", SAMPLE)
    assert result.code == 1
    assert "Errno" not in result.err
    assert f"cannot make {tmp_path / 'file' / 'c'}: Not a directory" in result.err


def test_a_side_that_tells_nobody_apart_is_warned_of(run: Run, tmp_path: Path) -> None:
    few = run(
        "challenge", "create", tmp_path / "a", "--data", SAMPLE, "--public-share", "0.0001"
    )  # fmt: skip
    assert few.code == 0
    assert "warning: the public side has 1 product" in few.err
    many = run("challenge", "create", tmp_path / "b", "--data", SAMPLE, "--public-share", "0.5")
    assert "warning" not in many.err


def test_the_end_is_given_once(run: Run, tmp_path: Path) -> None:
    place = make_challenge(tmp_path, "Owls", now=current(), ends=END.replace(year=2999)).folder
    assert "give --at or --now\n" in run("challenge", "end", place).err
    both = run("challenge", "end", place, "--at", "2998-01-01", "--now")
    assert both.code == 2
    assert "--at and --now contradict each other" in both.err


def test_the_trail_speaks_plainly(run: Run, tmp_path: Path) -> None:
    now = current()
    registry = make_challenge(tmp_path, "Owls", now=now - DAY, ends=now + DAY)
    send(registry, make_submission(tmp_path / "mine"), "Owls", now)
    score(registry, 0.25, 0.125, now)
    run("challenge", "tag", registry.folder, 1, "--add", "a", "--add", "b")
    run("challenge", "select", registry.folder, 1, "--team", "Owls")
    run("challenge", "select", registry.folder, "--team", "Owls")
    trail = run("challenge", "events", registry.folder).out
    assert "run ended: submission 1, verdict ok, counted yes" in trail
    assert "tags changed: submission 1, added a and b\n" in trail
    assert "final submissions named: team Owls, submissions 1\n" in trail
    assert "final submissions named: team Owls, submissions none\n" in trail


def test_status_fails_when_the_ground_truth_has_changed(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(SAMPLE, data)
    place = tmp_path / "c"
    assert run("challenge", "create", place, "--data", data).code == 0
    (data / "queries.csv").unlink()
    result = run("challenge", "status", place, "--json", "-")
    assert result.code == 1
    assert "has no queries.csv" in result.json["ground_truth"]


def test_a_late_declaration_is_said_to_be_late(run: Run, tmp_path: Path) -> None:
    now = current()
    registry = make_challenge(
        tmp_path, "Owls", now=now - 2 * DAY, ends=now + DAY, data_deadline=now - DAY
    )
    link = ("--link", "https://a.example", "--about", "shoes")
    result = run("challenge", "declare", registry.folder, "--team", "Owls", *link)
    assert result.code == 0
    assert "marked as late" in result.err
    declared = run("challenge", "declarations", registry.folder, "--json", "-").json
    assert [one["late"] for one in declared["declarations"]] == [True]
    assert NOW.tzinfo is not None
    assert to_text(now)[:10] in run("challenge", "declarations", registry.folder).out


@pytest.mark.parametrize(
    "words",
    [
        ("--start", "9999-12-30"),
        ("--start", "0001-01-01T00:00+14:00"),
        ("--seed", "-1"),
        ("--seed", str(2**70)),
        ("--per-day", str(2**70)),
        ("--limit", "inf"),
    ],
)
def test_numbers_and_times_out_of_reach_are_refused(
    tmp_path: Path, run: Run, words: tuple[str, str]
) -> None:
    done = run("challenge", "create", tmp_path / "c", "--data", SAMPLE, *words)
    assert done.code in (1, 2)
    assert "Traceback" not in done.err
    assert not (tmp_path / "c").exists()
