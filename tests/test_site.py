from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from datetime import timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from challenge_boards import START, board, entry, spread

from shoplens.challenge.leaderboard import Board, ExternalData, Note, Seeker, TeamCard, standings
from shoplens.challenge.site import site_folder
from shoplens.challenge.site.build import build_site
from shoplens.challenge.site.feed import atom_feed
from shoplens.challenge.site.history import NAMED, draw_history
from shoplens.challenge.site.markdown import read_markdown
from shoplens.challenge.site.published_run import published
from shoplens.errors import DataError, MissingError, ShoplensError

HOSTILE = "<script>alert('team')</script>"
RIGHT_TO_LEFT = "فريق البحث"
LONG = "x" * 500
VOID = {"meta", "link", "br", "rect", "path", "img", "hr", "input"}
PAGES = {
    "rules": "# The rules\n\nBe *fair*.",
    "dates": "From March on.",
    "prizes": "| place | prize |\n|---|---|\n| 1 | fame |",
    "faq": "## May we?\nYes.",
    "contact": "help@example.org",
}
RECORD = {
    "verdict": "ok",
    "reason": "",
    "phases": {"start": 0.5, "predict": 11.5},
    "cpu_seconds": 40.0,
    "enforced": ["time: 600 s"],
    "not_enforced": ["processors: 4 were granted, this machine has 2"],
    "notes": ["aicrowd.json asks for a graphics processor"],
    "findings": [{"level": "warning", "code": "float_ids", "text": "ids are floats", "count": 3}],
    "metrics": {"map@1000": {"value": 0.87654321, "low": 0.1, "high": 0.9}},
    "log": "printed by the submission",
}


