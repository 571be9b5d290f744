from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Run
from made_challenges import NOW, SAMPLE, make_challenge, make_submission, score, send

from shoplens.challenge.leaderboard import standings
from shoplens.challenge.registry import database as database_module
from shoplens.challenge.registry.database import Database
from shoplens.challenge.registry.declarations import list_declarations
from shoplens.challenge.registry.migrations import FIRST, VERSION
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.submissions import list_submissions
from shoplens.challenge.registry.teams import add_team, list_seekers, list_teams
from shoplens.challenge.registry.trail import list_events
from shoplens.errors import DataError

FIXTURES = {1: "challenge_version_1.sql", 2: "challenge_version_2.sql"}


def old_challenge(folder: Path, version: int = 1) -> Registry:
    """Write a challenge's file as an older version left it."""
    text = (Path(__file__).parent / FIXTURES[version]).read_text(encoding="utf-8")
    for name in ("pages", "submissions", "runs"):
        (folder / name).mkdir(parents=True)
    with closing(sqlite3.connect(folder / "challenge.db")) as connection:
        connection.executescript(text.replace("LABELLED_SET", str(SAMPLE)))
    return Registry(folder)


def set_version(registry: Registry, version: int) -> None:
    with closing(sqlite3.connect(registry.database.file)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def columns(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """Each table's columns: name, type, NOT NULL, default, key; and the other names there are."""
    with closing(sqlite3.connect(file)) as connection:
        names = connection.execute("SELECT type, name FROM sqlite_master").fetchall()
        return {
            f"{kind} {name}": sorted(
                row[1:] for row in connection.execute(f"PRAGMA table_info({name})")
            )
            for kind, name in names
        }


def test_there_is_a_fixture_of_every_earlier_version() -> None:
    assert sorted(FIXTURES) == list(range(FIRST, VERSION))


@pytest.mark.parametrize("version", FIXTURES)
def test_an_older_file_has_the_tables_of_a_new_one_after_the_upgrade(
    tmp_path: Path, version: int
) -> None:
    old, new = old_challenge(tmp_path / "old", version), make_challenge(tmp_path)
    assert columns(old.database.file) != columns(new.database.file)
    old.database.upgrade(NOW)
    assert columns(old.database.file) == columns(new.database.file)


def test_a_writer_upgrades_an_older_file_and_nothing_in_it_is_lost(tmp_path: Path) -> None:
    registry = old_challenge(tmp_path / "autumn")
    add_team(registry.database, "Herons", now=NOW, who="organiser")
    terms = registry.terms()
    assert [(one.name, one.per_day, one.limits.seconds) for one in terms.rounds] == [
        ("warm-up", 5, 60),
        ("final", 2, 30),
    ]
    teams = [team.name for team in list_teams(registry.database)]
    assert teams == ["Owls", "\u041ewls", "Red Pandas", "Herons"]
    with pytest.raises(DataError, match="looks like the name of team 'Owls'"):
        add_team(registry.database, "0WLS", now=NOW)
    assert [one.name for one in list_seekers(registry.database)] == ["Barbara"]
    assert len(list_declarations(registry.database)) == 1
    records = list_submissions(registry, NOW)
    assert [one.state for one in records] == ["done", "done", "failed", "queued"]
    assert records[0].public == pytest.approx(0.75)
    assert (records[0].tags, records[0].selected) == (("external data",), True)
    ranking = standings(registry.board("public", NOW))
    assert [(one.entry.team, one.rank) for one in ranking][:1] == [("Owls", 1)]
    trail = list_events(registry.database)
    assert [event.what for event in trail[-2:]] == ["file upgraded", "team added"]
    assert trail[-2].detail == {"before": 1, "after": VERSION}
    assert trail[-2].who == "organiser"
    # It goes on: what waited is run, and more is taken in.
    assert score(registry, 0.5, 0.5) == 4
    assert send(registry, make_submission(tmp_path / "mine"), "Herons") == 5


def test_the_earlier_file_is_kept_beside_it_for_its_owner_alone(tmp_path: Path) -> None:
    registry = old_challenge(tmp_path / "autumn")
    with closing(sqlite3.connect(registry.database.file)) as connection:
        before = list(connection.iterdump())
    copy = registry.database.upgrade(NOW)
    assert copy == tmp_path / "autumn" / "challenge.db.version-1"
    assert copy.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(copy)) as connection:
        assert list(connection.iterdump()) == before
    assert version_of(copy) == 1
    assert registry.database.upgrade(NOW) is None
    assert not list((tmp_path / "autumn").glob(".*"))


def test_reading_an_older_file_changes_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    registry = old_challenge(tmp_path / "autumn")
    with pytest.raises(DataError, match=rf"version 1.*reads version {VERSION}.*upgrade .*autumn"):
        registry.terms()
    assert version_of(registry.database.file) == 1


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path)
    set_version(registry, VERSION + 1)
    for use in (registry.terms, lambda: add_team(registry.database, "Owls", now=NOW)):
        with pytest.raises(DataError, match=f"version {VERSION + 1}.*use a newer shoplens"):
            use()
    set_version(registry, 0)
    with pytest.raises(DataError, match=r"version 0.*restore a backup"):
        registry.terms()


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = old_challenge(tmp_path / "autumn")

    def fail(connection: sqlite3.Connection, version: int) -> None:
        connection.execute("DROP TABLE notes")
        raise DataError("stop")

    monkeypatch.setattr(database_module, "migrate", fail)
    with pytest.raises(DataError, match="stop"):
        add_team(registry.database, "Herons", now=NOW)
    monkeypatch.undo()
    assert version_of(registry.database.file) == 1
    add_team(registry.database, "Herons", now=NOW)
    assert list_submissions(registry, NOW, number=1)[0].notes[0].text == "two crops, averaged"


