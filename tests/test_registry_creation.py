from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from made_challenges import END, NOW, SAMPLE, make_challenge, split_of

from shoplens.challenge.registry.creation import create_challenge
from shoplens.challenge.registry.ground_truth import require_unchanged
from shoplens.challenge.registry.instants import day_of, from_text, to_text
from shoplens.challenge.registry.organiser_pages import PAGES, read_pages, write_pages
from shoplens.challenge.registry.terms import Policy, Round, move_end
from shoplens.challenge.registry.trail import list_events
from shoplens.challenge.sandbox.limits import Limits
from shoplens.errors import ChallengeError, DataError, MissingError

DAY = timedelta(days=1)


def test_times_are_utc_and_sort_as_texts() -> None:
    moments = [
        from_text("2026-03-10"),
        from_text("2026-03-10T00:00:00.5Z"),
        from_text("2026-03-10T02:30+02:00"),
        from_text("2026-03-10T01:00"),
    ]
    texts = [to_text(moment) for moment in moments]
    assert texts == sorted(texts)
    assert texts[2] == "2026-03-10T00:30:00.000000Z"
    assert [from_text(text) for text in texts] == moments
    east = datetime(2026, 3, 10, 1, tzinfo=timezone(timedelta(hours=5)))
    assert [to_text(one)[:10] for one in day_of(east)] == ["2026-03-09", "2026-03-10"]
    with pytest.raises(DataError, match="'soon' is not a date or time"):
        from_text("soon")
    with pytest.raises(DataError, match="has no time zone"):
        to_text(datetime(2026, 3, 10))


def test_what_is_left_out_is_filled_in(tmp_path: Path) -> None:
    registry = create_challenge(tmp_path / "autumn", SAMPLE, now=NOW)
    terms = registry.terms()
    assert terms.title == "autumn"
    assert (terms.starts, terms.ends) == (NOW, NOW + 60 * DAY)
    assert terms.data_deadline == datetime(2026, 4, 24, tzinfo=timezone.utc)
    assert [(one.name, one.starts, one.ends) for one in terms.rounds] == [
        ("main", terms.starts, terms.ends)
    ]
    assert terms.rounds[0].limits == Limits()
    assert (terms.selections, terms.places, terms.policy) == (2, 3, "strict")
    split = split_of(registry)
    assert (split.is_public.sum(), len(split.is_public)) == (12, 40)


def test_nothing_is_copied_of_the_data(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path)
    assert registry.terms().data == SAMPLE
    assert registry.terms().table_hashes["queries.csv"] == (
        hashlib.sha256((SAMPLE / "queries.csv").read_bytes()).hexdigest()
    )
    names = {path.name for path in registry.folder.iterdir()}
    assert names <= {"challenge.db", "challenge.db-wal", "challenge.db-shm", "pages", "runs",
                     "submissions"}  # fmt: skip
    assert not [path for path in registry.folder.rglob("*") if path.suffix in (".jpg", ".csv")]


def test_pages_are_written_brought_or_left_alone(tmp_path: Path) -> None:
    brought = tmp_path / "own"
    brought.mkdir()
    (brought / "rules.md").write_text("# Our rules\n")
    (tmp_path / "challenge" / "pages").mkdir(parents=True)
    (tmp_path / "challenge" / "pages" / "faq.md").write_text("# Asked before\n")
    registry = make_challenge(tmp_path, pages=brought, title="Shoes & bags", places=2)
    pages = read_pages(registry.pages)
    assert tuple(pages) == PAGES
    assert pages["rules"] == "# Our rules\n"
    assert pages["faq"] == "# Asked before\n"
    assert "2026-04-09 12:00 UTC: the challenge ends" in pages["dates"]
    assert "1. place" in pages["prizes"]
    assert "3. place" not in pages["prizes"]
    assert "Shoes & bags" in pages["contact"]


def test_pages_speak_of_the_terms(tmp_path: Path) -> None:
    rounds = (
        Round("warm-up", NOW, NOW + DAY, 9, Limits(seconds=1800)),
        Round("final", NOW + DAY, END, 2, Limits(seconds=600, cpus=2)),
    )
    rules = read_pages(make_challenge(tmp_path, rounds=rounds, places=0).pages)
    assert "warm-up: 1800 s on 4 processor cores" in rules["rules"]
    assert "final: 600 s on 2 processor cores, 16,000 MB of memory; 2 submissions" in rules["rules"]
    assert "2026-03-10 12:00 UTC to 2026-03-11 12:00 UTC: warm-up" in rules["dates"]
    assert "There are no prizes" in rules["prizes"]
    assert not [text for text in rules.values() if "{" in text or "\n\n\n" in text]


