from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from made_challenges import (
    NOW,
    SAMPLE,
    kill,
    make_challenge,
    make_submission,
    score,
    send,
    start_python,
)

from shoplens.challenge.registry.creation import create_challenge
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.submission_rows import find_submission, read_record
from shoplens.challenge.registry.teams import add_team, list_teams
from shoplens.challenge.registry.trail import list_events
from shoplens.errors import DataError, MissingError


def test_a_folder_without_a_challenge_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"is not a challenge: it has no challenge\.db"):
        Registry(tmp_path).terms()


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "challenge.db")) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    with pytest.raises(DataError, match="not a challenge"):
        Registry(tmp_path).terms()
    with pytest.raises(DataError, match="is there already"):
        create_challenge(tmp_path, SAMPLE, now=NOW)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "challenge.db").write_bytes(b"no database at all, but long enough" * 100)
    with pytest.raises(DataError, match=r"challenge\.db is damaged, or not an SQLite file"):
        Registry(tmp_path).terms()


def test_making_it_can_be_broken_off_and_repeated_but_not_done_twice(tmp_path: Path) -> None:
    (tmp_path / "challenge").mkdir()
    (tmp_path / "challenge" / "challenge.db").touch()  # As a kill in the middle leaves it.
    with pytest.raises(DataError, match="interrupted"):
        Registry(tmp_path / "challenge").terms()
    registry = make_challenge(tmp_path)
    assert registry.terms().title == "challenge"
    with pytest.raises(DataError, match="is there already"):
        make_challenge(tmp_path, title="other")
    assert registry.terms().title == "challenge"


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path)
    assert registry.database.file.stat().st_mode & 0o077 == 0
    assert registry.submissions.stat().st_mode & 0o077 == 0


def test_a_change_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path)
    before = list_events(registry.database)

    def fail() -> None:
        with registry.database.change(NOW, "someone") as change:
            change.execute(
                "INSERT INTO teams (name, folded, founded) VALUES ('A', 'a', ?)", (change.at,)
            )
            change.record("team added", team="A")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list_teams(registry.database) == ()
    assert list_events(registry.database) == before


def test_the_trail_says_who_did_what_when_and_cannot_be_changed(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path)
    add_team(registry.database, "Pandas", ("Ada",), now=NOW, who="organiser")
    trail = list_events(registry.database)
    assert [event.what for event in trail] == ["challenge created", "team added", "member joined"]
    assert trail[-1].who == "organiser"
    assert trail[-1].at == NOW
    assert trail[-1].detail == {"team": "Pandas", "member": "Ada"}
    assert list_events(registry.database, latest=1) == trail[-1:]
    for statement in ("DELETE FROM events", "UPDATE events SET who = 'nobody'"):
        with (
            pytest.raises(sqlite3.IntegrityError, match="never"),
            registry.database.change(NOW) as change,
        ):
            change.execute(statement)
    assert list_events(registry.database) == trail


@pytest.mark.parametrize("text", ["[" * 9999 + "]" * 9999, '{"seconds": "long"}', "{"])
def test_json_that_cannot_be_read_names_its_place(tmp_path: Path, text: str) -> None:
    registry = make_challenge(tmp_path, "Owls")
    send(registry, make_submission(tmp_path / "mine"), "Owls")
    score(registry, 0.5, 0.5)
    with registry.database.change(NOW) as change:
        change.execute("UPDATE submissions SET record = ?", (text,))
        change.execute(
            "INSERT INTO events (at, who, what, detail) VALUES (?, '', '', ?)", (change.at, text)
        )
        change.execute("UPDATE rounds SET limits = ?", (text,))
    if "seconds" not in text:
        with (
            registry.database.reading() as connection,
            pytest.raises(DataError, match="the record of submission 1"),
        ):
            read_record(find_submission(connection, 1), over=True)
        with pytest.raises(DataError, match=r"event \d"):
            list_events(registry.database)
    with pytest.raises(DataError, match="the limits of round 'main'"):
        registry.terms()


def test_foreign_keys_hold(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path)
    with (
        pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"),
        registry.database.change(NOW) as change,
    ):
        change.execute(
            "INSERT INTO members (team_id, name, folded, joined) VALUES (7, 'A', 'a', '')"
        )


def test_readers_go_on_while_one_writes(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Pandas")
    with registry.database.change(NOW) as change:
        change.execute("DELETE FROM teams")
        assert [team.name for team in list_teams(registry.database)] == ["Pandas"]
    assert list_teams(registry.database) == ()


WRITER = """
import sys, time
from pathlib import Path
from made_challenges import NOW
from shoplens.challenge.registry.registry import Registry

with Registry(Path(sys.argv[1])).database.change(NOW, "killed") as change:
    for i in range(1000):
        change.execute(
            "INSERT INTO teams (name, folded, founded) VALUES (?, ?, '')", (str(i), str(i))
        )
    change.record("team added", team="many")
    print("written", flush=True)
    time.sleep(60)
"""


def test_kill_9_in_the_middle_of_a_write_leaves_nothing_and_locks_nothing(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Pandas")
    before = list_events(registry.database)
    process = start_python(WRITER, registry.folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    kill(process)
    assert [team.name for team in list_teams(registry.database)] == ["Pandas"]
    assert list_events(registry.database) == before
    add_team(registry.database, "Owls", now=NOW)
    with registry.database.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


COMMITTER = """
import sys
from pathlib import Path
from made_challenges import NOW
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.submission_rows import find_submission, read_record
from shoplens.challenge.registry.teams import add_team

database = Registry(Path(sys.argv[1])).database
for i in range(100_000):
    add_team(database, f"team {i}", now=NOW)
    print(i, flush=True)
"""


def test_what_was_said_to_be_written_survives_kill_9(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path)
    process = start_python(COMMITTER, registry.folder)
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(20)]
    kill(process)
    teams = [team.name for team in list_teams(registry.database)]
    assert teams[: len(said)] == [f"team {number}" for number in said]
    added = [e.detail["team"] for e in list_events(registry.database) if e.what == "team added"]
    assert added == teams
