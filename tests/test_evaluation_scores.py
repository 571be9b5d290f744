from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens import Dataset, Photo, PhotoSet, Ranking, evaluate
from shoplens.errors import DataError, RankingError
from shoplens.evaluation.metric_names import DEFAULT_METRICS, per_query
from shoplens.evaluation.scores import judge


def photos(products: Sequence[str | None], ids: Sequence[int] | None = None) -> PhotoSet:
    numbers = range(len(products)) if ids is None else ids
    return PhotoSet(
        [
            Photo(number, f"{number}.jpg", Path(f"{number}.jpg"), "seller", product_id=product)
            for number, product in zip(numbers, products, strict=True)
        ]
    )


def dataset(
    gallery: Sequence[str | None],
    queries: Sequence[str | None],
    gallery_ids: Sequence[int] | None = None,
    query_ids: Sequence[int] | None = None,
) -> Dataset:
    return Dataset(Path(), photos(gallery, gallery_ids), photos(queries, query_ids))


def ranking(data: Dataset, rows: npt.ArrayLike, n_failed: dict[str, int] | None = None) -> Ranking:
    ids = np.array(rows, dtype=np.int32)
    return Ranking(data.queries.ids, ids, None, "model", "abc", ("exact",), n_failed=n_failed or {})


def value(data: Dataset, rows: npt.ArrayLike, metric: str = "map@1000") -> float:
    return evaluate(ranking(data, rows), data, metrics=[metric])[metric].value


def test_the_example_of_the_challenge_scores_07() -> None:
    data = dataset(["a", "b", "c", "a", "a"], ["a"])
    assert value(data, [[0, 1, 2, 3, 4]]) == pytest.approx(0.7, abs=1e-15)


def test_hits_at_ranks_1_and_10_of_5_score_024() -> None:
    gallery = ["a", *"bcdefghi", "a", "a", "a", "a"]
    # The other three are in the gallery, but not in the row.
    assert value(dataset(gallery, ["a"]), [list(range(10))]) == pytest.approx(0.24, abs=1e-15)


def test_ids_that_are_not_row_numbers_keep_their_meaning() -> None:
    # Read as row positions, 1 would be the second photo; as ids it is the third.
    data = dataset(["x", "y", "a"], ["a"], gallery_ids=[2, -7, 1])
    assert value(data, [[1, 2, -7]]) == 1.0
    assert value(data, [[-7, 2, 1]]) == pytest.approx(1 / 3)


def test_product_ids_are_text() -> None:
    data = dataset(["1", "01", "1.0"], ["01"])
    assert value(data, [[1, 0, 2]]) == 1.0
    assert value(data, [[0, 1, 2]]) == 0.5


def test_every_default_metric_is_there_in_order() -> None:
    data = dataset(["a", "b"], ["a", "b"])
    scores = evaluate(ranking(data, [[0, 1], [0, 1]]), data)
    assert tuple(scores) == DEFAULT_METRICS
    assert len(scores) == len(DEFAULT_METRICS)
    assert scores["map@1000"].value == 0.75
    assert scores["hit@1"].value == 0.5
    assert scores.per_query["map@1000"].tolist() == [1.0, 0.5]


def test_metrics_that_look_at_the_whole_gallery_are_not_informative() -> None:
    data = dataset(["a", "b", "a", "c", "d"], ["a"])
    names = ["map@1000", "recall@4", "recall@5", "hit@5", "precision@6", "precision-min@5",
             "ndcg@10", "precision@R", "mrr", "hit@4:product", "recall@5:product"]  # fmt: skip
    scores = evaluate(ranking(data, [[1, 0, 2, 3, 4]]), data, metrics=names)
    assert tuple(scores) == tuple(names)
    assert scores.informative == (
        "map@1000",
        "recall@4",
        "ndcg@10",
        "precision@R",
        "mrr",
        "hit@4:product",
    )
    assert set(scores.to_json()["metrics"]) == set(names)
    short = evaluate(ranking(data, [[1, 3, 4]]), data, metrics=names)
    assert short["recall@5"].value == 0
    assert short.informative == tuple(names)


def test_queries_without_a_positive_are_left_out_and_counted() -> None:
    data = dataset(["a", "b"], ["none", "a", "other"])
    scores = evaluate(ranking(data, [[0, 1], [0, 1], [1, 0]]), data)
    assert scores.n_without_positive == 2
    assert scores.n_queries == 3
    for metric in ("map@1000", "hit@1", "mrr", "recall@1"):
        assert scores[metric].value == 1.0
        np.testing.assert_array_equal(scores.per_query[metric], [np.nan, 1, np.nan])
    assert (scores["map@1000"].low, scores["map@1000"].high) == (1.0, 1.0)


