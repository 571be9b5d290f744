from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from PIL import Image

from shoplens.errors import DataError, MissingError
from shoplens.training.progress_curves import CurveLog, plot_curves

COLUMNS = ("loss/supcon", "learning_rate", "map@1000/holdout")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_row_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    with CurveLog(path, COLUMNS) as log:
        assert rows_of(path) == []
        log.add(1, 0.5, {"loss/supcon": 2.0, "learning_rate": 1e-4})
        assert len(rows_of(path)) == 1
        log.add(2, 1, {"map@1000/holdout": 0.25})
    assert path.read_text().splitlines() == [
        "step,epoch,loss/supcon,learning_rate,map@1000/holdout",
        "1,0.5,2,0.0001,",
        "2,1,,,0.25",
    ]


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with (
        CurveLog(tmp_path / "curves.csv", COLUMNS) as log,
        pytest.raises(ValueError, match="loss/keep"),
    ):
        log.add(1, 0, {"loss/keep": 1.0})


def test_a_resumed_run_drops_what_it_does_again(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    with CurveLog(path, COLUMNS) as log:
        for step in range(1, 6):
            log.add(step, step, {"loss/supcon": step})
    with path.open("a") as stream:
        stream.write("6,6,0.1")  # killed while writing
    with CurveLog(path, COLUMNS, resumed_step=3) as log:
        log.add(4, 4, {"loss/supcon": 44})
    assert [(row["step"], row["loss/supcon"]) for row in rows_of(path)] == [
        ("1", "1"),
        ("2", "2"),
        ("3", "3"),
        ("4", "44"),
    ]


def test_a_resumed_run_may_measure_other_things(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    with CurveLog(path, ["loss/supcon", "learning_rate"]) as log:
        log.add(1, 1, {"loss/supcon": 5, "learning_rate": 1})
    with CurveLog(path, ["loss/keep", "learning_rate"], resumed_step=1) as log:
        log.add(2, 2, {"loss/keep": 7})
    first, second = rows_of(path)
    assert (first["loss/supcon"], first["loss/keep"]) == ("5", "")
    assert (second["loss/supcon"], second["loss/keep"]) == ("", "7")


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    for _ in range(2):
        with CurveLog(path, COLUMNS) as log:
            log.add(1, 1, {})
    assert len(rows_of(path)) == 1
    other = tmp_path / "other.csv"
    CurveLog(other, COLUMNS, resumed_step=7).close()  # resumed, but the file is gone
    assert rows_of(other) == []


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gallery.csv"
    path.write_text("img_path,product_id\na.jpg,1\n")
    with pytest.raises(DataError, match="no columns step and epoch"):
        CurveLog(path, COLUMNS, resumed_step=1)


def test_a_picture_comes_out(tmp_path: Path) -> None:
    path, picture = tmp_path / "curves.csv", tmp_path / "curves.png"
    with CurveLog(path, [*COLUMNS, "loss/keep", "map@1000/never"]) as log:
        for step in range(200):
            values = {"loss/supcon": 5 / (1 + step), "loss/keep": 1.0, "learning_rate": 1e-4}
            log.add(step, step / 100, values)
        log.add(200, 2, {"map@1000/holdout": 0.4})
        plot_curves(path, picture)  # while the run goes on
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert min(image.size) > 500
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 50
    assert "matplotlib.pyplot" not in sys.modules


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        plot_curves(tmp_path / "curves.csv", tmp_path / "curves.png")
    CurveLog(tmp_path / "curves.csv", COLUMNS).close()
    with pytest.raises(DataError, match="no row"):
        plot_curves(tmp_path / "curves.csv", tmp_path / "curves.png")
