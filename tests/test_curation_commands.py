from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, Run, picture

SAMPLE = ROOT / "src" / "shoplens" / "sample"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number, name in enumerate(("user/a/1", "user/a/2", "seller/a/1", "seller/b/1")):
        path = root / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    return root


def test_make_check_statistics(run: Run, tree: Path, tmp_path: Path) -> None:
    made = run("dataset", "make", tree, tmp_path / "set", "--json", "-")
    assert made.code == 0
    assert made.json["layout"] == "DOMAIN/PRODUCT"
    assert (made.json["n_gallery"], made.json["n_queries"]) == (2, 2)
    assert "1 product without a user photo" in made.err
    assert "look: 4 of 4" in made.err
    assert run("check", tmp_path / "set").code == 0
    page = tmp_path / "page.html"
    shown = run("dataset", "statistics", tmp_path / "set", "-o", page, "--json", "-")
    assert shown.code == 0
    assert shown.json["n_products"] == 2
    # These queries have boxes, a tree of photos has none.
    assert "of boxes, where given" in shown.err
    assert "of whole photos" in run("dataset", "statistics", SAMPLE / "gallery").err
    assert page.read_text().startswith("<!doctype html>")


def test_make_tells_what_it_left_out(run: Run, tree: Path, tmp_path: Path) -> None:
    (tree / "seller/a/1.jpg").write_text("no photo")
    (tree / "stray.jpg").write_text("no photo")
    made = run("dataset", "make", tree, tmp_path / "set")
    assert made.code == 1
    assert "no user photo is left" in made.err
    kept = run("dataset", "make", tree, tmp_path / "set", "--keep-user-only")
    assert kept.code == 0
    assert "1 photo left out that cannot be used" in kept.err
    assert "not_an_image" in kept.err
    assert "stray.jpg" in kept.err


def test_make_refuses_what_is_there(run: Run, tree: Path, tmp_path: Path) -> None:
    refused = run("dataset", "make", tree, tmp_path)
    assert refused.code == 1
    assert "is there already" in refused.err
    assert run("dataset", "make", tmp_path / "none", tmp_path / "set").code == 3
    wrong = run("dataset", "make", tree, tmp_path / "set", "--column", "sku=x")
    assert wrong.code == 2


def test_leaks_set_the_exit_code(run: Run, tree: Path, tmp_path: Path) -> None:
    assert run("dataset", "make", tree, tmp_path / "set").code == 0
    page = tmp_path / "leaks.html"
    found = run("dataset", "leaks", tree, tmp_path / "set", "-o", page, "--json", "-")
    assert found.code == 1
    assert found.json["n_by_kind"] == {"bytes": 4}
    assert "bytes" in page.read_text()
    assert found.json["n_contradicting"] is None  # A folder of images says no products.
    assert "4 of 4 test photos are among 4 training photos (4 bytes)" in found.err
    clean = run("dataset", "leaks", tree, SAMPLE, "--json", tmp_path / "leaks.json")
    assert clean.code == 0
    assert json.loads((tmp_path / "leaks.json").read_text())["ok"] is True
    assert "0 of 80 test photos" in clean.err


def test_an_anonymised_set_scores_as_the_original(run: Run, tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    made = run("dataset", "anonymise", SAMPLE, tmp_path / "out", "--key", key)
    assert made.code == 0
    answer, ranks = tmp_path / "answer.npy", tmp_path / "ranks.npy"
    assert run("rank", tmp_path / "out", "-o", answer).code == 0
    assert run("dataset", "restore", answer, "--key", key, "-o", ranks).code == 0
    restored = run("evaluate", SAMPLE, "--ranks", ranks, "--json", "-").json
    original = run("evaluate", SAMPLE, "--json", "-").json
    assert restored["metrics"] == original["metrics"]


def test_restore_refuses_what_is_no_answer(run: Run, tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    assert run("dataset", "anonymise", SAMPLE, tmp_path / "out", "--key", key).code == 0
    answer = tmp_path / "answer.csv"
    answer.write_text("1,2,3\n" * 40)
    told = run("dataset", "restore", answer, "--key", key, "-o", tmp_path / "r.npy", "--json", "-")
    assert told.code == 0
    assert told.json["shape"] == [40, 3]
    assert [finding["code"] for finding in told.json["findings"]] == ["columns"]
    answer.write_text("1,2,77\n" * 40)
    refused = run("dataset", "restore", answer, "--key", key, "-o", tmp_path / "s.npy")
    assert refused.code == 1
    assert "77" in refused.err
    assert not (tmp_path / "s.npy").exists()
    absent = run("dataset", "restore", answer, "--key", tmp_path / "none", "-o", tmp_path / "s.npy")
    assert absent.code == 3
