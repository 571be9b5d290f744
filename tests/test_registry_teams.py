from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_challenges import END, NOW, make_challenge

from shoplens.challenge.registry.declarations import declare, list_declarations
from shoplens.challenge.registry.names import (
    clean_link,
    clean_name,
    clean_tag,
    clean_text,
    fold,
)
from shoplens.challenge.registry.teams import (
    add_team,
    join_team,
    leave_team,
    list_seekers,
    list_teams,
    seek,
    stop_seeking,
)
from shoplens.challenge.registry.trail import list_events
from shoplens.errors import ChallengeError, DataError


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "needs a letter or a digit"),
        ("  ", "needs a letter or a digit"),
        ("!?", "needs a letter or a digit"),
        ("x" * 61, "has 61 characters, 60 are allowed"),
        ("two\nlines", "invisible"),
        ("bell\a", "invisible"),
        ("\x1b[31mred", "invisible"),
        ("zero\u200bwidth", "invisible"),
        ("turned\u202eround", "invisible"),
        ("surrogate\udc80", "invisible"),
    ],
)
def test_names_that_are_refused(name: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        clean_name(name, "team")


@given(st.text(max_size=40))
def test_a_clean_name_stays_as_it_is_and_folds_like_its_source(text: str) -> None:
    try:
        name = clean_name(text, "team")
    except DataError:
        return
    assert clean_name(name, "team") == name
    assert fold(name) == fold(text) == fold(fold(name))
    assert name.isprintable()


def test_names_that_look_the_same_are_the_same() -> None:
    same = {"Straße", "STRASSE", " strasse ", "\uff53trasse"}
    assert len({fold(name) for name in same}) == 1
    assert clean_name("e\u0301clair  team", "team") == "\u00e9clair team"


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Owls", "\u041ewls"),  # A Cyrillic O.
        ("owls", "\u041eWLS"),
        ("COCOA", "\u0421\u041e\u0421\u041e\u0410"),  # Cyrillic throughout.
        ("\u0421\u041e\u0421\u041e\u0410", "cocoa"),
        ("TOKEN", "\u03a4\u039f\u039a\u0395\u039d"),  # Greek.
        ("Owls", "OwIs"),  # An upper-case I.
        ("Team 1", "Team I"),
        ("Team O", "Team 0"),
        ("\u00d6rebro", "\u04e6rebro"),  # A Cyrillic O with dots.
    ],
)
def test_a_team_whose_name_looks_like_anothers_is_refused(
    tmp_path: Path, name: str, other: str
) -> None:
    registry = make_challenge(tmp_path, name)
    with pytest.raises(DataError, match=r"looks like the name of team|mixes .* letters"):
        add_team(registry.database, other, now=NOW)
    assert [team.name for team in list_teams(registry.database)] == [name]


def test_letters_of_two_alphabets_in_one_word_are_refused_and_scripts_beside_each_other_are_not(
    tmp_path: Path,
) -> None:
    names = ["Mali", "Mall", "Muller", "M\u00fcller", "Team 1", "Team L",
             "\u041a\u043e\u043c\u0430\u043d\u0434\u0430 ML",
             "\u03b1-team", "\u30c1\u30fc\u30e0 X", "\u6771\u4eacTokyo",
             "\u041e\u0440\u043b\u044b"]  # fmt: skip
    registry = make_challenge(tmp_path, *names)
    assert [team.name for team in list_teams(registry.database)] == names
    with pytest.raises(DataError, match="mixes Cyrillic and Latin letters in '\u041ewls'"):
        add_team(registry.database, "Night \u041ewls", now=NOW)


def test_texts_tags_and_links() -> None:
    assert clean_text(" two\r\nlines ", "note") == "two\nlines"
    assert clean_tag("  External   Data ") == "external data"
    assert clean_link(" https://example.org/a?b=c ") == "https://example.org/a?b=c"
    for link in ("javascript:alert(1)", "example.org", "https://", "http://a b", "https://[", ""):
        with pytest.raises(DataError, match="is not a link"):
            clean_link(link)
    for tag in ("", "<b>", "x" * 41, "naïve"):
        with pytest.raises(DataError, match="tag"):
            clean_tag(tag)
    for text in ("", " \n", "x" * 2001, "\x1b[2J"):
        with pytest.raises(DataError, match="about"):
            clean_text(text, "about")