class Page(HTMLParser):
    """The tags, links, ids and text of a page, which must be well nested."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open, f"{path} leaves {self.open} open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def running(**changes: object) -> Board:
    """A running challenge with hostile names and a failed submission."""
    return board(
        entry(1, HOSTILE, spread(0.6), record=RECORD, tags=("external data", HOSTILE)),
        entry(
            2, RIGHT_TO_LEFT, spread(0.4), notes=(Note(START, HOSTILE, f"first line\n{HOSTILE}"),)
        ),
        entry(3, HOSTILE, None, verdict="time_limit", record={"reason": "stopped after 600 s"}),
        entry(4, LONG, spread(0.39), label=HOSTILE),
        pages=PAGES,
        teams=(
            TeamCard(HOSTILE, ("Ada", HOSTILE), (ExternalData("photos", "javascript:x()", START),)),
            TeamCard(
                "new", (), (ExternalData("more", "https://example.org/a?b=1&c=2", START, True),)
            ),
        ),
        seekers=(Seeker("Lin", "lin@example.org", "knows re-ranking", START),),
        **changes,  # type: ignore[arg-type]
    )


def final(public: Board) -> Board:
    """The private side of `running`, after the end."""
    means = {1: 0.31415926, 2: 0.55, 4: 0.2}
    return board(
        *(
            entry(
                e.submission_id,
                e.team,
                spread(means[e.submission_id], 80) if e.submission_id in means else None,
                selected=True,
            )
            for e in public.entries
        ),
        side="private",
        sealed=False,
    )


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def reachable(folder: Path) -> set[Path]:
    """Return the pages that a visitor of the front page can come to."""
    found: set[Path] = set()
    waiting = [folder / "index.html"]
    while waiting:
        path = waiting.pop()
        if path not in found and path.suffix == ".html":
            found.add(path)
            if path.is_file():
                parts = [urlsplit(a["href"] or "") for a in Page(path).of("a")]
                inside = [p.path for p in parts if not p.scheme and p.path]
                waiting += [Path(os.path.normpath(path.parent / name)) for name in inside]
    return found


def check_pages(folder: Path) -> None:
    """Hold the pages of a site, as far as a visitor gets, to what all must keep."""
    for path in reachable(folder):
        page = Page(path)
        assert not page.of("script"), path
        assert not [t for t, a in page.tags if any(name.startswith("on") for name in a)], path
        ids = [a["id"] for _, a in page.tags if a.get("id")]
        assert len(ids) == len(set(ids)), path
        assert page.of("h1"), path
        for attributes in page.of("a") + page.of("link"):
            target = attributes["href"] or ""
            parts = urlsplit(target)
            assert parts.scheme in ("", "http", "https"), (path, target)
            if not parts.scheme:
                assert (path.parent / parts.path).resolve().is_file(), (path, target)
        # What the browser would fetch on its own: nothing from elsewhere.
        assert not re.search(r"(?:src|url)\s*[=(]\s*[\"']?(?:https?:)?//", path.read_text("utf-8"))


def test_every_link_of_the_site_leads_somewhere(tmp_path: Path) -> None:
    built = build_site(tmp_path / "site", running())
    files = snapshot(tmp_path / "site")
    assert built.n_files == built.n_written == len(files) - 1
    assert {
        "index.html", "submissions.html", "teams.html", "rules.html", "dates.html", "prizes.html",
        "faq.html", "contact.html", "feed.xml", "leaderboard.csv", "leaderboard.json",
        "submissions/1.html", "submissions/2.html", "submissions/3.html", "submissions/4.html",
        ".shoplens-site.json",
    } == set(files)  # fmt: skip
    check_pages(tmp_path / "site")
    assert reachable(tmp_path / "site") == {*(tmp_path / "site").rglob("*.html")}


def test_new_pages_are_there_before_old_ones_link_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site"
    build_site(folder, other())
    write = site_folder._write_changed

    def watched(path: Path, content: bytes) -> bool:
        changed = write(path, content)
        check_pages(folder)
        return changed

    monkeypatch.setattr(site_folder, "_write_changed", watched)
    build_site(folder, running())


def test_the_ranking_shows_ranks_scores_and_ties(tmp_path: Path) -> None:
    public = running()
    build_site(tmp_path / "site", public)
    page = Page(tmp_path / "site" / "index.html")
    first, second, third = standings(public)
    assert (first.rank, second.rank, third.rank) == (1, 2, 3)
    for standing in (first, second, third):
        assert f"{standing.estimate.value:.4f}" in page.text
        assert f"{standing.estimate.low:.4f}" in page.text
    assert HOSTILE in page.text
    assert RIGHT_TO_LEFT in page.text
    assert LONG in page.text
    tied = board(entry(1, "a", [0.5] * 4), entry(2, "b", [0.5] * 4))
    build_site(tmp_path / "tied", tied)
    assert Page(tmp_path / "tied" / "index.html").text.count("1=") == 2


def test_a_submission_has_a_page_with_its_record(tmp_path: Path) -> None:
    build_site(tmp_path / "site", running())
    text = Page(tmp_path / "site" / "submissions" / "1.html").text
    for part in (
        "completed", "predict", "12 s", "812 MB", "time: 600 s", "not enforced:",
        "this machine has 2", "ids are floats", "3 places", "external data", "graphics processor",
        "Queries by average precision", "took longer than allowed",
    ):  # fmt: skip
        assert part in text, part
    assert "stopped after 600 s" in Page(tmp_path / "site" / "submissions" / "3.html").text
    noted = Page(tmp_path / "site" / "submissions" / "2.html").text
    assert f"{HOSTILE}, 2026-03-01 09:00 UTC\nfirst line\n{HOSTILE}" in noted
    # Its mark stands in place of a bullet.
    assert "\N{BALLOT X} not enforced:" in text


def test_only_named_fields_of_a_record_are_published() -> None:
    shown = repr(published({**RECORD, "later": "0.87654321"}))
    assert "ids are floats" in shown
    assert "0.8765" not in shown
    assert "printed by" not in shown
    assert published({}).findings == ()
    with pytest.raises(DataError, match=r"cannot be shown: .*phases"):
        published({"phases": "none"})


def test_an_answer_that_is_refused_on_private_data_is_explained(tmp_path: Path) -> None:
    findings = [
        {"level": "error", "code": "unknown_id", "text": "", "count": 32_374, "places": []},
        {"level": "warning", "code": "positions", "text": "", "count": 1, "places": []},
    ]
    record = {"reason": "unknown_id, positions", "findings": findings, "private": True}
    build_site(
        tmp_path / "site", board(entry(1, "a", None, verdict="invalid_answer", record=record))
    )
    text = Page(tmp_path / "site" / "submissions" / "1.html").text
    assert "error: the id (or row position) of no gallery photo (32,374 places)" in text
    assert "gave an invalid answer: the id (or row position) of no gallery photo; " in text
    assert "unknown_id" not in text


def test_on_a_telephone_numbers_stand_beside_the_first_column(tmp_path: Path) -> None:
    # Else a cell that follows one of the whole width lands under it, where nothing fits.
    build_site(tmp_path / "site", running())
    rules = (tmp_path / "site" / "submissions.html").read_text("utf-8")
    assert re.search(r"\.cards td:first-child \{[^}]*grid-row: 1 / span \d", rules)


def test_nothing_private_is_published_before_the_end(tmp_path: Path) -> None:
    public = running()
    private = board(*final(public).entries, side="private", sealed=True)
    run = tmp_path / "run"
    run.mkdir()
    (run / "report.html").write_text("label-of-a-private-product")
    with pytest.raises(ShoplensError, match="after the end"):
        build_site(tmp_path / "site", public, private, reports=True)
    build_site(tmp_path / "site", public, private)
    everything = b"\n".join(snapshot(tmp_path / "site").values()).decode()
    secrets = [f"{s.estimate.value:.4f}" for s in standings(private)]
    secrets += [f"{s.estimate.value!r}" for s in standings(private)]
    secrets += ["0.8765", "printed by", "private-product", "Final ranking", "moved"]
    for secret in secrets:
        assert secret not in everything, secret
    assert "selected" not in everything.replace('"selected": null', "")


def test_after_the_end_the_final_ranking_has_the_front(tmp_path: Path) -> None:
    public = running()
    build_site(tmp_path / "site", public)
    build_site(tmp_path / "site", public, final(public))
    check_pages(tmp_path / "site")
    page = Page(tmp_path / "site" / "index.html")
    ranking = standings(final(public), standings(public))
    assert [s.shift for s in ranking] == [1, -1, 0]
    assert "Final ranking" in page.text
    assert "+1" in page.text
    assert "\N{MINUS SIGN}1" in page.text
    assert f"{ranking[1].estimate.value:.4f}" in page.text
    assert "Public ranking" in Page(tmp_path / "site" / "public.html").text
    rows = list(csv.DictReader((tmp_path / "site/leaderboard.csv").read_text("utf-8").splitlines()))
    assert [row["shift"] for row in rows] == ["1", "-1", "0"]
    assert json.loads((tmp_path / "site" / "public.json").read_text())["side"] == "public"
    submission = Page(tmp_path / "site" / "submissions" / "2.html").text
    assert "private mAP@1000" in submission
    assert "final rank" in submission


def test_after_the_end_it_is_said_what_was_selected(tmp_path: Path) -> None:
    public = board(*(entry(i, "a", spread(0.5 + i / 100)) for i in range(3)), sealed=False)
    private = board(
        *(entry(i, "a", spread(0.5), selected=i < 2) for i in range(3)), side="private",
        sealed=False,
    )  # fmt: skip
    build_site(tmp_path / "site", public, private)
    texts = [Page(tmp_path / f"site/submissions/{i}.html").text for i in range(3)]
    assert "Selected for the end." in texts[0]
    assert "Selected for the end; another submission of the team counts." in texts[1]
    assert "Not selected for the end; another submission of the team counts." in texts[2]
    assert texts[2].count(", selected for the end") == 2
    listed = Page(tmp_path / "site/submissions.html").text
    assert listed.count(", selected for the end") == 2


def test_the_front_page_says_when_it_ends_and_what_decides(tmp_path: Path) -> None:
    def front(**changes: object) -> str:
        public = board(entry(1, "a", [0.5] * 4), ends=START + timedelta(days=9), **changes)  # type: ignore[arg-type]
        build_site(tmp_path / "site", public)
        return " ".join(Page(tmp_path / "site" / "index.html").text.split())

    assert "sealed until the challenge is over, 2026-03-10 09:00 UTC." in front()
    assert "decides" not in front()
    assert "“warm-up”; the last round, “final”, decides." in front(
        round="warm-up", deciding_round="final"
    )
    assert "this one, “final”, decides." in front(round="final", deciding_round="final")


def test_only_what_occurs_is_explained(tmp_path: Path) -> None:
    def front(*means: float) -> str:
        teams = (entry(i, f"team {i}", spread(mean)) for i, mean in enumerate(means))
        build_site(tmp_path / "site", board(*teams))
        return " ".join(Page(tmp_path / "site" / "index.html").text.split())

    close, apart = front(*[0.5] * 8), front(0.8, 0.7, 0.6, 0.5, 0.4, 0.1)
    assert "scale: " in close
    assert "is left of it" not in close
    assert "\N{BLACK LEFT-POINTING SMALL TRIANGLE} is left of it" in apart
    assert "8 teams have these ranks, more than there are places" in close
    assert "have these ranks" not in apart


def test_reports_are_taken_in_after_the_end(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "report.html").write_text("<!doctype html><title>report</title><h1>r</h1>")
    public = board(
        entry(1, "a", spread(0.5), run=run), entry(2, "b", spread(0.4), run=tmp_path / "gone")
    )
    private = board(
        entry(1, "a", spread(0.5)), entry(2, "b", spread(0.4)), side="private", sealed=False
    )
    assert build_site(tmp_path / "site", public, private).n_reports == 0
    assert build_site(tmp_path / "site", public, private, reports=True).n_reports == 1
    assert (tmp_path / "site/submissions/1-report.html").read_text().endswith("<h1>r</h1>")
    links = [a["href"] for a in Page(tmp_path / "site/submissions/1.html").of("a")]
    assert "1-report.html" in links
    assert "report" not in Page(tmp_path / "site/submissions/2.html").text
    # Asked for no longer, they go.
    build_site(tmp_path / "site", public, private)
    assert not (tmp_path / "site/submissions/1-report.html").exists()


def test_teams_stand_in_the_order_of_the_ranking(tmp_path: Path) -> None:
    cards = tuple(TeamCard(name, ()) for name in ("Unscored", "Second", "First"))
    scored = (entry(1, "Second", spread(0.2)), entry(2, "First", spread(0.6)))
    build_site(tmp_path / "site", board(*scored, teams=cards))
    text = Page(tmp_path / "site" / "teams.html").text
    assert text.index("First") < text.index("Second") < text.index("Unscored")


def test_teams_show_members_data_and_who_looks_for_mates(tmp_path: Path) -> None:
    build_site(tmp_path / "site", running())
    page = Page(tmp_path / "site" / "teams.html")
    for part in ("Ada", HOSTILE, "lin@example.org", "knows re-ranking", "after the deadline"):
        assert part in page.text
    links = [a["href"] for a in page.of("a")]
    assert "https://example.org/a?b=1&c=2" in links
    assert not any("javascript" in (link or "") for link in links)
    assert "javascript:x()" in page.text


@pytest.mark.parametrize("n", [0, 1, 200])
def test_boards_of_any_size_make_a_site(tmp_path: Path, n: int) -> None:
    teams = [entry(i, f"team {i}", spread(0.2 + 0.6 * i / max(n, 1), 20)) for i in range(n)]
    build_site(tmp_path / "site", board(*teams), url="https://example.org/c")
    check_pages(tmp_path / "site")
    page = Page(tmp_path / "site" / "index.html")
    assert len(page.of("tr")) == (2 * n + 2 if n else 0)
    assert ("No submission has a score yet" in page.text) == (n == 0)
    assert len(page.of("svg")) == (2 if n else 0)


def test_all_failed_is_a_site_without_a_ranking(tmp_path: Path) -> None:
    build_site(tmp_path / "site", board(entry(1, "a", None, verdict="crashed")))
    check_pages(tmp_path / "site")
    assert "stopped with an error" in Page(tmp_path / "site" / "submissions.html").text


def test_a_second_build_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    build_site(folder, running(), url="https://example.org/")
    before = snapshot(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = build_site(folder, running(), url="https://example.org")
    assert again.n_written == 0
    assert snapshot(folder) == before
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    build_site(tmp_path / "other", running(), url="https://example.org/")
    assert snapshot(tmp_path / "other") == before


def test_what_the_site_no_longer_has_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    build_site(folder, running())
    (folder / "CNAME").write_text("example.org")
    (folder / "submissions" / "mine.txt").write_text("kept")
    build_site(folder, board(entry(1, "a", spread(0.5))))
    names = set(snapshot(folder))
    assert "submissions/1.html" in names
    assert "submissions/2.html" not in names
    assert "rules.html" not in names
    assert {"CNAME", "submissions/mine.txt"} <= names
    check_pages(folder)


def test_files_of_others_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("my home page")
    with pytest.raises(ShoplensError, match="was not written by shoplens"):
        build_site(tmp_path, running())
    assert snapshot(tmp_path) == {"index.html": b"my home page"}


def test_the_site_and_the_challenge_are_kept_apart(tmp_path: Path) -> None:
    challenge = tmp_path / "autumn"
    (challenge / "pages").mkdir(parents=True)
    (challenge / "challenge.db").write_text("private scores")
    (tmp_path / "link").symlink_to(challenge)
    before = snapshot(tmp_path)
    for folder in (challenge, challenge / "site", challenge / "pages", tmp_path, tmp_path / "link"):
        with pytest.raises(ShoplensError, match="choose a folder beside it"):
            build_site(folder, running(), challenge=challenge)
    assert snapshot(tmp_path) == before
    build_site(tmp_path / "site", running(), challenge=challenge)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="nowhere"):
        build_site(tmp_path / "nowhere" / "site", running())
    (tmp_path / "file").write_text("")
    with pytest.raises(ShoplensError, match="file"):
        build_site(tmp_path / "file", running())


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"files": ["../../etc/passwd"]}', '{"files": [1]}', "[" * 9999]
)
def test_a_damaged_list_of_files_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / ".shoplens-site.json").write_text(text)
    with pytest.raises(DataError, match=r"shoplens-site\.json"):
        build_site(tmp_path, running())


BUILD_AGAIN = """
import sys
from test_site import running, other
from shoplens.challenge.site.build import build_site
while True:
    for one in (running(), other()):
        build_site(sys.argv[1], one)
        print("built", flush=True)
