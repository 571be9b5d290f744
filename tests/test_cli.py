from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import Run, picture
from PIL import Image

from shoplens import embed, evaluate, load_encoder, rank, read_dataset
from shoplens.cli import console

COMMANDS = ("cache", "check", "demo", "embed", "evaluate", "models", "rank", "search")
GALLERY = [(30, "a"), (-10, "b"), (20, "c"), (5, "a"), (7, "d")]
QUERIES = [(9, "b", "4,4,40,30"), (-1, "a", "0,0,64,48"), (3, "d", "-3,-3,50,40")]


@pytest.fixture
def data(make_dataset: Callable[..., Path]) -> Path:
    return make_dataset(GALLERY, QUERIES)


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Path:
    return make_model(centres={"user": [0.05] * 48})


# The commands.


def test_rank_writes_the_answer_array(run: Run, data: Path, toy: Path, tmp_path: Path) -> None:
    result = run("rank", data, "-o", tmp_path / "ranks.npy", "--model", toy)
    assert result.code == 0
    assert result.out == ""
    ids = np.load(tmp_path / "ranks.npy", allow_pickle=False)
    assert ids.dtype == np.int32
    assert ids.shape == (3, 5)
    for row in ids.tolist():
        assert sorted(row) == [-10, 5, 7, 20, 30]
    # The photos of product a are the same picture: a tie, in the order of gallery.csv.
    assert ids[1, :2].tolist() == [30, 5]
    assert ids[:, 0].tolist() == [-10, 30, 7]


def test_rank_tells_what_it_did_as_json(run: Run, data: Path, toy: Path, tmp_path: Path) -> None:
    result = run("rank", data, "-o", tmp_path / "r.npz", "--model", toy, "--json", "-")
    assert result.code == 0
    values = result.json
    assert values["shape"] == [3, 5]
    assert (values["n_queries"], values["n_gallery"], values["n_failed"]) == (3, 5, 0)
    assert values["n_clipped"] == 1
    assert values["model"] == {"name": "toy", "fingerprint": load_encoder(toy).fingerprint}
    assert (values["chain"], values["batch_side"]) == (["exact"], False)
    assert {"embed", "rank", "read", "decode", "crop", "infer"} <= set(values["seconds"])


def test_command_line_and_library_give_the_same_ranking(
    run: Run, data: Path, toy: Path, tmp_path: Path
) -> None:
    run("rank", data, "-o", tmp_path / "ranks.npz", "--model", toy, "--workers", "2")
    dataset, encoder = read_dataset(data), load_encoder(toy)
    ours = rank(embed(dataset.queries, encoder), embed(dataset.gallery, encoder))
    with np.load(tmp_path / "ranks.npz") as stored:
        np.testing.assert_array_equal(stored["ids"], ours.ids)
        np.testing.assert_array_equal(stored["scores"], ours.scores)
        np.testing.assert_array_equal(stored["query_ids"], [9, -1, 3])