@pytest.mark.parametrize(
    ("policy", "n_gallery", "sentence"),
    [
        ("strict", 180, "the ids of all 180 gallery photos, none twice."),
        ("strict", 40_000, "the ids of exactly 1,000 of the 40,000 gallery photos, none twice."),
        ("lenient", 180, "the ids of up to 180 of the 180 gallery photos, each at most once."),
        ("lenient", 40_000, "ids of up to 1,000 of the 40,000 gallery photos, each at most once."),
    ],
)
def test_the_rules_say_how_many_ids_a_row_has(
    tmp_path: Path, policy: Policy, n_gallery: int, sentence: str
) -> None:
    terms = make_challenge(tmp_path).terms()
    write_pages(tmp_path / "pages", replace(terms, policy=policy, n_gallery=n_gallery))
    rules = (tmp_path / "pages" / "rules.md").read_text("utf-8")
    assert sentence in " ".join(rules.split())


def test_a_folder_of_pages_without_any_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with pytest.raises(DataError, match=r"holds none of the pages: rules\.md"):
        make_challenge(tmp_path, pages=tmp_path / "own")
    with pytest.raises(MissingError, match="no folder of pages"):
        make_challenge(tmp_path, pages=tmp_path / "nowhere")
    assert not (tmp_path / "challenge").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ends": NOW}, "is not after the start"),
        ({"data_deadline": END + DAY}, "is outside the challenge"),
        ({"selections": 0}, "final selections must be at least 1, got 0"),
        ({"per_day": 0}, "a day in round 'main' must be at least 1"),
        ({"public_share": 1.5}, "between 0 and 1"),
        ({"title": "\n"}, "invisible"),
        ({"rounds": (Round("a", NOW, END + DAY, 1),)}, "'a', .* is outside the challenge"),
        ({"rounds": (Round("a", NOW + DAY, NOW, 1),)}, "ends, .* before it begins"),
        (
            {"rounds": (Round("b", NOW + DAY, END, 1), Round("a", NOW, NOW + 2 * DAY, 1))},
            "'b' begins, .* before round 'a' ends",
        ),
        (
            {"rounds": (Round("A", NOW, NOW + DAY, 1), Round("a", NOW + DAY, END, 1))},
            "two rounds have the same name",
        ),
    ],
)
def test_terms_that_contradict_themselves_are_refused(
    tmp_path: Path, options: dict[str, object], problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        make_challenge(tmp_path, **options)
    assert not (tmp_path / "challenge").exists()


def test_the_labelled_set_must_be_there_and_labelled(
    tmp_path: Path, make_dataset: Callable[..., Path]
) -> None:
    with pytest.raises(MissingError, match=r"nowhere has no gallery\.csv"):
        create_challenge(tmp_path / "challenge", tmp_path / "nowhere", now=NOW)
    data = make_dataset()
    table = data / "gallery.csv"
    table.write_text("\n".join(line.rpartition(",")[0] for line in table.read_text().split("\n")))
    with pytest.raises(DataError, match="have no product_id"):
        create_challenge(tmp_path / "challenge", data, now=NOW)


def test_queries_without_a_positive_are_on_neither_side(
    tmp_path: Path, make_dataset: Callable[..., Path]
) -> None:
    box = "0,0,64,48"
    data = make_dataset(queries=[(9, "z", box), (0, "b", box), (1, "a", box), (2, "b", box)])
    registry = create_challenge(tmp_path / "challenge", data, now=NOW)
    split = split_of(registry)
    assert split.positions.tolist() == [1, 2, 3]
    assert split.products.tolist() == [1, 0, 1]
    assert registry.terms().n_queries == 4


def test_a_changed_ground_truth_is_found_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(SAMPLE, data)
    terms = create_challenge(tmp_path / "challenge", data, now=NOW).terms()
    require_unchanged(terms.data, terms.table_hashes)
    table = data / "queries.csv"
    table.write_text(table.read_text().replace(",", " ,", 1))
    with pytest.raises(DataError, match=r"has changed since .*: queries\.csv in"):
        require_unchanged(terms.data, terms.table_hashes)
    table.unlink()
    with pytest.raises(MissingError, match=r"has no queries\.csv"):
        require_unchanged(terms.data, terms.table_hashes)


def test_the_end_can_be_moved_until_it_has_come(tmp_path: Path) -> None:
    rounds = (
        Round("one", NOW, NOW + DAY, 1),
        Round("two", NOW + DAY, NOW + 2 * DAY, 1),
        Round("three", NOW + 20 * DAY, END, 1),
    )
    database = make_challenge(tmp_path, rounds=rounds).database
    later = move_end(database, END + DAY, now=NOW)
    assert (later.ends, later.rounds[-1].ends) == (END + DAY, END + DAY)
    sooner = move_end(database, NOW + DAY / 2, now=NOW)
    assert [(one.name, one.ends) for one in sooner.rounds] == [("one", NOW + DAY / 2)]
    assert sooner.data_deadline == NOW + DAY / 2
    with pytest.raises(DataError, match="is in the past"):
        move_end(database, NOW, now=NOW + DAY / 4)
    with pytest.raises(DataError, match="not after the start of the first round"):
        move_end(database, NOW, now=NOW)
    with pytest.raises(ChallengeError, match="cannot be undone"):
        move_end(database, END, now=NOW + DAY / 2)
    assert [e.what for e in list_events(database)].count("end moved") == 2