def test_without_any_positive_nothing_can_be_scored() -> None:
    data = dataset(["a"], ["b"])
    with pytest.raises(DataError, match="no query's product has a gallery photo"):
        evaluate(ranking(data, [[0]]), data)


def test_no_queries_cannot_be_scored() -> None:
    data = dataset(["a"], [])
    with pytest.raises(DataError, match="nothing can be scored"):
        evaluate(ranking(data, np.empty((0, 1))), data)


@pytest.mark.parametrize("side", ["gallery", "queries"])
def test_missing_ground_truth_is_refused_by_name(side: str) -> None:
    products = {"gallery": ["a", "b"], "queries": ["a", "b"], side: ["a", None]}
    data = dataset(products["gallery"], products["queries"], [3, 4], [3, 4])
    with pytest.raises(
        DataError, match=r"1 of 2 .* photos have no product_id; the first is 4 \(4\.jpg\)"
    ):
        evaluate(ranking(data, [[3, 4], [3, 4]]), data)


def test_unknown_ids_are_refused_with_their_place() -> None:
    data = dataset(["a", "b", "c"], ["a", "b"], gallery_ids=[10, 20, 30])
    with pytest.raises(
        RankingError,
        match=r"2 ranked ids belong to no gallery photo.* 15 in row 0, column 1 \(from 0",
    ):
        evaluate(ranking(data, [[10, 15, 30], [10, 20, 31]]), data)


@pytest.mark.parametrize("unknown", [-(2**31), 9, 2**31 - 1])
def test_ids_beyond_both_ends_are_unknown(unknown: int) -> None:
    data = dataset(["a", "b"], ["a"], gallery_ids=[20, 10])
    with pytest.raises(RankingError, match=f"{unknown} in row 0, column 1"):
        evaluate(ranking(data, [[10, unknown]]), data)


def test_repeated_ids_are_refused_with_their_place() -> None:
    data = dataset(["a", "b", "c"], ["a", "b"], gallery_ids=[30, 10, 20])
    with pytest.raises(
        RankingError, match=r"2 ids repeat an earlier id of their row.* 30 in row 1, column 1"
    ):
        evaluate(ranking(data, [[10, 20, 30], [30, 30, 30]]), data)


@pytest.mark.parametrize("query_ids", [[1, 0], [0, 2]])
def test_a_ranking_of_other_queries_is_refused(query_ids: list[int]) -> None:
    data = dataset(["a", "b"], ["a", "b"])
    other = Ranking(np.array(query_ids, np.int32), np.zeros((2, 1), np.int32), None)
    with pytest.raises(RankingError, match="other queries"):
        evaluate(other, data)


def test_an_unknown_metric_is_refused() -> None:
    data = dataset(["a"], ["a"])
    with pytest.raises(RankingError, match="no metric 'ap@10'"):
        evaluate(ranking(data, [[0]]), data, metrics=["ap@10"])


def test_an_empty_gallery_is_refused() -> None:
    data = dataset([], ["a"])
    with pytest.raises(RankingError, match="gallery is empty"):
        evaluate(ranking(data, np.empty((1, 0))), data)


def test_failures_are_counted() -> None:
    data = dataset(["a", "b"], ["a"])
    scores = evaluate(ranking(data, [[0, 1]], {"queries": 1, "gallery": 2}), data)
    assert scores.n_failed == 3


def test_json_has_the_shape_of_the_contract() -> None:
    data = dataset(["a", "b"], ["a", "b"])
    values = evaluate(ranking(data, [[0, 1], [1, 0]]), data).to_json()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert list(values) == [
        "n_queries", "n_gallery", "n_without_positive", "n_failed", "model", "chain",
        "batch_side", "metrics", "seconds",
    ]  # fmt: skip
    assert values["model"] == {"name": "model", "fingerprint": "abc"}
    assert values["chain"] == ["exact"]
    assert values["batch_side"] is False
    assert values["metrics"]["map@1000"] == {"value": 1.0, "low": 1.0, "high": 1.0}


# Blank places.