def test_every_command_takes_the_leading_components(
    run: Run, data: Path, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = make_model("nested", nested=[12])
    cut = load_encoder(model, dimension=12).fingerprint
    options = ("--model", model, "--dimension", "12")
    saved = ("-o", tmp_path / "ranks.npz", "--save-vectors", tmp_path)
    assert run("rank", data, *saved, *options).code == 0
    assert len(pq.read_table(tmp_path / "gallery.parquet")["vector"][0]) == 12
    scores = run("evaluate", data, *options, "--json", "-").json
    assert scores["model"] == {"name": "nested", "fingerprint": cut}
    page = ("-o", tmp_path / "demo.html")
    assert run("demo", data, *page, *options, "--json", "-").json["model"]["fingerprint"] == cut
    search = ("search", data / "queries" / "9.png", "--gallery", data, "--json", "-")
    assert run(*search, *options).json["model"]["fingerprint"] == cut
    # Vectors of other dimensions are another model's.
    stored = ("--gallery-vectors", tmp_path / "gallery.parquet")
    assert run("evaluate", data, *options, *stored).code == 0
    other = run("evaluate", data, "--model", model, *stored)
    assert "different models" in other.err
    refused = run("evaluate", data, "--model", model, "--dimension", "13")
    assert refused.code == 1
    assert "it offers 12, 48" in refused.err


def test_search_finds_what_rank_does(run: Run, data: Path, toy: Path, tmp_path: Path) -> None:
    run("rank", data, "-o", tmp_path / "ranks.npz", "--model", toy)
    with np.load(tmp_path / "ranks.npz") as stored:
        ids, scores = stored["ids"], stored["scores"]
    for row, (number, _, box) in enumerate(QUERIES):
        photo = data / "queries" / f"{number}.png"
        found = run("search", photo, f"--box={box}", "--gallery", data, "--model", toy,
                    "--json", "-").json  # fmt: skip
        assert [hit["photo_id"] for hit in found["hits"]] == ids[row].tolist()
        assert [hit["score"] for hit in found["hits"]] == scores[row].tolist()


def test_search_gives_the_hits_as_json(run: Run, data: Path, toy: Path) -> None:
    photo = data / "queries" / "9.png"
    result = run("search", photo, "--gallery", data, "-k", 2, "--model", toy, "--json", "-")
    assert result.code == 0
    values = result.json
    first = values["hits"][0]
    assert first.pop("score") == pytest.approx(1, abs=0.1)
    assert first == {"rank": 1, "photo_id": -10, "product_id": "b", "path": "gallery/-10.png"}
    assert [hit["rank"] for hit in values["hits"]] == [1, 2]
    assert values["exact"] is True
    assert values["n_gallery"] == 5
    assert all(seconds >= 0 for seconds in values["seconds"].values())


def test_a_relative_box_is_the_same_as_its_pixels(run: Run, data: Path, toy: Path) -> None:
    photo = data / "queries" / "9.png"
    scores = [
        [hit["score"] for hit in run("search", photo, "--box", box, "--gallery", data,
                                     "--model", toy, "--json", "-").json["hits"]]
        for box in ("16,12,32,24", "rel:0.25,0.25,0.5,0.5")
    ]  # fmt: skip
    assert scores[0] == scores[1]


def test_a_plain_folder_can_be_searched(run: Run, data: Path, toy: Path, tmp_path: Path) -> None:
    photo = data / "queries" / "9.png"
    page = tmp_path / "hits.html"
    result = run("search", photo, "--gallery", data / "gallery", "--model", toy, "--html", page)
    assert result.code == 0
    assert "-10.png" in result.out
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert str(photo.parent) not in text, "a page may be sent to others"


def test_evaluate_has_the_shape_of_the_contract(run: Run, data: Path, toy: Path) -> None:
    result = run("evaluate", data, "--model", toy, "--json", "-")
    assert result.code == 0
    values = result.json
    assert values["n_queries"] == 3
    assert values["n_gallery"] == 5
    assert values["n_without_positive"] == 0
    assert values["n_failed"] == 0
    assert values["model"]["name"] == "toy"
    assert values["chain"] == ["exact"]
    assert values["batch_side"] is False
    assert values["metrics"]["map@1000"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert {"embed", "rank"} <= set(values["seconds"])


def test_evaluate_scores_a_saved_answer(run: Run, data: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ranks.npy", [[20, -10, 5], [20, 30, 5], [20, 30, 5]])
    result = run("evaluate", data, "--ranks", tmp_path / "ranks.npy", "--json", "-")
    assert result.code == 0
    values = result.json
    # Hits: rank 2 of 1; ranks 2 and 3 of 2; none of 1.
    expected = (1 / 2 + (1 / 2 + 2 / 3) / 2 + 0) / 3
    assert values["metrics"]["map@1000"]["value"] == pytest.approx(expected, abs=1e-12)
    assert values["model"] == {"name": None, "fingerprint": None}


def test_evaluate_of_what_rank_wrote_is_evaluate(
    run: Run, data: Path, toy: Path, tmp_path: Path
) -> None:
    run("rank", data, "-o", tmp_path / "ranks.npz", "--model", toy)
    direct = run("evaluate", data, "--model", toy, "--json", "-").json
    saved = run("evaluate", data, "--ranks", tmp_path / "ranks.npz", "--json", "-").json
    for key in ("metrics", "model", "chain", "batch_side", "n_failed", "n_without_positive"):
        assert saved[key] == direct[key]


def test_evaluate_prints_a_table_and_counts_queries_without_a_positive(
    run: Run, make_dataset: Callable[..., Path], toy: Path
) -> None:
    root = make_dataset(queries=[(0, "a", "0,0,64,48"), (1, "other", "0,0,64,48")])
    result = run("evaluate", root, "--model", toy)
    assert "map@1000" in result.out
    assert "1.0000 .. 1.0000" in result.out
    assert "1 queries without a positive left out" in result.err
    assert "recall@1000" not in result.out
    assert "recall@1000" in run("evaluate", root, "--model", toy, "--metric", "recall@1000").out


def test_check_lists_every_fault_as_json(run: Run, data: Path) -> None:
    good = run("check", data, "--json", "-")
    assert good.code == 0
    assert good.json["ok"] is True
    assert good.json["faults"] == []
    (data / "gallery" / "20.png").write_bytes(b"no picture")
    (data / "queries" / "9.png").unlink()
    with (data / "gallery.csv").open("a") as stream:
        stream.write("x,gallery/5.png,e\n")
    bad = run("check", data, "--json", "-")
    assert bad.code == 1
    assert bad.json["ok"] is False
    places = [(f["file"], f["row"], f["column"], f["value"]) for f in bad.json["faults"]]
    assert sorted(places) == [
        ("gallery.csv", 4, "img_path", "gallery/20.png"),
        ("gallery.csv", 7, "seller_img_id", "x"),
        ("queries.csv", 2, "img_path", "queries/9.png"),
    ]
    assert all(fault["problem"] for fault in bad.json["faults"])


def test_models_are_listed(run: Run) -> None:
    table, values = run("models"), run("models", "--json", "-").json
    assert table.code == 0
    assert "Apache-2.0" in table.out
    (default,) = [model for model in values["models"] if model["default"]]
    assert default["fingerprint"] == load_encoder().fingerprint
    assert default["dimension"] == 512


def test_demo_on_a_dataset_writes_a_page(run: Run, data: Path, toy: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run("demo", data, "-o", page, "--model", toy, "--json", "-")
    assert result.code == 0
    assert result.json["page"] == str(page)
    assert result.json["metrics"]["map@1000"]["value"] == 1.0
    assert "&#10003;" in page.read_text(encoding="utf-8")


def test_demo_runs_on_the_sample_that_ships(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("demo", "--json", "-")
    assert result.code == 0
    assert (tmp_path / "shoplens-demo.html").stat().st_size > 50_000
    assert result.json["n_failed"] == 0
    # The same model on the same photos: a ranking by chance would score below 0.2.
    assert result.json["metrics"]["map@1000"]["value"] > 0.4


def test_the_sample_is_sound(run: Run, sample: Path) -> None:
    result = run("check", sample, "--json", "-")
    assert result.code == 0
    assert result.json["n_gallery"] > 0
    assert result.json["n_queries"] > 0
    assert result.json["n_without_positive"] == 0


# Own models and vectors.


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_model_of_ones_own_goes_the_whole_way(
    run: Run, data: Path, toy: Path, tmp_path: Path, kind: str
) -> None:
    import shutil

    model = toy if kind == "folder" else Path(
        shutil.make_archive(str(tmp_path / "toy"), "zip", toy)
    )  # fmt: skip
    values = run("evaluate", data, "--model", model, "--json", "-").json
    dataset, encoder = read_dataset(data), load_encoder(toy)
    ours = rank(embed(dataset.queries, encoder), embed(dataset.gallery, encoder))
    assert values["metrics"] == evaluate(ours, dataset).to_json()["metrics"]
    assert values["model"]["fingerprint"] == encoder.fingerprint


def test_saved_vectors_rank_as_the_photos_do(
    run: Run, data: Path, toy: Path, tmp_path: Path
) -> None:
    (data / "gallery" / "20.png").write_bytes(b"broken")
    (data / "queries" / "3.png").write_bytes(b"broken")
    vectors = tmp_path / "vectors"
    first = run("rank", data, "-o", tmp_path / "a.npz", "--model", toy, "--save-vectors", vectors,
                "--json", "-")  # fmt: skip
    assert first.code == 0
    second = run(
        "rank", data, "-o", tmp_path / "b.npz", "--gallery-vectors", vectors / "gallery.parquet",
        "--query-vectors", vectors / "queries.parquet", "--json", "-",
    )  # fmt: skip
    assert second.code == 0
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        for name in ("ids", "scores", "query_ids", "meta"):
            np.testing.assert_array_equal(a[name], b[name])
    for key in ("failures", "model", "n_failed"):
        assert second.json[key] == first.json[key]
    assert first.json["failures"] == {"gallery": {"not_an_image": 1},
                                      "queries": {"not_an_image": 1}}  # fmt: skip
    stored = pq.read_table(vectors / "queries.parquet").to_pydict()
    assert stored["domain"] == ["user"] * 3
    assert stored["failure"] == [None, None, "not_an_image"]


def test_a_pair_of_npy_files_stands_in_for_the_photos(run: Run, data: Path, tmp_path: Path) -> None:
    # No photo is read: the folders may be empty.
    for photo in data.rglob("*.png"):
        photo.unlink()
    eye = np.eye(5, 6)
    np.save(tmp_path / "gallery.npy", eye)
    np.save(tmp_path / "queries.npy", eye[[1, 3, 4]] + 0.1 * eye[2])
    given = ("--gallery-vectors", tmp_path / "gallery.npy",
             "--query-vectors", tmp_path / "queries.npy")  # fmt: skip
    result = run("rank", data, "-o", tmp_path / "ranks.npy", *given)
    assert result.code == 0
    assert np.load(tmp_path / "ranks.npy")[:, :2].tolist() == [[-10, 20], [5, 20], [7, 20]]
    values = run("evaluate", data, *given, "--json", "-").json
    assert values["metrics"]["hit@1"]["value"] == 1.0
    assert values["model"] == {"name": None, "fingerprint": None}


def test_search_takes_gallery_vectors(run: Run, data: Path, toy: Path, tmp_path: Path) -> None:
    run("rank", data, "-o", tmp_path / "a.npy", "--model", toy, "--save-vectors", tmp_path)
    search = ("search", data / "queries" / "9.png", "--gallery", data, "--model", toy,
              "--json", "-")  # fmt: skip
    without = run(*search).json
    with_them = run(*search, "--gallery-vectors", tmp_path / "gallery.parquet").json
    assert with_them["hits"] == without["hits"]


def test_photos_that_a_vector_file_lacks_are_counted(
    run: Run, data: Path, toy: Path, tmp_path: Path
) -> None:
    run("rank", data, "-o", tmp_path / "a.npy", "--model", toy, "--save-vectors", tmp_path)
    table = pq.read_table(tmp_path / "gallery.parquet")
    pq.write_table(table.take([4, 1, 0]), tmp_path / "less.parquet")
    result = run("rank", data, "-o", tmp_path / "b.npy", "--model", toy, "--json", "-",
                 "--gallery-vectors", tmp_path / "less.parquet")  # fmt: skip
    assert result.code == 0
    assert result.json["failures"]["gallery"] == {"no_vector": 2}
    assert "2 failed, no_vector" in result.err
    assert np.load(tmp_path / "b.npy")[:, 3:].tolist() == [[20, 5]] * 3


def test_vectors_of_another_model_are_refused(
    run: Run, data: Path, toy: Path, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    run("rank", data, "-o", tmp_path / "a.npy", "--model", toy, "--save-vectors", tmp_path)
    given = ("--gallery-vectors", tmp_path / "gallery.parquet")
    other = make_model("other", std=[1, 2, 3])
    result = run("rank", data, "-o", tmp_path / "b.npy", "--model", other, *given)
    assert result.code == 1
    assert "embed both with one model" in result.err
    assert not (tmp_path / "b.npy").exists()
    photo = data / "queries" / "9.png"
    result = run("search", photo, "--gallery", data, "--model", other, *given)
    assert result.code == 1
    assert "embed both with one model" in result.err


def test_parquet_without_its_extra_is_told_before_the_work(
    run: Run, data: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "v.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # Importing it fails.
    rank_it = ("rank", data, "-o", tmp_path / "a.npy", "--model", toy)
    for words in (
        ("--save-vectors", tmp_path),
        ("--gallery-vectors", tmp_path / "v.parquet"),
        ("--query-vectors", tmp_path / "v.parquet"),
    ):
        result = run(*rank_it, *words)
        assert result.code == 3
        assert "pip install 'shoplens[parquet]'" in result.err
        assert "embed" not in result.err


def test_faulty_vectors_are_told_before_photos_are_embedded(
    run: Run, data: Path, toy: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "queries.npy", np.zeros((3, 48)))
    result = run("evaluate", data, "--model", toy, "--query-vectors", tmp_path / "queries.npy")
    assert result.code == 1
    assert "3 vectors are zero or not finite" in result.err
    assert "embed" not in result.err


# What goes wrong.


def test_failures_are_counted_and_named(run: Run, data: Path, toy: Path, tmp_path: Path) -> None:
    (data / "gallery" / "30.png").write_bytes(b"")
    (data / "queries" / "9.png").unlink()
    result = run("rank", data, "-o", tmp_path / "ranks.npz", "--model", toy, "--json", "-")
    assert result.code == 0
    assert result.json["n_failed"] == 2
    assert result.json["failures"] == {"gallery": {"empty": 1}, "queries": {"missing": 1}}
    assert [(f["side"], f["id"], f["path"], f["reason"]) for f in result.json["failed_photos"]] == [
        ("gallery", 30, "gallery/30.png", "empty"),
        ("queries", 9, "queries/9.png", "missing"),
    ]
    assert "gallery: 4 of 5 photos" in result.err
    assert "1 failed, empty" in result.err
    assert "30 gallery/30.png" in result.err
    with np.load(tmp_path / "ranks.npz") as stored:
        assert stored["ids"][0].tolist() == [30, -10, 20, 5, 7]
        assert np.isneginf(stored["scores"][0]).all()
        assert stored["ids"][1:, -1].tolist() == [30, 30]
        assert np.isneginf(stored["scores"][1:, -1]).all()


def test_faults_of_a_table_have_exit_code_1(run: Run, data: Path, toy: Path) -> None:
    with (data / "queries.csv").open("a") as stream:
        stream.write("9,queries/9.png,0,0,5,5,a\nx,queries/9.png,0,0,5,5,a\n")
    result = run("evaluate", data, "--model", toy)
    assert result.code == 1
    assert "2 faults" in result.err
    assert "row 5, column user_img_id: '9' repeats the id of row 2" in result.err
    assert "row 6, column user_img_id: 'x' is not an integer" in result.err


def test_a_dataset_without_ground_truth_is_ranked_but_not_scored(
    run: Run, data: Path, toy: Path, tmp_path: Path
) -> None:
    for name in ("gallery.csv", "queries.csv"):
        with (data / name).open(newline="") as stream:
            rows = [row[:-1] for row in csv.reader(stream)]
        with (data / name).open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)
    assert run("rank", data, "-o", tmp_path / "a.npy", "--model", toy).code == 0
    result = run("evaluate", data, "--ranks", tmp_path / "a.npy")
    assert result.code == 1
    assert "have no product_id" in result.err


def test_an_answer_that_does_not_fit_has_exit_code_1(run: Run, data: Path, tmp_path: Path) -> None:
    for rows in ([[1, 2]], [[30, 30, 20]] * 3, [[30, 31, 20]] * 3, [[30.5, 20, 5]] * 3):
        np.save(tmp_path / "ranks.npy", rows)
        result = run("evaluate", data, "--ranks", tmp_path / "ranks.npy")
        assert result.code == 1
        assert result.err.startswith("error: ")


@pytest.mark.parametrize("box", ["100,100,5,5", "0,0,0,5", "rel:2,2,1,1", "nan,0,5,5", "1,2,3", ""])
def test_a_box_that_holds_nothing_of_the_photo_is_refused(
    run: Run, data: Path, toy: Path, box: str
) -> None:
    photo = data / "queries" / "9.png"
    result = run("search", photo, "--box", box, "--gallery", data, "--model", toy)
    assert result.code in (1, 2)
    assert "box" in result.err
    assert "embed" not in result.err


def test_a_query_photo_that_is_no_picture_is_refused(run: Run, data: Path, toy: Path) -> None:
    photo = data / "queries" / "9.png"
    photo.write_bytes(b"no picture")
    result = run("search", photo, "--gallery", data, "--model", toy)
    assert result.code == 1
    assert "not an image" in result.err


def test_a_gallery_without_any_readable_photo_cannot_be_searched(
    run: Run, data: Path, toy: Path
) -> None:
    for photo in (data / "gallery").iterdir():
        photo.write_bytes(b"broken")
    result = run("search", data / "queries" / "9.png", "--gallery", data, "--model", toy)
    assert result.code == 1
    assert "none of the 5 gallery photos" in result.err


@pytest.mark.parametrize(
    "words",
    [
        ["ranking"],
        ["rank"],
        ["rank", "DATA"],
        ["rank", "DATA", "-o", "ranks.csv"],
        ["rank", "DATA", "-o", "ranks.npy", "--workers", "0"],
        ["rank", "DATA", "-o", "ranks.npy", "--workers", "many"],
        ["rank", "DATA", "-o", "ranks.npy", "--nothing"],
        ["rank", "DATA", "-o", "ranks.npy", "--boxes", "sideways"],
        ["rank", "DATA", "-o", "ranks.npy", "--column", "img_path"],
        ["evaluate", "DATA", "more"],
        ["search", "photo.jpg"],
        ["search", "photo.jpg", "--gallery", "DATA", "-k", "0"],
        ["demo", "DATA", "--results", "-1"],
        ["--nothing"],
    ],
)
def test_wrong_usage_has_exit_code_2(
    run: Run, data: Path, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*[data if word == "DATA" else word for word in words])
    assert result.code == 2
    assert result.out == ""
    assert "Usage:" in result.err


def test_a_misspelt_option_is_answered_with_the_nearest(run: Run, data: Path) -> None:
    assert "--model" in run("evaluate", data, "--modl", "x").err.partition("Did you mean")[2]


@pytest.mark.parametrize(
    "words",
    [
        ["check", "none"],
        ["evaluate", "none"],
        ["evaluate", "DATA", "--model", "none"],
        ["evaluate", "DATA", "--ranks", "none.npy"],
        ["evaluate", "DATA", "--gallery-vectors", "none.npy"],
        ["evaluate", "DATA", "--query-vectors", "none.parquet"],
        ["evaluate", "DATA", "--json", "none/scores.json"],
        ["rank", "DATA", "-o", "none/ranks.npy"],
        ["search", "none.jpg", "--gallery", "DATA"],
        ["search", "PHOTO", "--gallery", "none"],
        ["search", "PHOTO", "--gallery", "DATA", "--html", "none/page.html"],
        ["demo", "DATA", "-o", "none/page.html"],
    ],
)
def test_what_is_missing_has_exit_code_3_and_is_told_before_the_work(
    run: Run, data: Path, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"DATA": data, "PHOTO": data / "queries" / "9.png"}
    result = run(*[places.get(word, word) for word in words])
    assert result.code == 3
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert "none" in result.err
    assert "embed" not in result.err


def test_a_dataset_that_is_a_plain_folder_is_told_about_search(run: Run, data: Path) -> None:
    result = run("evaluate", data / "gallery")
    assert result.code == 3
    assert "shoplens search --gallery" in result.err


# What is printed where.


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert f"Usage: shoplens {command}" in result.out
    assert "Example:" in result.out
    assert f"shoplens {command}" in result.out.partition("Example:")[2]
    assert "--json" in result.out


def test_the_group_names_every_command_and_exit_code(run: Run) -> None:
    result = run("--help")
    assert result.code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.out
    assert "130" in result.out
    assert run("--version").out.startswith("shoplens, version ")


@pytest.mark.parametrize(
    "words",
    [
        ["check", "DATA"],
        ["rank", "DATA", "-o", "ranks.npy"],
        ["evaluate", "DATA"],
        ["search", "PHOTO", "--gallery", "DATA"],
        ["demo", "DATA"],
        ["models"],
    ],
)
def test_json_on_standard_output_stands_alone(
    run: Run, data: Path, toy: Path, words: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    places = {"DATA": data, "PHOTO": data / "queries" / "9.png"}
    command = [places.get(word, word) for word in words]
    if words[0] not in ("check", "models"):
        command += ["--model", toy]
    alone = run(*command, "--json", "-")
    assert alone.code == 0
    # Runs differ in seconds and in what the cache served; else the file holds what was printed.
    assert run(*command, "--json", "values.json").code == 0
    written = json.loads((tmp_path / "values.json").read_text(encoding="utf-8"))
    assert written.keys() == alone.json.keys()
    for key in set(written) - {"seconds", "n_cached"}:
        assert written[key] == alone.json[key]


def test_progress_is_plain_lines_where_there_is_no_terminal(
    run: Run, data: Path, toy: Path
) -> None:
    result = run("evaluate", data, "--model", toy, "--json", "-")
    assert "embed gallery: 5 of 5" in result.err
    assert "embed queries: 3 of 3" in result.err
    assert "\x1b" not in result.err
    assert "\r" not in result.err


def test_slow_and_resumed_work_has_an_honest_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter((0.0, 0.0, 20.0, 40.0, 60.0, 61.0, 101.0))
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.progress_display() as progress:
        for done in (180, 185, 1185, 2000):
            progress("train", done, 2000)
        for done in (0, 20):
            progress("train", done, 20)
    assert capsys.readouterr().err.splitlines() == [
        "train: 185 of 2,000, 0.25/s, 7260 s left",
        "train: 1,185 of 2,000, 25/s, 32 s left",
        "train: 2,000 of 2,000, 30/s",
        "train: 20 of 20, 0.5/s",
    ]


def test_names_with_brackets_are_shown_as_they_are(
    run: Run, data: Path, toy: Path, tmp_path: Path
) -> None:
    # The console would read these as markup: bold, and a closing tag without an opening one.
    table = data / "gallery.csv"
    (data / "gallery" / "30.png").rename(data / "gallery" / "[bold]30.png")
    text = table.read_text().replace("gallery/30.png,a", "gallery/[bold]30.png,[/x]:smile:")
    table.write_text(text)
    photo = data / "queries" / "-1.png"
    result = run("search", photo, "--gallery", data, "--model", toy, "-k", "1")
    assert result.code == 0
    assert "[/x]:smile:" in result.out
    (data / "gallery" / "[bold]30.png").write_bytes(b"broken")
    result = run("check", data)
    assert result.code == 1
    assert "[bold]" in result.out


@pytest.mark.skipif(sys.platform != "linux", reason="only there a file name may hold any bytes")
def test_file_names_that_are_no_utf8_do_not_end_a_run(
    run: Run, data: Path, toy: Path, tmp_path: Path
) -> None:
    folder = os.fsencode(data / "gallery")
    Path(os.fsdecode(folder + b"/30.png")).rename(os.fsdecode(folder + b"/\xff.png"))
    page = tmp_path / "page.html"
    result = run("search", data / "queries" / "-1.png", "--gallery", data / "gallery",
                 "--model", toy, "--html", page, "--json", tmp_path / "hits.json")  # fmt: skip
    assert result.code == 0
    assert "\\udcff.png" in result.out
    assert "\\udcff.png" in page.read_text(encoding="utf-8")
    (data / "gallery.csv").unlink()
    assert run("check", data / "gallery").code == 0


def test_tables_of_other_column_names_are_read(run: Run, data: Path, toy: Path) -> None:
    for name in ("gallery.csv", "queries.csv"):
        text = (data / name).read_text().replace("img_path", "file").replace("product_id", "sku")
        (data / name).write_text(text)
    names = ("--column", "img_path=file", "--column", "product_id=sku")
    result = run("evaluate", data, "--model", toy, "--json", "-", *names)
    assert result.code == 0
    assert result.json["metrics"]["map@1000"]["value"] == 1.0


# In a process of its own.


def many_photos(folder: Path, n: int) -> Path:
    """Write a dataset of n rows that all name one photo."""
    folder.mkdir()
    picture(1).save(folder / "photo.png")
    rows = [f"{i},photo.png" for i in range(n)]
    (folder / "gallery.csv").write_text("\n".join(["seller_img_id,img_path", *rows]))
    (folder / "queries.csv").write_text(
        "user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h\n0,photo.png,0,0,64,48\n"
    )
    return folder


def on_a_terminal(command: list[str], until: bytes = b"") -> tuple[int, str]:
    """Run with standard error on a pseudo-terminal; interrupt when `until` has been printed."""
    pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "shoplens", *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    printed = b""
    interrupted = False
    try:
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux says so when the other side is closed.
                break
            if not chunk:
                break
            printed += chunk
            if until and until in printed and not interrupted:
                process.send_signal(signal.SIGINT)
                interrupted = True
        return process.wait(timeout=180), printed.decode()
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def test_progress_is_bars_on_a_terminal(data: Path, toy: Path, tmp_path: Path) -> None:
    code, printed = on_a_terminal(
        ["rank", str(data), "-o", str(tmp_path / "ranks.npy"), "--model", str(toy)]
    )
    assert code == 0
    assert "embed gallery" in printed
    assert "━" in printed
    assert "5/5" in printed


def test_an_interrupt_ends_with_130_and_leaves_nothing_behind(tmp_path: Path) -> None:
    data = many_photos(tmp_path / "many", 20_000)
    out = tmp_path / "out"
    out.mkdir()
    code, printed = on_a_terminal(
        ["rank", str(data), "-o", str(out / "ranks.npy"), "--json", str(out / "r.json")],
        until=b"embed gallery",
    )
    assert code == 130
    assert "interrupted" in printed
    assert "Traceback" not in printed
    assert list(out.iterdir()) == []


def test_the_module_runs_as_a_program(data: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "shoplens", "check", str(data), "--json", "-"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0
    assert json.loads(result.stdout)["ok"] is True
    assert "looked at 5 gallery photos and 3 queries" in result.stderr


def test_output_that_cannot_show_a_name_does_not_end_the_run(data: Path, toy: Path) -> None:
    table = data / "gallery.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",b", ",é漢"), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "shoplens", "search", str(data / "queries" / "9.png"),
         "--gallery", str(data), "--model", str(toy)],
        capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert result.returncode == 0
    assert b"\\xe9\\u6f22" in result.stdout


def test_two_outputs_in_one_file_are_refused(run: Run, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    assert run("rank", data, "-o", file, "--json", file).code == 2
    assert not file.exists()


def test_what_cannot_be_scored_is_told_before_it_is_embedded(run: Run, data: Path) -> None:
    table = data / "queries.csv"
    table.write_text("\n".join(line.rpartition(",")[0] for line in table.read_text().split()))
    result = run("evaluate", data)
    assert result.code == 1
    assert "have no product_id" in result.err
    assert "embed" not in result.err


def test_search_lists_the_photos_that_failed(run: Run, data: Path, tmp_path: Path) -> None:
    photo = tmp_path / "query.png"
    Image.new("RGB", (20, 10)).save(photo)
    (data / "gallery" / "30.png").write_text("no image")
    result = run("search", photo, "--gallery", data, "--box=-5,0,10,10", "--json", "-")
    value = json.loads(result.out)
    assert value["failures"] == {"gallery": {"not_an_image": 1}}
    assert [failed["id"] for failed in value["failed_photos"]] == [30]
    assert "box -5,0,10,10 reaches beyond the photo" in result.err


def test_a_query_photo_that_fails_is_named(run: Run, data: Path, tmp_path: Path) -> None:
    photo = tmp_path / "query.png"
    photo.write_text("no image")
    for words in ([], ["--box", "0,0,1,1"]):
        result = run("search", photo, "--gallery", data, *words)
        assert result.code == 1
        assert str(photo) in result.err
    folder = run("search", tmp_path, "--gallery", data)
    assert folder.code == 2
    assert "is a folder" in folder.err


def test_vectors_of_unknown_origin_are_warned_of(run: Run, data: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "g.npy", np.random.default_rng(0).normal(size=(5, 512)))
    result = run("rank", data, "--gallery-vectors", tmp_path / "g.npy", "-o", tmp_path / "r.npy")
    assert result.code == 0
    assert "does not say which model made its vectors" in result.err


def test_only_ids_can_be_row_numbers(run: Run, data: Path) -> None:
    assert run("check", data, "--column", "img_path=@row").code == 2


def test_names_cannot_steer_the_terminal(run: Run, data: Path) -> None:
    table = data / "gallery.csv"
    table.write_text(table.read_text() + "77,\x1b]0;owned\x07.png,a\n")
    result = run("check", data)
    assert result.code == 1
    assert "\x1b" not in result.out + result.err
    assert "\\x1b]0;owned" in "".join(result.out.split())


def test_errors_of_the_system_have_no_traceback(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = ["rank", data, "-o", tmp_path / "r.npy", "--save-vectors", tmp_path / "file"]
    assert run(*words).code == 1
    assert run("check", "x" * 300).code in (1, 3)


def test_a_narrow_answer_is_scored_with_a_warning(run: Run, data: Path, tmp_path: Path) -> None:
    run("rank", data, "-o", tmp_path / "r.npy")
    np.save(tmp_path / "r.npy", np.load(tmp_path / "r.npy")[:, :2])
    result = run("evaluate", data, "--ranks", tmp_path / "r.npy")
    assert result.code == 0
    assert "has 2 columns, a full answer has 5" in result.err
