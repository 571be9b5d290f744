from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import click
import conftest
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from shoplens import Box, Dataset, Photo, Ranking, evaluate, read_dataset
from shoplens.cli.compare import compare
from shoplens.cli.report import report
from shoplens.errors import DataError, MissingError, RankingError
from shoplens.report import (
    SamePicture,
    compare_runs,
    read_categories,
    report_run,
    write_comparison_page,
    write_run_page,
)
from shoplens.report.curves import precision_recall, recall_curve, spread
from shoplens.report.strata import measure_queries
from shoplens.runs import Run, save_run

GALLERY = [(10, "a"), (11, "a"), (12, "b"), (13, "b"), (14, "c"), (15, "d")]
WHOLE = "0,0,64,48"
QUERIES = [(0, "a", WHOLE), (1, "b", "16,12,32,24"), (2, "c", WHOLE), (3, "a", WHOLE)]
ROWS = [
    [10, 11, 12, 13, 14, 15],
    [10, 12, 11, 13, 14, 15],
    [12, 13, 10, 11, 15, 14],
    [12, 13, 14, 10, 11, 15],
    [15, 14, 13, 12, 11, 10],
]
PRECISION = [1.0, 0.5, 1 / 6, 0.325]
BEST = [0.9, 0.5, 0.95, 0.6, 0.2]
"""Similarity of each row's first result."""