def test_a_blank_place_keeps_its_rank_and_is_no_hit() -> None:
    data = dataset(["a", "b", "a"], ["a", "b"], gallery_ids=[4, 5, 6])
    ids = np.array([[4, 6, 5], [4, 4, 5]], dtype=np.int32)
    blank = np.array([[True, False, False], [False, True, False]])
    ranks = Ranking(data.queries.ids, ids, None, blank=blank)
    scores = evaluate(ranks, data, metrics=["map@1000", "hit@1"])
    # The last photo of the gallery is a: a blank must not read as it.
    np.testing.assert_allclose(scores.per_query["map@1000"], [(1 / 2) / 2, 1 / 3])
    np.testing.assert_array_equal(scores.per_query["hit@1"], [0, 0])


def test_unknown_ids_in_blank_places_are_not_looked_at() -> None:
    data = dataset(["a", "b"], ["a"], gallery_ids=[4, 5])
    blank = np.array([[True, True, False]])
    ranks = Ranking(data.queries.ids, np.array([[99, 99, 4]], np.int32), None, blank=blank)
    assert evaluate(ranks, data, metrics=["mrr"])["mrr"].value == pytest.approx(1 / 3)


# Products as results.


def test_a_product_stands_where_its_first_photo_does() -> None:
    data = dataset(["b", "b", "a", "c", "a"], ["a"])
    scores = evaluate(
        ranking(data, [[0, 1, 2, 3, 4]]), data,
        metrics=["mrr:product", "hit@1:product", "hit@2:product", "recall@2:product",
                 "map@2:product", "precision@2:product", "map@R:product", "mrr"],
    )  # fmt: skip
    assert {name: scores[name].value for name in scores} == pytest.approx(
        {
            "mrr:product": 1 / 2,
            "hit@1:product": 0,
            "hit@2:product": 1,
            "recall@2:product": 1,
            "map@2:product": 1 / 2,
            "precision@2:product": 1 / 2,
            "map@R:product": 0,
            "mrr": 1 / 3,
        }
    )


def test_a_product_that_is_not_in_the_row_scores_0() -> None:
    data = dataset(["b", "b", "a"], ["a", "c", "b"])
    found = evaluate(ranking(data, [[0, 1]] * 3), data, metrics=["hit@5:product"])
    np.testing.assert_array_equal(found.per_query["hit@5:product"], [0, np.nan, 1])


@given(st.data())
def test_product_metrics_equal_a_naive_grouping(data: st.DataObject) -> None:
    gallery = data.draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=15))
    queries = data.draw(st.lists(st.sampled_from(gallery), min_size=1, max_size=4))
    made = dataset(gallery, queries)
    columns = data.draw(st.integers(1, len(gallery)))
    rows = np.array([data.draw(st.permutations(range(len(gallery))))[:columns] for _ in queries])
    blank = np.array(
        data.draw(st.lists(st.booleans(), min_size=rows.size, max_size=rows.size))
    ).reshape(rows.shape)
    ranks = Ranking(made.queries.ids, rows.astype(np.int32), None, blank=blank)
    k = data.draw(st.integers(1, 6))
    # Straight from judging: an interval for each example would take a minute.
    relevant, one = judge(ranks, made).relevant_products(), np.ones(len(queries), dtype=np.int64)
    ranked = per_query("mrr:product", relevant, one)
    hits = per_query(f"hit@{k}:product", relevant, one)
    for query, (row, empty) in enumerate(zip(rows, blank, strict=True)):
        shown: list[str | None] = []
        for photo, is_blank in zip(row, empty, strict=True):
            product = None if is_blank else gallery[photo]
            if product is None or product not in shown:
                shown.append(product)
        rank = shown.index(queries[query]) + 1 if queries[query] in shown else None
        assert ranked[query] == (1 / rank if rank else 0)
        assert hits[query] == (rank is not None and rank <= k)


@given(st.data())
def test_the_order_of_irrelevant_photos_changes_no_score(data: st.DataObject) -> None:
    gallery = data.draw(st.lists(st.sampled_from("abcd"), min_size=2, max_size=15))
    product = data.draw(st.sampled_from(gallery))
    made = dataset(gallery, [product])
    row = data.draw(st.permutations(range(len(gallery))))
    others = [place for place, photo in enumerate(row) if gallery[photo] != product]
    mixed = list(row)
    for place, origin in zip(others, data.draw(st.permutations(others)), strict=True):
        mixed[place] = row[origin]
    names = ["map@1000", "map@R", "map-found@5", "map-trapezoid@9", "ndcg@5", "hit@2", "mrr"]
    before, after = (judge(ranking(made, [ids]), made) for ids in (row, mixed))
    for name in names:
        expected = per_query(name, before.relevant, before.n_positive)
        assert per_query(name, after.relevant, after.n_positive) == expected


