from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import Run
from made_grids import make_grids

MakeModel = Callable[..., Path]


def test_finetune_shows_before_and_after(tmp_path: Path, make_model: MakeModel, run: Run) -> None:
    dataset, toy = make_grids(tmp_path / "shop"), make_model()
    result = run(
        "finetune", dataset, "-o", tmp_path / "mine", "--model", toy, "--json", tmp_path / "r.json"
    )
    assert result.code == 0, result.err
    lines = [line.split("\t") for line in result.out.splitlines()]
    assert [line[0] for line in lines] == ["model", "before", "after", "gain"]
    assert "60 queries, of 30 products that were kept out of the fit" in result.err
    assert f"use it with --model {tmp_path / 'mine'}" in result.err
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["kept"]
    assert f"{report['map@1000']['after']['value']:.4f}" == lines[2][1]
    evaluated = run("evaluate", dataset, "--model", tmp_path / "mine", "--json", "-").json
    assert evaluated["model"]["fingerprint"] == report["new_fingerprint"]


def test_finetune_that_gains_nothing_says_so(
    tmp_path: Path, make_model: MakeModel, run: Run
) -> None:
    dataset = make_grids(tmp_path / "shop", around=0)
    result = run("finetune", dataset, "-o", tmp_path / "mine", "--model", make_model())
    assert result.code == 1
    assert "nothing was written" in result.err
    assert not (tmp_path / "mine").exists()


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is here")
def test_tuning_the_network_needs_an_extra(tmp_path: Path, make_model: MakeModel, run: Run) -> None:
    dataset, mine = make_grids(tmp_path / "shop"), tmp_path / "mine"
    result = run("finetune", dataset, "-o", mine, "--model", make_model(), "--network")
    assert result.code == 3
    assert "pip install 'shoplens[train]'" in result.err
    assert list(tmp_path.glob("mine*")) == []


def test_finetune_needs_labels(tmp_path: Path, make_model: MakeModel, run: Run) -> None:
    dataset = make_grids(tmp_path / "shop")
    table = dataset / "queries.csv"
    rows = [line.rsplit(",", 1)[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join(rows) + "\n")
    result = run("finetune", dataset, "-o", tmp_path / "mine", "--model", make_model())
    assert result.code == 1
    assert "have no product_id" in result.err