class Page(HTMLParser):
    """The tags and texts of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, css_class: str) -> int:
        return sum(css_class in (a.get("class") or "").split() for _, a in self.tags)


@pytest.fixture
def data(make_dataset: Callable[..., Path]) -> Dataset:
    return read_dataset(make_dataset(GALLERY, [*QUERIES, (4, "none", WHOLE)]))


def run_of(data: Dataset, rows: list[list[int]] = ROWS, *, similar: bool = True) -> Run:
    ids = np.array(rows, dtype=np.int32)
    scores = np.array(BEST, dtype=np.float32)[:, None] - 0.01 * np.arange(6, dtype=np.float32)
    ranking = Ranking(
        data.queries.ids,
        ids,
        scores.astype(np.float32) if similar else None,
        "toy",
        "f00",
        ("exact",),
        seconds={"infer": 4.0, "embed": 2.5, "rank": 0.5},
    )
    return Run("toy run", evaluate(ranking, data), data, {})


@pytest.fixture
def ranked(data: Dataset) -> Run:
    return run_of(data)


def with_categories(data: Dataset) -> Dataset:
    table = data.root / "gallery.csv"
    lines = table.read_text().splitlines()
    names = {"a": "shoes", "b": "shoes", "c": "bags", "d": ""}
    rows = [f"{line},{names[line.rsplit(',', 1)[1]]}" for line in lines[1:]]
    table.write_text("\n".join([lines[0] + ",category", *rows]) + "\n")
    return read_dataset(data.root)


# Curves.


def judged_by_hand(relevant: np.ndarray, n_positive: np.ndarray) -> list[float]:
    """Interpolated precision, by its definition."""
    levels = []
    for number in range(21):
        total = 0.0
        for row, positives in zip(relevant, n_positive, strict=True):
            hits = np.cumsum(row)
            reached = [
                hits[k] / (k + 1) for k in range(len(row)) if hits[k] * 20 >= number * positives
            ]
            total += max(reached, default=0.0)
        levels.append(total / len(relevant))
    return levels


@given(
    st.lists(
        st.tuples(st.lists(st.booleans(), min_size=7, max_size=7), st.integers(1, 9)),
        min_size=1,
        max_size=6,
    )
)
def test_precision_over_recall_by_its_definition(rows: list[tuple[list[bool], int]]) -> None:
    relevant = np.array([row for row, _ in rows])
    n_positive = np.array([max(sum(row), n) for row, n in rows])
    found = precision_recall(relevant, n_positive)
    assert found == pytest.approx(judged_by_hand(relevant, n_positive))
    assert all(found[:-1] >= found[1:] - 1e-12)


def test_recall_over_rank(ranked: Run) -> None:
    made = report_run(ranked, look=False)
    assert made.recall.values == pytest.approx([0.125, 0.375, 0.375, 0.625, 0.75, 1.0])
    assert list(made.recall.marked) == [1, 2, 5, 6]
    marked = made.recall.marked[2]
    assert marked.value == pytest.approx(0.375)
    assert marked.low < 0.375 < marked.high


def test_recall_of_rows_without_a_hit() -> None:
    curve = recall_curve(np.zeros((2, 3), dtype=bool), np.array([1, 2]), np.array([0, 1]))
    assert curve.values.tolist() == [0, 0, 0]


def test_the_spread_counts_every_query_once() -> None:
    edges, counts = spread(np.array([0.0, 0.049, 0.05, 0.999, 1.0]))
    assert len(edges) == 21
    assert (counts[0], counts[1], counts[-1], counts.sum()) == (2, 1, 2, 5)


# Strata.


def test_what_is_measured_of_a_query(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(256, size=(200, 300, 3), dtype=np.uint8)
    sharp = Image.fromarray(noise)
    sharp.save(tmp_path / "sharp.png")
    sharp.filter(ImageFilter.GaussianBlur(6)).save(tmp_path / "blurred.png")
    Image.new("RGB", (300, 200), "red").save(tmp_path / "plain.png")
    box = Box.from_xywh(-50, 20, 200, 90)  # A part of it lies outside.
    photos = [
        Photo(number, name, tmp_path / name, "user", box)
        for number, name in enumerate(["sharp.png", "blurred.png", "plain.png", "gone.png"])
    ]
    photos.append(Photo(9, "sharp.png", tmp_path / "sharp.png", "user"))
    calls: list[tuple[str, int, int]] = []
    views = measure_queries(photos, lambda *told: calls.append(told))
    assert views.side[:3] == pytest.approx([(150 * 90) ** 0.5] * 3)
    assert views.share == pytest.approx([0.225] * 3 + [np.nan, 1.0], nan_ok=True)
    assert views.sharpness[0] > 2 * views.sharpness[1] > 0
    assert views.sharpness[2] == 0
    assert np.isnan(views.sharpness[3])
    assert calls == [("look at queries", done, 5) for done in range(1, 6)]


def test_parts_of_the_queries(data: Dataset) -> None:
    made = report_run(run_of(data), categories={"a": "shoes", "b": "shoes", "c": "bags"})
    strata = {one.name: one for one in made.strata}
    assert list(strata) == ["category", "box size", "box share", "sharpness", "positives"]
    assert [(row.label, row.n_queries, row.n_products) for row in strata["category"].rows] == [
        ("shoes", 3, 2),
        ("bags", 1, 1),
    ]
    assert strata["category"].rows[0].score.value == pytest.approx((1 + 0.5 + 0.325) / 3)
    one, two = strata["positives"].rows
    assert (one.label, two.label) == ("1", "2")
    assert one.score.value == pytest.approx(1 / 6)
    assert two.score.value == pytest.approx((1 + 0.5 + 0.325) / 3)
    assert [(row.label, row.n_queries) for row in strata["box share"].rows] == [
        ("25 %", 1),
        ("100 %", 3),
    ]
    for parts in made.strata:
        # Query 4 has no positive, and counts nowhere.
        assert sum(row.n_queries for row in parts.rows) + parts.n_unknown == 4


def test_quarters_hold_a_quarter_each(make_dataset: Callable[..., Path]) -> None:
    products = [chr(97 + n) for n in range(12)]
    data = read_dataset(
        make_dataset(
            list(enumerate(products)),
            [(n, p, f"0,0,{5 * n + 5},40") for n, p in enumerate(products)],
        )
    )
    ids = np.tile(np.arange(12, dtype=np.int32), (12, 1))
    scores = evaluate(Ranking(data.queries.ids, ids, None), data)
    made = report_run(Run("r", scores, data, {}))
    share = next(one for one in made.strata if one.name == "box share")
    assert [row.n_queries for row in share.rows] == [3, 3, 3, 3]


def test_photos_that_cannot_be_read_are_counted(data: Dataset) -> None:
    data.queries[0].path.write_bytes(b"no picture")
    made = report_run(run_of(data))
    assert {one.name: one.n_unknown for one in made.strata} == {
        "box size": 1,
        "box share": 1,
        "sharpness": 1,
        "positives": 0,
    }


# Categories.


def test_categories_are_read_where_there_are_any(data: Dataset) -> None:
    assert read_categories(data) == {}
    labelled = with_categories(data)
    assert read_categories(labelled) == {"a": "shoes", "b": "shoes", "c": "bags"}


def test_categories_come_from_any_kind_of_table(tmp_path: Path) -> None:
    image = [b"1", b"2"]
    sides = {"gallery": {"seller_img_id": [0, 1]}, "queries": {"user_img_id": [0, 1]}}
    for name, ids in sides.items():
        columns = {**ids, "image": image, "product_id": ["a", "b"], "shelf": [3, None]}
        pa.parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    data = read_dataset(tmp_path)
    assert read_categories(data) == {}
    assert read_categories(data, "shelf") == {"a": "3"}


def test_a_category_column_that_is_not_there_is_told(data: Dataset) -> None:
    with pytest.raises(DataError, match=r"no table of .* has a column 'kind'"):
        read_categories(data, "kind")


# Findings.


def test_best_and_worst_queries_are_of_different_products(ranked: Run) -> None:
    made = report_run(ranked, look=False)
    assert made.worst == [2, 3, 1]  # Products c, a, b; query 4 has no positive.
    assert made.best == [0, 1, 2]
    assert report_run(ranked, look=False, n_shown=1).worst == [2]


def test_no_perfect_query_is_among_the_worst_and_none_of_nothing_among_the_best(
    data: Dataset,
) -> None:
    rows = [ROWS[0], [10, 11, 14, 15], ROWS[2], ROWS[3], ROWS[4]]
    ids = np.array([row[:4] for row in rows], dtype=np.int32)
    scores = evaluate(Ranking(data.queries.ids, ids, None), data)
    assert scores.per_query["map@1000"][:3].tolist() == [1.0, 0.0, 0.0]
    made = report_run(Run("r", scores, data, {}), look=False)
    assert made.worst == [1, 2, 3]
    assert made.best == [0]


def test_products_that_are_ranked_above_one_another(ranked: Run) -> None:
    found = report_run(ranked, look=False).confusions
    assert [(c.first, c.second, c.n_first, c.of_first, c.n_second, c.of_second) for c in found] == [
        ("b", "a", 1, 1, 1, 2),
        ("c", "a", 1, 1, 1, 2),
        ("c", "d", 1, 1, 0, 0),
        ("c", "b", 1, 1, 0, 1),
    ]
    assert (found[0].query, found[0].wrong_rank, found[0].wrong.id) == (1, 1, 10)


def test_a_query_that_could_not_be_compared_confuses_nothing(data: Dataset) -> None:
    run = run_of(data)
    scores = run.scores.ranking.scores
    assert scores is not None
    scores[:] = -np.inf
    assert not report_run(run, look=False).confusions


def test_a_label_is_doubted_where_another_product_stands_first(data: Dataset) -> None:
    (doubt,) = report_run(run_of(data), look=False).doubts or ()
    assert (doubt.query, doubt.other) == (2, "b")
    assert [photo.id for photo in doubt.results] == [12, 13]
    assert doubt.similarity == pytest.approx(0.95)
    assert report_run(run_of(data, similar=False), look=False).doubts is None


def test_pictures_contradict_where_their_products_differ(ranked: Run) -> None:
    gallery = ranked.dataset.gallery
    pairs = [
        SamePicture(gallery[0], gallery[1], 0.0, "bytes"),
        SamePicture(gallery[1], gallery[2], 0.01, "near"),
    ]
    made = report_run(ranked, same_pictures=pairs, look=False)
    assert made.contradictions == pairs[1:]
    assert made.to_json()["same_pictures"][1]["second"] == {
        "id": 12,
        "domain": "seller",
        "path": "gallery/12.png",
        "product_id": "b",
    }


# The page.


def assert_self_contained(page: Page) -> None:
    assert page.source.lstrip().startswith("<!doctype html>")
    assert not re.search(r"https?:|@import|<link|<script|javascript:", page.source)
    sources = [a["src"] or "" for tag, a in page.tags if tag == "img"]
    sources += re.findall(r"background-image: url\(([^)]*)\)", page.source)
    assert sources
    for source in sources:
        head, _, encoded = source.partition(",")
        assert head == "data:image/jpeg;base64"
        Image.open(io.BytesIO(base64.b64decode(encoded))).load()


def test_the_page_of_a_run(tmp_path: Path, data: Dataset) -> None:
    data = with_categories(data)
    run = run_of(data)
    made = report_run(run, categories=read_categories(data))
    write_run_page(tmp_path / "page.html", made, depth=3)
    page = Page(tmp_path / "page.html")
    assert_self_contained(page)
    value = sum(PRECISION) / 4
    for said in (f"{value:.4f}", "toy run", "f00", "exact", "3.0 s in all", "No photo failed"):
        assert said in page.text
    figures = [a["aria-label"] or "" for tag, a in page.tags if tag == "svg"]
    assert len(figures) == 4 + 5 + 1
    assert any(f.startswith("mAP@1000 by category. shoes: 0.608, n 3") for f in figures)
    assert "Time by stage. embed: 2.5 s; rank: 0.5 s; infer, core: 4.0 s" in figures
    # Products c, a and b, each with three results; what lies deeper is shown apart.
    assert str(data.root) not in page.text
    assert data.root.name in page.text
    worst = page.source.split('id="worst"')[1].split('id="best"')[0]
    assert worst.count('<figure class="query">') == 3
    assert worst.count('<figure class="result hit">') == 1 + 2 + 1
    assert worst.count("what should have been found") == 2
    assert worst.count('<figure class="result category">') == 0 + 2 + 2


def test_hostile_names_are_only_text(tmp_path: Path, data: Dataset) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"
    run = run_of(data)
    hostile = Run(evil, run.scores, data, {"verdict": evil, "reason": evil, "failures": {evil: 1}})
    made = report_run(hostile, categories={"a": evil, "b": evil})
    write_run_page(tmp_path / "page.html", made)
    page = Page(tmp_path / "page.html")
    assert {tag for tag, _ in page.tags}.isdisjoint({"script"})
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert evil in page.text


def test_failures_are_told_by_reason(tmp_path: Path, data: Dataset) -> None:
    record = {"failures": {"queries": {"truncated": 3}, "gallery": {}}}
    made = report_run(Run("r", run_of(data).scores, data, record), look=False)
    write_run_page(tmp_path / "page.html", made)
    text = Page(tmp_path / "page.html").text
    assert "the file ends before the image does" in text
    assert "No photo failed" not in text


def test_a_ranking_shorter_than_the_gallery_and_with_blanks(tmp_path: Path, data: Dataset) -> None:
    ids = np.array(ROWS, dtype=np.int32)[:, :3]
    blank = np.zeros(ids.shape, dtype=bool)
    blank[1, 1:] = True
    ids[1, 1:] = -1
    scores = evaluate(Ranking(data.queries.ids, ids, None, blank=blank), data)
    made = report_run(Run("short", scores, data, {}))
    assert made.study.first_hit.tolist() == [1, 0, 0, 0, 0]
    write_run_page(tmp_path / "page.html", made)
    assert "not found" in Page(tmp_path / "page.html").text


# Comparison.


@pytest.fixture
def other(data: Dataset) -> Run:
    """As `ranked`, but for query 2, which is perfect, and query 0, which is not."""
    rows = [[15, 10, 11, 12, 13, 14], ROWS[1], [14, 13, 10, 11, 15, 12], ROWS[3], ROWS[4]]
    return run_of(data, rows)


def test_runs_are_held_against_each_other(ranked: Run, other: Run) -> None:
    found = compare_runs([ranked, other, ranked], ["map@1000", "hit@1"], ["x", "y", "z"])
    told = found.to_json()
    assert [(p["metric"], p["first"], p["second"]) for p in told["pairs"][:3]] == [
        ("map@1000", "x", "y"),
        ("map@1000", "x", "z"),
        ("map@1000", "y", "z"),
    ]
    first = told["pairs"][0]
    changed = (1 - (1 / 2 + 2 / 3) / 2, 1 / 6 - 1)
    assert first["value"] == pytest.approx(sum(changed) / 4)
    assert (first["wins"], first["ties"], first["losses"]) == (1, 2, 1)
    assert told["pairs"][1]["p_value"] == 1.0
    assert len(told["pairs"]) == 6
    (to_y, to_z) = told["changed"]
    assert [q["id"] for q in to_y["queries"]] == [2, 0]
    assert to_y["queries"][0] == {"id": 2, "first": pytest.approx(1 / 6), "second": 1.0}
    assert to_z["queries"] == []


def test_the_page_of_a_comparison(tmp_path: Path, ranked: Run, other: Run) -> None:
    found = compare_runs([ranked, other], ["map@1000"], ["before", "after"])
    write_comparison_page(tmp_path / "page.html", found)
    page = Page(tmp_path / "page.html")
    assert_self_contained(page)
    assert all(label in page.text for label in ("before", "after"))
    assert "A and B cannot be told apart" in page.text
    assert page.count("query") == 2
    assert "0.17 → 1.00 · query 2, product c, 1 to find" in page.text
    assert str(ranked.dataset.root) not in page.text
    # One direction in table, intervals and histogram.
    assert "B minus A" not in page.source
    (histogram,) = (
        a["aria-label"] or ""
        for tag, a in page.tags
        if tag == "svg" and "Queries by difference" in (a["aria-label"] or "")
    )
    assert "-0.9 to -0.8: 1" in histogram
    assert "0.4 to 0.5: 1" in histogram
    assert "allow for\nthe one test" in page.text


def test_what_differs_between_runs_of_one_model_is_shown(tmp_path: Path, ranked: Run) -> None:
    shorter = replace(ranked.scores.ranking, fingerprint="f01", chain=("exact", "reranked"))
    other = Run("toy run", evaluate(shorter, ranked.dataset), ranked.dataset, {})
    write_comparison_page(
        tmp_path / "page.html", compare_runs([ranked, other], ["map@1000"], ["x", "y"])
    )
    text = Page(tmp_path / "page.html").text
    assert "toy, fingerprint f00, chain exact" in text
    assert "toy, fingerprint f01, chain exact → reranked (gallery-side)" in text
    batch = replace(shorter, batch_side=True)
    third = Run("third", evaluate(batch, ranked.dataset), ranked.dataset, {})
    write_comparison_page(
        tmp_path / "page.html", compare_runs([ranked, third], ["map@1000"], ["x", "y"])
    )
    assert "exact → reranked (batch-side)" in Page(tmp_path / "page.html").text
    write_comparison_page(
        tmp_path / "page.html", compare_runs([ranked, ranked], ["map@1000"], ["x", "y"])
    )
    assert "fingerprint" not in Page(tmp_path / "page.html").text


def test_changes_too_small_to_be_seen_are_not_shown(tmp_path: Path, ranked: Run) -> None:
    values = {**ranked.scores.per_query, "map@1000": np.array([1.0, 0.502, 1 / 6, 0.1, np.nan])}
    other = Run("other", replace(ranked.scores, per_query=values), ranked.dataset, {})
    found = compare_runs([ranked, other], ["map@1000"], ["x", "y"])
    assert [change.row for change in found.changes[0].gained] == [1]
    write_comparison_page(tmp_path / "page.html", found)
    text = Page(tmp_path / "page.html").text
    assert "0.33 → 0.10" in text
    assert "0.50 → 0.50" not in text
    assert "gained most" not in text


def test_runs_of_different_test_sets_are_not_compared(
    tmp_path: Path, data: Dataset, ranked: Run
) -> None:
    table = data.root / "queries.csv"
    text = table.read_text()

    def changed(old: str, new: str) -> Run:
        table.write_text(text.replace(old, new))
        return run_of(read_dataset(data.root))

    other_id = changed("\n3,", "\n7,")
    with pytest.raises(RankingError, match=r"queries differ, the first in row 3.*: 3 and 7"):
        compare_runs([ranked, other_id], ["mrr"], ["x", "y"])
    other_label = changed(",b\n", ",c\n")
    with pytest.raises(RankingError, match="product b in one test set, of c in the other"):
        compare_runs([ranked, other_label], ["mrr"], ["x", "y"])


# The commands.


@pytest.fixture
def files(tmp_path: Path, data: Dataset, ranked: Run, other: Run) -> Path:
    ranked.scores.ranking.save(tmp_path / "a.npz")
    other.scores.ranking.save(tmp_path / "b.npy")
    rows = [",".join(map(str, row)) for row in ROWS]
    (tmp_path / "c.csv").write_text("\n".join(rows) + "\n")
    save_run(tmp_path / "run", ranked.scores, data, {"label": "kept"})
    return tmp_path


def called(command: click.Command, *words: object) -> None:
    command.main([str(word) for word in words], standalone_mode=False)


def test_report_of_a_run_folder(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    called(report, files / "run", "-o", files / "page.html", "--json", "-")
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["label"] == "kept"
    assert told["metrics"]["map@1000"]["value"] == pytest.approx(sum(PRECISION) / 4)
    assert sum(told["ap_histogram"]["counts"]) == 4
    assert told["worst"][0] == {
        "id": 2,
        "product_id": "c",
        "ap": pytest.approx(1 / 6),
        "first_hit": 6,
    }
    # Every photo of a product shows the same made picture.
    assert {pair["kind"] for pair in told["same_pictures"]} == {"bytes"}
    assert "open it in a browser" in err
    assert "Same pictures of one product" in Page(files / "page.html").text


@pytest.mark.parametrize("name", ["a.npz", "c.csv"])
def test_report_of_a_ranking(files: Path, data: Dataset, name: str) -> None:
    called(report, files / name, "--data", data.root, "-o", files / "p.html", "--no-duplicates")
    assert f"{sum(PRECISION) / 4:.4f}" in Page(files / "p.html").text


def test_report_says_what_is_missing(files: Path, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="name the test set with --data"):
        called(report, files / "a.npz", "-o", tmp_path / "p.html")
    with pytest.raises(click.UsageError, match="need --data"):
        called(report, files / "run", "-o", tmp_path / "p.html", "--boxes", "stored")
    with pytest.raises(MissingError, match=r"run .*none does not exist"):
        called(report, files / "none", "-o", tmp_path / "p.html")
    with pytest.raises(DataError, match="'kind'"):
        called(
            report, files / "a.npz", "--data", data.root, "-o", tmp_path / "p", "--category", "kind"
        )
    assert not (tmp_path / "p").exists()


def test_compare_in_the_terminal(files: Path, data: Dataset, run_on_terminal: conftest.Run) -> None:
    runs = (files / name for name in ("a.npz", "b.npy", "c.csv"))
    out = run_on_terminal("compare", *runs, "--data", data.root).out
    assert max(map(len, out.splitlines())) <= 80
    assert "A - B" in out
    assert "1/2/1" in out
    assert "A and C cannot be told apart" in out


def test_compare_writes_page_and_json(
    files: Path, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    called(
        compare,
        *(files / "run", files / "b.npy", "--data", data.root, "--metric", "recall@2"),
        *("-o", files / "compare.html", "--json", "-"),
    )
    told = json.loads(capsys.readouterr().out)
    assert [run["label"] for run in told["runs"]] == ["kept", "b"]
    assert [pair["metric"] for pair in told["pairs"]] == ["recall@2"]
    assert "Queries that gained most from A to B" in Page(files / "compare.html").text


def test_runs_of_one_name_are_told_apart_by_their_paths(
    files: Path, data: Dataset, ranked: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "old").mkdir()
    ranked.scores.ranking.save(files / "old" / "a.npz")
    paths = (files / "a.npz", files / "old" / "a.npz")
    called(compare, *paths, "--data", data.root, "--json", "-")
    told = json.loads(capsys.readouterr().out)
    assert [run["label"] for run in told["runs"]] == [str(path) for path in paths]


def test_compare_says_what_is_wrong(files: Path, data: Dataset) -> None:
    with pytest.raises(click.UsageError, match="name 2 to 26 runs"):
        called(compare, files / "a.npz", "--data", data.root)
    with pytest.raises(click.UsageError, match="name the test set with --data"):
        called(compare, files / "a.npz", files / "run")
    with pytest.raises(RankingError, match="no metric 'nonsense'"):
        called(compare, files / "run", files / "run", "--metric", "nonsense")
    (files / "wrong.csv").write_text("10,11\n" * 4 + "10,99\n")
    with pytest.raises(RankingError, match=r"(?s)wrong\.csv: the answer is refused.*first 99"):
        called(compare, files / "run", files / "wrong.csv", "--data", data.root)


# Heat maps.


def test_matches_are_shown_of_a_built_in_model(tmp_path: Path, data: Dataset) -> None:
    run = run_of(data)
    known = replace(run.scores.ranking, model_name="lite0-products")
    made = report_run(Run("known", evaluate(known, data), data, {}), look=False)
    write_run_page(tmp_path / "page.html", made)
    page = Page(tmp_path / "page.html")
    assert_self_contained(page)
    # The three worst queries and the three best: the first result, and the right one if it is not.
    wrong = sum(PRECISION[row] < 1 and ROWS[row][0] not in (10, 11) for row in made.worst)
    assert page.source.count('<div class="matches">') == len(made.worst) + len(made.best)
    assert page.source.count("why the first") == len(made.worst) + len(made.best)
    assert page.source.count("and the right one") >= wrong
    write_run_page(tmp_path / "page.html", made, explained=False)
    assert Page(tmp_path / "page.html").count("matches") == 0


def test_matches_of_another_model_are_shown_if_they_are_asked_for(
    tmp_path: Path, data: Dataset
) -> None:
    made = report_run(run_of(data), look=False)
    write_run_page(tmp_path / "page.html", made)
    assert Page(tmp_path / "page.html").count("matches") == 0
    # Unless they are asked for: then they are those of the built-in network.
    write_run_page(tmp_path / "page.html", made, explained=True)
    assert Page(tmp_path / "page.html").count("matches") > 0


def test_a_lost_photo_has_no_match(tmp_path: Path, data: Dataset) -> None:
    run = run_of(data)
    known = replace(run.scores.ranking, model_name="lite0-products")
    for photo in data.gallery:
        photo.path.unlink()
    made = report_run(Run("known", evaluate(known, data), data, {}), look=False)
    write_run_page(tmp_path / "page.html", made)
    assert Page(tmp_path / "page.html").count("matches") == 0
