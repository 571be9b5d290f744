"""Figures in README and docs are those of bench/results."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import figures
import measuring
import run as benchmarks

from shoplens.models import list_models
from shoplens.models.gettable import list_gettable


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_figure_is_that_of_its_result(page: Path) -> None:
    text = page.read_text("utf-8")
    assert figures.filled(text) == text, "python3 make.py figures"
    assert text.count("<!-- figure:") == len(figures.MARKED.findall(text)), "a marker is not closed"


def test_more_accurate_models_state_the_score_that_was_measured() -> None:
    measured = json.loads((measuring.RESULTS / "clip.json").read_text("utf-8"))["models"]
    (pair,) = (info for info in list_models() if info.name == "lite0-lite2-products")
    assert measured[pair.name]["fingerprint"] == pair.fingerprint
    for model in (pair, *list_gettable()):
        assert model.score is not None
        found = measured[model.name]["scores"]["development"]["value"]
        assert model.score.value == pytest.approx(found, abs=5e-5)


def test_every_figure_is_shown_somewhere() -> None:
    shown = {
        match[1]
        for page in figures.PAGES
        for match in figures.MARKED.findall(page.read_text("utf-8"))
    }
    assert shown == {*figures.FIGURES, *figures.TABLES}


def test_a_table_of_several_results_has_lines_for_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = figures.figure("shop.steps")
    assert "| `--rerank product-score`, products known | 0." in whole
    folder = ROOT / "bench" / "results"
    (tmp_path / "reranking.json").write_bytes((folder / "reranking.json").read_bytes())
    values = json.loads((folder / "confidence.json").read_text("utf-8"))
    values["model"] = {"name": "lite0-products", "fingerprint": "0"}  # An earlier one.
    (tmp_path / "confidence.json").write_text(json.dumps(values))
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    header, _, *lines = figures.figure("shop.steps").strip().splitlines()
    assert header == "|  | Challenge, open development set | Sample furniture |"
    assert len(lines) == 2
    assert set(lines) < set(whole.splitlines())


def test_pages_of_results_are_as_the_results_make_them() -> None:
    docs = ROOT / "docs"
    assert (docs / "benchmarks.md").read_text("utf-8") == benchmarks.benchmarks_page()
    experiments = (docs / "experiments.md").read_text("utf-8")
    assert benchmarks.with_experiments(experiments) == experiments


def test_the_score_that_a_model_tells_is_that_of_its_result() -> None:
    (model,) = (info for info in list_models() if info.default)
    assert model.score is not None
    told = f"{model.score.value:.3f}"
    assert told == figures.figure("development.map@1000")


def test_stale_figures_are_filled(tmp_path: Path) -> None:
    assert figures.filled("<!-- figure: model.megabytes -->9<!-- /figure --> MB") == (
        "<!-- figure: model.megabytes -->8.1<!-- /figure --> MB"
    )
    with pytest.raises(ValueError, match=r"there is no figure 'model\.gigabytes'"):
        figures.filled("<!-- figure: model.gigabytes -->9<!-- /figure -->")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"load_before": 2.1, "cores": 2}, "the machine was busy with other work: load 2.1"),
        ({"fingerprint": "0"}, "it was measured with an earlier built-in model"),
    ],
)
def test_a_result_that_does_not_hold_is_not_published(
    change: dict[str, Any], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = json.loads((ROOT / "bench" / "results" / "engines.json").read_text("utf-8"))
    for part in ("machine", "model"):
        values[part] |= {key: value for key, value in change.items() if key in values[part]}
    (tmp_path / "engines.json").write_text(json.dumps(values))
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    monkeypatch.setattr(benchmarks, "RESULTS", tmp_path)
    with pytest.raises(ValueError, match=f"'openvino.speed' must not be shown: {reason}"):
        figures.figure("openvino.speed")
    page = benchmarks.benchmarks_page()
    assert f"Not shown: {reason}" in page
    assert "OpenVINO bfloat16" not in page


def test_pages_state_no_figure_of_a_model_that_is_not_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = json.loads((ROOT / "bench" / "results" / "end_to_end.json").read_text("utf-8"))
    other = "lite0-products-int8"
    values["model"] = {"name": other, "fingerprint": measuring.built_in_models()[other]}
    (tmp_path / "end_to_end.json").write_text(json.dumps(values))
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    monkeypatch.setattr(benchmarks, "RESULTS", tmp_path)
    with pytest.raises(ValueError, match="another model than the default one"):
        figures.figure("development.map@1000")
    assert "`python3 make.py bench end_to_end` with lite0-products-int8" in (
        benchmarks.benchmarks_page()
    )


def test_results_name_no_folder_of_the_machine() -> None:
    for file in (ROOT / "bench" / "results").glob("*.json"):
        assert re.findall(r': "(/[^" ]*)"', file.read_text("utf-8")) == [], file.name


def test_a_run_on_a_busy_machine_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    monkeypatch.setattr(measuring, "LOAD_BEFORE", measuring.cores() + 0.1)
    with pytest.raises(SystemExit, match="not written: the load was"):
        measuring.finish("made", "make it", {}, "| a |")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(measuring, "LOAD_BEFORE", 0.5)
    measuring.finish("made", "make it", {"seconds": 1}, "| a |")
    values = json.loads((tmp_path / "made.json").read_text("utf-8"))
    assert values["machine"]["load_before"] == 0.5
    assert values["model"] == measuring.measured_model("made")
    assert {"commit", "seconds", "table"} <= set(values)
    assert "| a |" in capsys.readouterr().out