def test_judging_names_the_product_of_every_result() -> None:
    data = dataset(["b", "a", "c"], ["c", "a"])
    judged = judge(ranking(data, [[0, 1, 2], [2, 1, 0]]), data)
    assert judged.groups.tolist() == [2, 0]
    assert judged.products.tolist() == [[1, 0, 2], [2, 0, 1]]
    assert judged.relevant.tolist() == [[False, False, True], [False, True, False]]


@given(st.data())
def test_scores_equal_a_naive_evaluation(data: st.DataObject) -> None:
    names = st.sampled_from("abcdef")
    gallery = data.draw(st.lists(names, min_size=1, max_size=25))
    queries = data.draw(st.lists(names, min_size=1, max_size=8))
    ids = data.draw(
        st.lists(
            st.integers(-(2**31), 2**31 - 1), unique=True,
            min_size=len(gallery), max_size=len(gallery),
        )
    )  # fmt: skip
    made = dataset(gallery, queries, ids)
    columns = data.draw(st.integers(1, len(gallery)))
    rows = [data.draw(st.permutations(ids))[:columns] for _ in queries]
    product_of = dict(zip(ids, gallery, strict=True))
    expected = []
    for product, row in zip(queries, rows, strict=True):
        if product not in gallery:
            continue
        hits, total = 0, 0.0
        for rank, photo in enumerate(row, start=1):
            if product_of[photo] == product:
                hits += 1
                total += hits / rank
        expected.append(total / gallery.count(product))
    if not expected:
        with pytest.raises(DataError):
            evaluate(ranking(made, rows), made)
        return
    scores = evaluate(ranking(made, rows), made, metrics=["map@1000", "map@3"])
    found = scores["map@1000"]
    assert found.value == pytest.approx(sum(expected) / len(expected), abs=1e-12)
    assert scores["map@3"].value <= found.value + 1e-12
    assert 0 <= found.low <= found.high <= 1 + 1e-12
    assert scores.n_without_positive == len(queries) - len(expected)


def original_kit_score(
    answer: npt.NDArray[np.int32], gallery_products: list[str], query_products: list[str]
) -> float:
    """What the starter kit computes: numbers are positions in gallery.csv, exactly 1000 columns."""
    assert answer.shape == (len(query_products), 1000)
    scores = []
    for row, product in zip(answer.tolist(), query_products, strict=True):
        assert len(set(row)) == 1000
        positives = sum(1 for other in gallery_products if other == product)
        found, total = 0, 0.0
        for i, position in enumerate(row):
            if gallery_products[position] == product:
                found += 1
                total += found / (i + 1)
        scores.append(total / positives)
    return sum(scores) / len(scores)


def test_a_gallery_of_more_than_1000_scores_as_in_the_original_kit() -> None:
    generator = np.random.default_rng(0)
    # One product has more photos than a row can hold.
    gallery = [f"p{n}" for n in generator.integers(60, size=1500)] + ["many"] * 1200
    queries = [f"p{n}" for n in range(30)] + ["many"] * 3
    answer = np.stack([generator.permutation(2700)[:1000] for _ in queries]).astype(np.int32)
    data = dataset(gallery, queries)
    assert value(data, answer) == pytest.approx(
        original_kit_score(answer, gallery, queries), abs=1e-12
    )


def test_intervals_draw_products_and_not_queries() -> None:
    # Two products of 50 queries each, all right and all wrong: drawing products gives a mean of 0,
    # 0.5 or 1, drawing queries one near 0.5.
    data = dataset(["a", "b"], ["a"] * 50 + ["b"] * 50)
    found = evaluate(ranking(data, [[0, 1]] * 100), data, metrics=["hit@1"])["hit@1"]
    assert (found.low, found.value, found.high) == (0.0, 0.5, 1.0)


def test_intervals_do_not_depend_on_the_order_of_the_tables() -> None:
    products = [f"p{number % 7}" for number in range(40)]
    data = dataset(products, products)
    rows = np.random.default_rng(0).permuted(np.tile(np.arange(40), (40, 1)), axis=1)
    order = np.random.default_rng(1).permutation(40)
    turned = Dataset(
        Path(),
        PhotoSet([data.gallery[int(i)] for i in order]),
        PhotoSet([data.queries[int(i)] for i in order]),
    )
    one = evaluate(ranking(data, rows), data)["map@1000"]
    two = evaluate(ranking(turned, rows[order]), turned)["map@1000"]
    assert (one.low, one.high) == pytest.approx((two.low, two.high), abs=1e-12)