def test_a_file_whose_rows_refer_to_nothing_is_not_upgraded(tmp_path: Path) -> None:
    registry = old_challenge(tmp_path / "autumn")
    with closing(sqlite3.connect(registry.database.file)) as connection:
        connection.execute("DELETE FROM teams WHERE name = 'Owls'")
        connection.commit()
    with pytest.raises(DataError, match="rows of declarations, members, submissions refer"):
        registry.database.upgrade(NOW)
    assert version_of(registry.database.file) == 1


def test_several_writers_at_once_upgrade_it_once(tmp_path: Path) -> None:
    database = old_challenge(tmp_path / "autumn").database
    threads = [
        threading.Thread(target=add_team, args=(Database(database.file), f"Team {i}"),
                         kwargs={"now": NOW})
        for i in range(8)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    what = [event.what for event in list_events(database)]
    assert what.count("file upgraded") == 1
    assert what.count("team added") == 3 + 8


def test_commands_on_an_older_file(run: Run, tmp_path: Path) -> None:
    folder = old_challenge(tmp_path / "autumn").folder
    refused = run("challenge", "status", folder)
    assert refused.code == 1
    assert f"shoplens challenge upgrade {folder}" in refused.err.replace("\n", " ")
    upgraded = run("challenge", "upgrade", folder, "--json", "-")
    assert upgraded.json == {"version": VERSION, "backup": str(folder / "challenge.db.version-1")}
    assert run("challenge", "upgrade", folder, "--json", "-").json["backup"] is None
    assert run("challenge", "status", folder).code == 0


@pytest.mark.parametrize("command", ["submit", "work", "end"])
def test_commands_that_write_upgrade_by_themselves(run: Run, tmp_path: Path, command: str) -> None:
    folder = old_challenge(tmp_path / "autumn").folder
    words: dict[str, list[object]] = {
        "submit": [make_submission(tmp_path / "mine"), "--team", "Owls"],
        "work": ["--once", "--isolation", "none"],
        "end": ["--at", (NOW + timedelta(days=20)).isoformat()],
    }
    run("challenge", command, folder, *words[command])
    assert version_of(folder / "challenge.db") == VERSION
