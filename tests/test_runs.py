from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoplens import Dataset, Ranking, evaluate, read_dataset
from shoplens.errors import DataError, MissingError, RankingError
from shoplens.runs import load_run, save_run

IDS = np.array([[0, 2, 1], [2, 1, 0]], dtype=np.int32)


@pytest.fixture
def data(make_dataset: Callable[..., Path]) -> Dataset:
    return read_dataset(make_dataset())


@pytest.fixture
def ranking(data: Dataset) -> Ranking:
    scores = np.array([[0.9, 0.5, 0.1], [0.8, 0.7, 0.6]], dtype=np.float32)
    return Ranking(data.queries.ids, IDS, scores, "toy", "f00", ("exact",), seconds={"rank": 0.25})


@pytest.fixture
def folder(tmp_path: Path, data: Dataset, ranking: Ranking) -> Path:
    save_run(tmp_path / "first", evaluate(ranking, data), data, {"note": "hello"})
    return tmp_path / "first"


def test_a_run_comes_back_whole(folder: Path, ranking: Ranking) -> None:
    run = load_run(folder)
    assert run.label == "first"
    assert run.scores["map@1000"].value == 0.75
    assert run.json["note"] == "hello"
    assert run.json["created"].endswith("+00:00")
    assert run.dataset.root == Path(run.json["dataset"])
    back = run.scores.ranking
    assert np.array_equal(back.ids, ranking.ids)
    assert back.scores is not None
    assert back.scores.tolist() == ranking.scores.tolist()  # type: ignore[union-attr]
    assert (back.model_name, back.fingerprint, back.chain) == ("toy", "f00", ("exact",))
    assert back.seconds == {"rank": 0.25}


def test_the_record_says_what_evaluate_says(folder: Path, data: Dataset, ranking: Ranking) -> None:
    record = json.loads((folder / "run.json").read_text())
    told = evaluate(ranking, data).to_json()
    assert {key: record[key] for key in told} == told
    assert Path(record["dataset"]).is_absolute()


def test_a_label_of_ones_own(tmp_path: Path, data: Dataset, ranking: Ranking) -> None:
    save_run(tmp_path / "a", evaluate(ranking, data), data, {"label": "soup, 384 px"})
    assert load_run(tmp_path / "a").label == "soup, 384 px"


def test_a_second_run_replaces_the_first(folder: Path, data: Dataset, ranking: Ranking) -> None:
    (folder / "log.txt").write_text("kept")
    better = replace(ranking, ids=np.array([[0, 2, 1], [1, 2, 0]], dtype=np.int32))
    save_run(folder, evaluate(better, data), data, {})
    run = load_run(folder)
    assert run.scores["map@1000"].value == 1.0
    assert "note" not in run.json
    assert sorted(p.name for p in folder.iterdir()) == ["log.txt", "ranking.npz", "run.json"]


def test_a_write_that_is_broken_off_leaves_no_run(
    folder: Path, data: Dataset, ranking: Ranking
) -> None:
    (folder / "ranking.npz").unlink()
    (folder / "ranking.npz").mkdir()
    with pytest.raises(Exception, match="it is a folder"):
        save_run(folder, evaluate(ranking, data), data, {})
    with pytest.raises(MissingError, match=r"no run\.json"):
        load_run(folder)


@pytest.mark.parametrize("name", ["answer.npy", "answer.npz"])
def test_a_ranking_alone(tmp_path: Path, data: Dataset, ranking: Ranking, name: str) -> None:
    ranking.save(tmp_path / name)
    run = load_run(tmp_path / name, data)
    assert (run.label, dict(run.json)) == ("answer", {})
    assert run.scores["map@1000"].value == 0.75
    with pytest.raises(DataError, match="--data"):
        load_run(tmp_path / name)


def test_metrics_can_be_chosen(folder: Path) -> None:
    assert list(load_run(folder, metrics=["recall@2"]).scores) == ["recall@2"]


def test_a_changed_test_set_is_told(folder: Path, data: Dataset) -> None:
    table = data.root / "queries.csv"
    table.write_text(table.read_text().replace(",b\n", ",c\n"))
    with pytest.raises(RankingError, match=r"map@1000 was 0\.750000 and is now 1\.000000"):
        load_run(folder)
    assert load_run(folder, read_dataset(data.root)).scores["map@1000"].value == 1.0


def test_other_queries_are_told(folder: Path, data: Dataset) -> None:
    table = data.root / "queries.csv"
    table.write_text(table.read_text().replace("\n1,", "\n7,"))
    with pytest.raises(RankingError, match="ranks other queries"):
        load_run(folder, read_dataset(data.root))


def test_a_test_set_that_is_gone_is_told(folder: Path, data: Dataset, tmp_path: Path) -> None:
    data.root.rename(tmp_path / "elsewhere")
    with pytest.raises(MissingError, match="say with --data where it is"):
        load_run(folder)
    moved = read_dataset(tmp_path / "elsewhere")
    assert load_run(folder, moved).scores["map@1000"].value == 0.75


def test_the_columns_a_test_set_was_read_with(
    tmp_path: Path, data: Dataset, ranking: Ranking
) -> None:
    for table in (data.root / "queries.csv", data.root / "gallery.csv"):
        table.write_text(table.read_text().replace("product_id", "sku"))
    read = read_dataset(data.root, columns={"product_id": "sku"})
    save_run(tmp_path / "r", evaluate(ranking, read), read, {"columns": {"product_id": "sku"}})
    assert load_run(tmp_path / "r").scores["map@1000"].value == 0.75


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[1]", "Expected `object`, got `array`"),
        ('{"label": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ("{}", "does not name its test set"),
        ('{"dataset": 3}', "does not name its test set"),
    ],
)
def test_a_faulty_record_is_told(folder: Path, text: str, said: str) -> None:
    (folder / "run.json").write_text(text)
    with pytest.raises(DataError, match=said):
        load_run(folder)


def test_a_run_that_came_to_nothing_says_why(folder: Path) -> None:
    # The ranking beside it is of an earlier run.
    record = {"verdict": "time_limit", "reason": "still running after 600 s", "metrics": {}}
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(RankingError, match="it ended with time_limit: still running after 600 s"):
        load_run(folder)


def test_a_run_without_its_ranking_is_told(folder: Path) -> None:
    (folder / "ranking.npz").unlink()
    with pytest.raises(RankingError, match=r"has no scored ranking\.npz"):
        load_run(folder)


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no run\.json"):
        load_run(tmp_path)


def test_a_run_in_no_folder_is_refused(tmp_path: Path, data: Dataset, ranking: Ranking) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        save_run(tmp_path / "none" / "run", evaluate(ranking, data), data, {})


def test_numbers_that_json_has_not_are_refused_before_anything_is_written(
    folder: Path, data: Dataset, ranking: Ranking
) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_run(folder, evaluate(ranking, data), data, {"seconds": {"embed": math.inf}})
    assert load_run(folder).json["note"] == "hello"