"""


def other() -> Board:
    """A state of the challenge that shares few files with `running`."""
    teams = (entry(i, f"team {i}", spread(0.5 + i / 1000)) for i in range(3, 20))
    return board(*teams, pages={"rules": "new rules"})


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_killed_build_leaves_a_whole_site(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    generator = np.random.default_rng(0)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", BUILD_AGAIN, str(folder)],
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(generator.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        check_pages(folder)
    build_site(folder, running())
    files = {name: text for name, text in snapshot(folder).items() if not name.endswith(".part")}
    build_site(tmp_path / "fresh", running())
    assert files == snapshot(tmp_path / "fresh")


ATOM = {"a": "http://www.w3.org/2005/Atom"}


def test_the_feed_is_valid_atom() -> None:
    public = running()
    text = atom_feed(public, standings(public), "https://example.org/c/")
    feed = ElementTree.fromstring(text)
    assert feed.tag == "{http://www.w3.org/2005/Atom}feed"
    entries = feed.findall("a:entry", ATOM)
    assert len(entries) == 3
    ids = [uuid.UUID(one.findtext("a:id", "", ATOM)) for one in (feed, *entries)]
    assert len(set(ids)) == 4
    for one in (feed, *entries):
        assert one.findtext("a:title", "", ATOM)
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", one.findtext("a:updated", "", ATOM)
        )
        assert one.findtext("a:author/a:name", "", ATOM)
        links = {link.get("rel"): link.get("href") or "" for link in one.findall("a:link", ATOM)}
        assert links["alternate"].startswith("https://example.org/c/")
    assert feed.find("a:link[@rel='self']", ATOM).get("href").endswith("/feed.xml")  # type: ignore[union-attr]
    dates = [one.findtext("a:updated", "", ATOM) for one in entries]
    assert dates == sorted(dates, reverse=True)
    assert feed.findtext("a:updated", "", ATOM) >= dates[0]
    assert text == atom_feed(public, standings(public), "https://example.org/c/")


def test_the_feed_keeps_its_ids_when_news_comes() -> None:
    before, after = (
        board(entry(1, "a", [0.5] * 4)),
        board(entry(1, "a", [0.5] * 4), entry(2, "a", [0.6] * 4)),
    )
    feeds = [ElementTree.fromstring(atom_feed(b, standings(b), None)) for b in (before, after)]
    ids = [[e.text for e in feed.findall("a:entry/a:id", ATOM)] for feed in feeds]
    assert ids[1][1:] == ids[0]
    assert feeds[0].findtext("a:id", "", ATOM) == feeds[1].findtext("a:id", "", ATOM)


def test_the_feed_survives_what_xml_cannot_hold() -> None:
    nasty = "a\x00b\x1b\ud800]]>&<c>"
    public = board(entry(1, nasty, [0.5] * 4), title=nasty)
    feed = ElementTree.fromstring(atom_feed(public, standings(public), None))
    assert feed.findtext("a:entry/a:author/a:name", "", ATOM) == "a�b��]]>&<c>"


def test_the_feed_of_an_empty_board_is_valid() -> None:
    feed = ElementTree.fromstring(atom_feed(board(), (), None))
    assert feed.findtext("a:updated", "", ATOM) == "1970-01-01T00:00:00.000000Z"
    assert not feed.findall("a:entry", ATOM)


def test_markdown_shows_markup_as_text() -> None:
    prose = read_markdown(
        "# T & t\n\n<script>x</script> <b onclick=x>y</b>\n\n[l](javascript:x) ![p](http://e/p.png)"
        "\n\n[fine](https://example.org)\n\n| a |\n|---|\n| 1 |"
    )
    assert prose.title == "T & t"
    assert "<script" not in prose.html
    assert "<b" not in prose.html
    assert "<img" not in prose.html
    assert 'href="javascript' not in prose.html
    assert '<a href="https://example.org">fine</a>' in prose.html
    assert "<td>1</td>" in prose.html
    assert "<h1" not in prose.html
    assert read_markdown("plain").title == ""
    assert read_markdown("").html == ""


def test_the_organisers_pages_carry_their_own_heading(tmp_path: Path) -> None:
    build_site(tmp_path / "site", running())
    assert "The rules" in Page(tmp_path / "site" / "rules.html").text
    assert "Dates" in Page(tmp_path / "site" / "dates.html").text
    menu = Page(tmp_path / "site" / "index.html").text
    for name in ("Rules", "Dates", "Prizes", "Questions", "Contact"):
        assert name in menu


def test_the_history_plot_stays_inside_its_area() -> None:
    public = board(
        *(entry(i, f"t{i % 12}", spread(0.2 + 0.01 * i), hours=30.0 * i) for i in range(36))
    )
    ranking = standings(public)
    for width in (1000, 396):
        plot = draw_history(ranking, START + timedelta(days=60), width, 360)
        assert plot is not None
        assert len(plot.named) == NAMED
        assert len(plot.others) == 12 - NAMED
        labels = [line.label_y for line in plot.named]
        assert all(b - a >= 15.9 for a, b in pairwise(labels))
        assert plot.top <= labels[0]
        assert labels[-1] <= plot.bottom
        for line in plot.named:
            xs = [float(x) for x in re.findall(r"[MH]([\d.]+)", line.path)]
            assert xs == sorted(xs)
            assert plot.left <= xs[0]
            assert xs[-1] == pytest.approx(plot.right, abs=0.06)
            assert plot.top <= line.end[1] <= plot.bottom
        assert 2 <= len(plot.times) <= 5
        assert all(plot.left <= tick.at <= plot.right for tick in plot.times)
        assert [tick.at for tick in plot.scores] == sorted(
            (t.at for t in plot.scores), reverse=True
        )
        assert plot.scores[0].at == pytest.approx(plot.bottom)


def test_the_history_of_a_single_moment_and_of_years_can_be_drawn() -> None:
    one = standings(board(entry(1, "a", [0.5] * 4)))
    plot = draw_history(one, one[0].entry.submitted, 1000, 360)
    assert plot is not None
    assert len({tick.text for tick in plot.scores}) == len(plot.scores) >= 2
    ages = standings(board(entry(1, "a", [0.5] * 4), entry(2, "a", [0.6] * 4, hours=24 * 900)))
    plot = draw_history(ages, START + timedelta(days=1000), 396, 360)
    assert plot is not None
    assert 1 <= len(plot.times) <= 5
    assert draw_history((), START, 1000, 360) is None


def test_no_line_of_the_history_leads_into_the_future(tmp_path: Path) -> None:
    teams = [entry(1, "a", [0.5] * 4, hours=0), entry(2, "b", [0.6] * 4, hours=0.05)]
    ranking = standings(board(*teams))
    minutes = timedelta(minutes=1)
    for width in (1000, 396):
        for length in range(3, 200):
            plot = draw_history(ranking, START + length * minutes, width, 360)
            assert plot is not None
            sent_in = plot.left + (plot.right - plot.left) * 3 / length
            assert plot.named[0].path.startswith(f"M{sent_in:.1f} ")
            assert 1 <= len(plot.times) <= 5
            assert all(plot.left <= tick.at <= plot.right for tick in plot.times)
    # What came in at the very end has a time axis that leads up to it.
    plot = draw_history(standings(board(teams[0])), START, 1000, 360)
    assert plot is not None
    assert plot.named[0].path.startswith(f"M{plot.right:.1f} ")


def test_the_history_ends_with_the_challenge(tmp_path: Path) -> None:
    end = START + timedelta(hours=10)
    public = board(
        entry(5, "a", [0.5] * 4), entry(1, "b", [0.4] * 4), sealed=False, ends=end,
        updated=START + timedelta(days=30),
    )  # fmt: skip
    private = board(entry(5, "a", [0.5] * 4), side="private", sealed=False, ends=end)
    build_site(tmp_path / "site", public, private)
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    plot = draw_history(standings(public), end, 1000, 380)
    assert plot is not None
    assert plot.named[0].path in page


def test_the_plot_can_be_read_without_seeing_it(tmp_path: Path) -> None:
    build_site(tmp_path / "site", running())
    page = Page(tmp_path / "site" / "index.html")
    for svg in page.of("svg"):
        assert svg["role"] == "img"
        named = (svg["aria-labelledby"] or "").split()
        ids = {a["id"] for _, a in page.tags if a.get("id")}
        assert len(named) == 2
        assert set(named) <= ids
    assert "The same as a table" in page.text
