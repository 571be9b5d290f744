"""The ranker with the interface of the 2023 starter kit."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.challenge.ranker import ShoplensRanker, complete_rows
from shoplens.errors import ShoplensError
from shoplens.ranking import Ranking
from shoplens.vectors.embeddings import Embeddings

Make = Callable[..., Path]


def ranker(kind: type[ShoplensRanker], data: Path) -> ShoplensRanker:
    return kind(str(data), str(data / "gallery.csv"), str(data / "queries.csv"))


@pytest.fixture
def toy(make_model: Make) -> type[ShoplensRanker]:
    class Toy(ShoplensRanker):
        model = str(make_model())

    return Toy


def test_rows_hold_ids_best_first(toy: type[ShoplensRanker], make_dataset: Make) -> None:
    data = make_dataset(
        gallery=((70, "a"), (-5, "b"), (9, "c")),
        queries=((4, "c", "0,0,64,48"), (3, "b", "0,0,64,48")),
    )
    answer = ranker(toy, data).predict_product_ranks()
    assert answer.dtype == np.int32
    assert answer[:, 0].tolist() == [9, -5]
    assert [sorted(row) for row in answer.tolist()] == [[-5, 9, 70]] * 2


def test_tables_may_lie_elsewhere_than_the_photos(
    toy: type[ShoplensRanker], make_dataset: Make, tmp_path: Path
) -> None:
    data = make_dataset()
    (tmp_path / "tables").mkdir()
    for name in ("gallery.csv", "queries.csv"):
        (data / name).rename(tmp_path / "tables" / name)
    tables = (tmp_path / "tables" / name for name in ("gallery.csv", "queries.csv"))
    answer = toy(data, *tables).predict_product_ranks()
    assert answer[:, 0].tolist() == [0, 1]


def test_tables_need_no_products(toy: type[ShoplensRanker], make_dataset: Make) -> None:
    data = make_dataset()
    for name in ("gallery.csv", "queries.csv"):
        with (data / name).open(newline="") as stream:
            rows = [row[:-1] for row in csv.reader(stream)]
        (data / name).write_text("".join(",".join(row) + "\n" for row in rows))
    assert ranker(toy, data).predict_product_ranks()[:, 0].tolist() == [0, 1]


def test_damaged_photos_shift_nothing_and_are_told(
    toy: type[ShoplensRanker], make_dataset: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_dataset()
    (data / "gallery" / "0.png").write_bytes(b"no picture")
    (data / "queries" / "1.png").unlink()
    answer = ranker(toy, data).predict_product_ranks()
    assert answer[0].tolist()[-1] == 0
    assert answer[1].tolist() == [0, 1, 2]
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 of 3 photos failed: not_an_image" in err
    assert "1 of 2 photos failed: missing" in err
    assert "embed: 3 of 3" in err


def test_links_that_leave_the_data_are_refused(
    toy: type[ShoplensRanker], make_dataset: Make, tmp_path: Path
) -> None:
    data = make_dataset()
    photo = data / "gallery" / "0.png"
    photo.rename(tmp_path / "secret.png")
    photo.symlink_to(tmp_path / "secret.png")
    with pytest.raises(ShoplensError, match=r"'gallery/0\.png' leaves the folder through a symb"):
        ranker(toy, data).predict_product_ranks()


def test_a_faulty_table_ends_with_a_message_for_the_submitter(
    make_model: Make, make_dataset: Make
) -> None:
    said: list[str] = []

    class Told(ShoplensRanker):
        model = make_model()

        def raise_aicrowd_error(self, msg: str):
            said.append(msg)
            super().raise_aicrowd_error(msg)

    data = make_dataset()
    with (data / "queries.csv").open("a") as stream:
        stream.write("0,queries/0.png,0,0,5,5,a\n")
    with pytest.raises(ShoplensError):
        ranker(Told, data)
    (message,) = said
    assert "queries.csv, row 4, column user_img_id" in message


def test_a_model_that_is_not_there_is_named(make_dataset: Make) -> None:
    class Lost(ShoplensRanker):
        model = "models/mine"

    with pytest.raises(ShoplensError, match="no model 'models/mine'"):
        ranker(Lost, make_dataset())


def test_short_rows_of_a_subclass_are_completed(make_model: Make, make_dataset: Make) -> None:
    class First(ShoplensRanker):
        model = make_model()

        def rank(self, queries: Embeddings, gallery: Embeddings) -> Ranking:
            return Ranking(queries.ids, super().rank(queries, gallery).ids[:, :1], None)

    answer = ranker(First, make_dataset()).predict_product_ranks()
    assert answer.tolist() == [[0, 1, 2], [1, 0, 2]]


@given(st.data(), st.integers(1, 1300), st.integers(0, 1100), st.integers(0, 4))
def test_completed_rows_keep_what_was_given_and_repeat_nothing(
    data: st.DataObject, n_gallery: int, columns: int, n_queries: int
) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    gallery = random.permutation(10 * n_gallery)[:n_gallery].astype(np.int32) - n_gallery
    columns = min(columns, n_gallery)
    rows = [random.permutation(gallery)[:columns] for _ in range(n_queries)]
    ids = np.array(rows, dtype=np.int32).reshape(n_queries, columns)
    complete = complete_rows(ids, gallery)
    length = min(1000, n_gallery)
    assert complete.shape == (n_queries, length)
    assert complete.dtype == np.int32
    for given_row, row in zip(ids.tolist(), complete.tolist(), strict=True):
        assert row[: min(columns, length)] == given_row[:length]
        assert len(set(row)) == length
        rest = row[columns:]
        assert rest == [i for i in gallery.tolist() if i not in set(given_row)][: len(rest)]