def test_teams_and_their_members(tmp_path: Path) -> None:
    database = make_challenge(tmp_path).database
    add_team(database, "Red Pandas", ("Ada", "Linus"), now=NOW)
    add_team(database, "Owls", now=NOW)
    with pytest.raises(DataError, match="there is a team 'Red Pandas' already"):
        add_team(database, "RED  pandas", now=NOW)
    with pytest.raises(ChallengeError, match="ada is in team 'Red Pandas' already"):
        join_team(database, "owls", "ada", now=NOW)
    with pytest.raises(DataError, match="no team 'Owl'; did you mean 'Owls'"):
        join_team(database, "Owl", "Grace", now=NOW)
    with pytest.raises(DataError, match="no member 'Linux'; did you mean 'Linus'"):
        leave_team(database, "Red Pandas", "Linux", now=NOW)
    leave_team(database, "red pandas", "ADA", now=NOW)
    join_team(database, "owls", "Ada", now=NOW)
    teams = list_teams(database)
    assert [(team.name, team.members) for team in teams] == [
        ("Red Pandas", ("Linus",)),
        ("Owls", ("Ada",)),
    ]


def test_a_team_with_a_member_of_another_is_not_founded_at_all(tmp_path: Path) -> None:
    database = make_challenge(tmp_path).database
    add_team(database, "Owls", ("Ada",), now=NOW)
    with pytest.raises(ChallengeError, match="a person can be in one team only"):
        add_team(database, "Pandas", ("Grace", "Ada"), now=NOW)
    assert [team.name for team in list_teams(database)] == ["Owls"]
    assert "Grace" not in str(list_events(database))


def test_the_board_of_those_who_look_for_team_mates(tmp_path: Path) -> None:
    database = make_challenge(tmp_path, "Owls").database
    seek(database, "Grace", "grace@example.org", "has a GPU", now=NOW)
    seek(database, "Owls", "owls@example.org", "look for a designer", now=NOW + timedelta(hours=1))
    seek(database, "grace", "grace@example.org", "has two GPUs", now=NOW + timedelta(hours=2))
    assert [(one.name, one.about) for one in list_seekers(database)] == [
        ("grace", "has two GPUs"),
        ("Owls", "look for a designer"),
    ]
    join_team(database, "Owls", "Grace", now=NOW)
    assert [one.name for one in list_seekers(database)] == ["Owls"]
    with pytest.raises(ChallengeError, match="Grace is in team 'Owls'"):
        seek(database, "Grace", "here", "again", now=NOW)
    with pytest.raises(DataError, match="'Owl' is not on the list; did you mean 'Owls'"):
        stop_seeking(database, "Owl", now=NOW)
    stop_seeking(database, "owls", now=NOW)
    assert list_seekers(database) == ()


def test_teams_stay_as_they_are_when_the_challenge_is_over(tmp_path: Path) -> None:
    database = make_challenge(tmp_path, "Owls").database
    for change in (
        lambda: add_team(database, "Late", now=END),
        lambda: join_team(database, "Owls", "Late", now=END),
        lambda: leave_team(database, "Owls", "Late", now=END),
        lambda: seek(database, "Late", "here", "late", now=END),
    ):
        with pytest.raises(ChallengeError, match="over: teams can no longer"):
            change()
    assert [(team.name, team.members) for team in list_teams(database)] == [("Owls", ())]


def test_data_declared_after_the_deadline_are_late_and_after_the_end_refused(
    tmp_path: Path,
) -> None:
    deadline = NOW + timedelta(days=7)
    database = make_challenge(tmp_path, "Owls", "Pandas", data_deadline=deadline).database
    just_before = deadline - timedelta(microseconds=1)
    assert not declare(database, "Owls", "https://a.example", "shoes, CC0", now=just_before).late
    assert declare(database, "pandas", "https://a.example", "shoes, CC0", now=deadline).late
    with pytest.raises(DataError, match=r"'Owls' declared https://a\.example 2026-03-17"):
        declare(database, "Owls", "https://a.example", "again", now=deadline)
    with pytest.raises(ChallengeError, match="the challenge ended 2026-04-09 12:00 UTC"):
        declare(database, "Owls", "https://b.example", "bags", now=END)
    declared = list_declarations(database)
    assert [(one.team, one.declared, one.late) for one in declared] == [
        ("Owls", just_before, False),
        ("Pandas", deadline, True),
    ]
