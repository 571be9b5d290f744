from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import picture
from PIL import Image
from pillow_heif import from_pillow

from shoplens import (
    Box,
    Dataset,
    Photo,
    embed,
    evaluate,
    load_encoder,
    rank,
    read_dataset,
)
from shoplens.errors import MissingError
from shoplens.evaluation.scores import Scores
from shoplens.report import Result, Shown, show_ranking, write_page
from shoplens.report.counts import counted


class Page(HTMLParser):
    """The tags and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def having(self, css_class: str) -> list[dict[str, str | None]]:
        return [a for _, a in self.tags if css_class in (a.get("class") or "").split()]


@pytest.fixture
def scored(
    make_dataset: Callable[..., Path], make_model: Callable[..., Path]
) -> tuple[Dataset, Scores]:
    root = make_dataset(
        gallery=[(0, "a"), (1, "b"), (2, "c")],
        queries=[(0, "a", "16,12,32,24"), (1, "b", "0,0,64,48"), (2, "none", "0,0,64,48")],
    )
    data = read_dataset(root)
    encoder = load_encoder(make_model())
    ranking = rank(embed(data.queries, encoder), embed(data.gallery, encoder))
    return data, evaluate(ranking, data)


def page_of(tmp_path: Path, shown: list[Shown], title: str = "A page") -> Page:
    write_page(tmp_path / "page.html", title, [("queries", str(len(shown)))], shown)
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_queries_are_paired_with_their_results(scored: tuple[Dataset, Scores]) -> None:
    data, scores = scored
    shown = show_ranking(scores, data, 2)
    assert [s.photo.id for s in shown] == [0, 1, 2]
    assert [[r.photo.id for r in s.results] for s in shown] == scores.ranking.ids[:, :2].tolist()
    assert [[r.is_hit for r in s.results] for s in shown] == [
        [r.photo.product_id == s.photo.product_id for r in s.results] for s in shown
    ]
    assert shown[1].caption == "AP 1.00"
    assert shown[2].caption == "no gallery photo of it"


def test_the_page_needs_nothing_else(tmp_path: Path, scored: tuple[Dataset, Scores]) -> None:
    data, scores = scored
    write_page(tmp_path / "page.html", "A page", [], show_ranking(scores, data, 3))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|<link|<script|javascript:", text)
    assert text.startswith("<!doctype html>")
    page = Page(text)
    for source in [a["src"] for tag, a in page.tags if tag == "img"] + re.findall(
        r"url\(([^)]*)\)", text
    ):
        assert source is not None
        head, _, data64 = source.partition(",")
        assert head == "data:image/jpeg;base64"
        Image.open(io.BytesIO(base64.b64decode(data64))).load()


def test_hits_carry_a_check_mark(tmp_path: Path, scored: tuple[Dataset, Scores]) -> None:
    data, scores = scored
    shown = show_ranking(scores, data, 3)
    page = page_of(tmp_path, shown)
    n_hits = sum(bool(r.is_hit) for s in shown for r in s.results)
    assert n_hits == 2
    assert len([a for a in page.having("result") if "hit" in str(a["class"]).split()]) == n_hits
    captions = [text for text in page.texts if "✓" in text and "frame" not in text]
    assert len([c for c in captions if re.match(r"\s*\d", c)]) == n_hits


def test_without_ground_truth_nothing_is_marked(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.png")
    photo = Photo(0, "a.png", tmp_path / "a.png", "seller")
    page = page_of(tmp_path, [Shown(photo, "query", [Result(photo, "0.9")])])
    assert not page.having("hit")
    assert "✓" not in "".join(page.texts)


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"
    picture(1).save(tmp_path / "a.png")
    good = Photo(0, evil, tmp_path / "a.png", "seller", product_id=evil)
    gone = Photo(1, evil, tmp_path / "none<b>.png", "user", product_id=evil)
    page = page_of(tmp_path, [Shown(gone, evil, [Result(good, evil, True)])], evil)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "b<"})
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert not any(attributes.get("src") == "x" for _, attributes in page.tags)
    assert evil in "".join(page.texts)
    assert any(attributes.get("title") == evil for _, attributes in page.tags)


def test_names_that_are_no_utf8_are_written_as_escapes(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.png")
    name = b"\xff.png".decode("utf-8", "surrogateescape")
    photo = Photo(0, name, tmp_path / "a.png", "seller")
    page_of(tmp_path, [Shown(photo, name, [Result(photo, name)])])
    assert "\\udcff.png" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_unreadable_photos_show_their_problem(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = Photo(0, "broken.png", tmp_path / "broken.png", "user")
    gone = Photo(1, "gone.png", tmp_path / "gone.png", "seller")
    text = "".join(page_of(tmp_path, [Shown(broken, "query", [Result(gone, "1")])]).texts)
    assert "not an image" in text
    assert "no file" in text


def test_a_bad_box_is_shown_as_the_problem(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(queries=[(0, "a", "0,0,0,5"), (1, "a", "900,0,5,5")])
    shown = [Shown(photo, "query", []) for photo in read_dataset(root).queries]
    text = "".join(page_of(root, shown).texts)
    assert "must be positive: the box is empty" in text
    assert "lies entirely outside the photo" in text


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box.from_xywh(30, 10, 60, 25), (25, 10, 50, 25)),
        (Box.from_xywh(-30, 50, 60, 200), (0, 50, 25, 50)),  # Clipped.
        (Box.from_xywh(0, 0, 120, 100), (0, 0, 100, 100)),
    ],
)
def test_the_box_stands_where_it_is(tmp_path: Path, box: Box, expected: tuple[float, ...]) -> None:
    picture(1, (120, 100)).save(tmp_path / "a.png")
    query = Photo(0, "a.png", tmp_path / "a.png", "user", box)
    (drawn,) = page_of(tmp_path, [Shown(query, "query", [])]).having("box")
    style = dict(part.split(": ") for part in str(drawn["style"]).strip("; ").split("; "))
    found = [float(style[name].removesuffix("%")) for name in ("left", "top", "width", "height")]
    assert found == pytest.approx(expected, abs=0.01)


def test_the_box_of_a_large_turned_jpeg_stands_where_it_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, (2000, 1000)).save(tmp_path / "a.jpg", exif=exif)
    query = Photo(0, "a.jpg", tmp_path / "a.jpg", "user", Box.from_xywh(100, 500, 800, 1000))
    page = page_of(tmp_path, [Shown(query, "query", [])])
    assert (
        page.having("box")[0]["style"] == "left: 10.00%; top: 25.00%; width: 80.00%; height: 50.00%"
    )
    (source,) = [str(a["src"]) for tag, a in page.tags if tag == "img"]
    thumbnail = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert thumbnail.size == (120, 240)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_photos_of_phones_are_shown_as_jpegs(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    options = {"exif": exif.tobytes()}
    if kind == "HEIF":
        from_pillow(picture(1, (400, 200))).save(stream, **options)
    else:
        picture(1, (400, 200)).save(stream, kind, **options)
    (tmp_path / "a").write_bytes(stream.getvalue())
    query = Photo(0, "a", tmp_path / "a", "user", Box.from_xywh(20, 100, 160, 200))
    page = page_of(tmp_path, [Shown(query, "query", [Result(query, "1")])])
    assert page.having("box")[0]["style"] == (
        "left: 10.00%; top: 25.00%; width: 80.00%; height: 50.00%"
    )
    (source,) = [str(a["src"]) for tag, a in page.tags if tag == "img"]
    thumbnail = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (120, 240))


def test_a_photo_found_for_many_queries_is_stored_once(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.png")
    photo = Photo(0, "a.png", tmp_path / "a.png", "seller")
    page_of(tmp_path, [Shown(photo, "query", [Result(photo, "1")] * 3)] * 4)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("background-image") == 1


def test_very_long_and_thin_photos_can_be_shown(tmp_path: Path) -> None:
    Image.new("RGB", (5000, 2), "red").save(tmp_path / "a.png")
    photo = Photo(0, "a.png", tmp_path / "a.png", "seller")
    assert "img" in {tag for tag, _ in page_of(tmp_path, [Shown(photo, "q", [])]).tags}


def test_a_page_in_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not there"):
        write_page(tmp_path / "none" / "page.html", "A page", [], [])


def test_counts_have_the_right_number() -> None:
    assert counted(0, "photo") == "0 photos"
    assert counted(1, "query") == "1 query"
    assert counted(1200, "query") == "1,200 queries"
