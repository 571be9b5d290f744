from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from shoplens.errors import RankingError
from shoplens.evaluation.bootstrap import Estimate, estimate
from shoplens.evaluation.metric_names import DEFAULT_METRICS, Metric, parse_metric, per_query

KINDS = (
    "map", "map-found", "map-min", "map-trapezoid", "recall", "hit", "precision", "precision-min",
    "ndcg", "mrr",
)  # fmt: skip


def one(name: str, row: list[int], n_positive: int) -> float:
    return float(per_query(name, np.array([row], dtype=bool), np.array([n_positive]))[0])


def row_with_hits(*ranks: int, length: int = 1000) -> list[int]:
    return [int(rank in ranks) for rank in range(1, length + 1)]


def test_hits_at_ranks_1_and_10_of_5_score_024() -> None:
    assert one("map@1000", row_with_hits(1, 10), 5) == pytest.approx(0.24, abs=1e-15)


def test_three_positives_at_ranks_1_4_5_score_07() -> None:
    assert one("map@1000", row_with_hits(1, 4, 5), 3) == pytest.approx(0.7, abs=1e-15)


def test_all_positives_first_score_1() -> None:
    assert one("map@1000", row_with_hits(1, 2, 3), 3) == 1.0


def test_a_row_without_hit_scores_0_everywhere() -> None:
    for name in DEFAULT_METRICS:
        assert one(name, row_with_hits(), 4) == 0.0


def test_the_denominator_is_all_positives_even_those_that_no_row_can_hold() -> None:
    assert one("map@1000", [1] * 1000, 4000) == pytest.approx(0.25)
    assert one("recall@1000", [1] * 1000, 4000) == 0.25


def test_ranks_beyond_k_do_not_count() -> None:
    assert one("map@3", row_with_hits(4), 1) == 0.0
    assert one("recall@3", row_with_hits(2, 4), 2) == 0.5
    assert one("hit@3", row_with_hits(4), 1) == 0.0


def test_a_row_shorter_than_k_counts_as_missing_the_rest() -> None:
    assert one("precision@10", [1, 0, 1], 2) == 0.2
    assert one("map@1000", [1, 0, 1], 2) == pytest.approx((1 + 2 / 3) / 2)
    assert one("mrr", [0, 0, 1], 2) == pytest.approx(1 / 3)


def test_rows_of_no_columns_score_0() -> None:
    empty = np.zeros((2, 0), dtype=bool)
    for name in DEFAULT_METRICS:
        assert per_query(name, empty, np.array([1, 2])).tolist() == [0.0, 0.0]


def reference(name: str, row: list[bool], n_positive: int) -> float:
    """Straight from the definitions, in plain Python."""
    kind, _, cut = name.partition("@")
    k = n_positive if cut == "R" else int(cut) if cut else len(row)
    hits = 0
    gain = total = trapezoids = 0.0
    first = 0
    for rank, relevant in enumerate(row[:k], start=1):
        if relevant:
            before = hits / (rank - 1) if rank > 1 else 1.0
            hits += 1
            total += hits / rank
            trapezoids += (before + hits / rank) / 2
            gain += 1 / math.log2(rank + 1)
            first = first or rank
    findable = min(k, n_positive)
    values = {
        "map": lambda: total / n_positive,
        "map-found": lambda: total / hits if hits else 0.0,
        "map-min": lambda: total / findable,
        "map-trapezoid": lambda: trapezoids / n_positive,
        "recall": lambda: hits / n_positive,
        "hit": lambda: float(hits > 0),
        "precision": lambda: hits / k,
        "precision-min": lambda: hits / findable,
        "ndcg": lambda: gain / sum(1 / math.log2(i + 1) for i in range(1, findable + 1)),
        "mrr": lambda: 1 / first if first else 0.0,
    }
    return values[kind]()


@st.composite
def judged_rows(draw: st.DrawFn) -> tuple[list[list[bool]], list[int]]:
    columns = draw(st.integers(0, 40))
    rows = draw(
        st.lists(
            st.lists(st.booleans(), min_size=columns, max_size=columns), min_size=1, max_size=6
        )
    )
    counts = [max(1, sum(row)) + draw(st.integers(0, 3000)) for row in rows]
    return rows, counts


@given(judged_rows(), st.integers(1, 60))
def test_metrics_equal_the_definitions(judged: tuple[list[list[bool]], list[int]], k: int) -> None:
    rows, counts = judged
    relevant = np.array(rows, dtype=bool).reshape(len(rows), -1)
    for name in (*(f"{kind}@{cut}" for kind in KINDS for cut in (k, "R")), "mrr", "map@1000"):
        expected = [reference(name, row, n) for row, n in zip(rows, counts, strict=True)]
        found = per_query(name, relevant, np.array(counts))
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_metrics_equal_the_definitions_on_full_rows() -> None:
    generator = np.random.default_rng(3)
    relevant = generator.random((40, 1000)) < generator.random((40, 1)) ** 3
    counts = relevant.sum(axis=1) + generator.integers(1, 2000, size=40)
    for name in (*DEFAULT_METRICS, *(f"{kind}@{cut}" for kind in KINDS for cut in (300, "R"))):
        expected = [
            reference(name, row.tolist(), int(n)) for row, n in zip(relevant, counts, strict=True)
        ]
        found = per_query(name, relevant, counts)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "name",
    ["map", "map@0", "map@-1", "map@1.5", "map@1e3", "map@ 10", "mAP@10", "ap@10", "ndcg",
     "recall", "recall@", "@10", "", "map@10 ", "map@01", "hit@5@6", "map@r", "mrr@", "mrrR",
     "map-@5", "map-hits@5", "hit@5:photo", "hit@5:", ":product", "hit:product", "map@1234567890"],
)  # fmt: skip
def test_names_outside_the_grammar_are_refused(name: str) -> None:
    with pytest.raises(RankingError, match=r"no metric .*there are map@K"):
        one(name, [1], 1)


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(RankingError, match=r"no metric 'ndgc@5' \(did you mean ndcg@K\?\)"):
        parse_metric("ndgc@5")


def test_a_name_is_taken_apart() -> None:
    assert parse_metric("map-min@100") == Metric("map-min", 100, by_product=False)
    assert parse_metric("precision@R") == Metric("precision", "R", by_product=False)
    assert parse_metric("mrr:product") == Metric("mrr", None, by_product=True)


# What the docs say of one row: 4 relevant photos, found at ranks 1, 3 and 6 of 10.
WORKED = {
    "map@10": (1 + 2 / 3 + 3 / 6) / 4,
    "map-found@10": (1 + 2 / 3 + 3 / 6) / 3,
    "map-min@3": (1 + 2 / 3) / 3,
    "map@R": (1 + 2 / 3) / 4,
    "map-trapezoid@10": ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 5 + 3 / 6) / 2) / 4,
    "recall@3": 2 / 4,
    "hit@3": 1.0,
    "precision@3": 2 / 3,
    "precision@R": 2 / 4,
    "precision-min@10": 3 / 4,
    "ndcg@3": (1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2),
    "mrr@10": 1.0,
}


@pytest.mark.parametrize("name", WORKED)
def test_the_worked_examples_of_the_docs(name: str) -> None:
    found = one(name, row_with_hits(1, 3, 6, length=10), 4)
    assert found == pytest.approx(WORKED[name], abs=1e-12)
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    pattern = f"`{name}`" + r"[^\n]*= (\d\.\d+)"
    stated = re.search(pattern, page)
    assert stated, f"docs/metrics.md works no example of {name}"
    assert stated[1] == f"{found:.4f}"


def test_every_kind_has_a_worked_example() -> None:
    assert {name.partition("@")[0] for name in WORKED} == set(KINDS)


ALL_NAMES = [f"{kind}@{cut}" for kind in KINDS for cut in (1, 5, 40, "R")]


@given(judged_rows())
def test_metrics_lie_between_0_and_1(judged: tuple[list[list[bool]], list[int]]) -> None:
    relevant = np.array(judged[0], dtype=bool).reshape(len(judged[0]), -1)
    for name in ALL_NAMES:
        values = per_query(name, relevant, np.array(judged[1]))
        assert ((values >= 0) & (values <= 1 + 1e-12)).all(), name


@given(judged_rows(), st.data())
def test_a_hit_that_moves_up_lowers_nothing(
    judged: tuple[list[list[bool]], list[int]], data: st.DataObject
) -> None:
    row, n_positive = judged[0][0], judged[1][0]
    places = [i for i in range(1, len(row)) if row[i] and not row[i - 1]]
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    better = list(row)
    better[place - 1], better[place] = True, False
    rows = np.array([row, better], dtype=bool)
    for name in ALL_NAMES:
        cut = n_positive if name.endswith("R") else int(name.partition("@")[2])
        # Dividing by the hits found punishes a hit that enters the first k late.
        if name.startswith("map-found") and place >= cut:
            continue
        worse, now = per_query(name, rows, np.array([n_positive, n_positive]))
        assert now >= worse - 1e-12, name


def test_dividing_by_the_hits_found_can_punish_a_hit() -> None:
    assert one("map-found@3", [1, 0, 0, 1], 2) == 1.0
    assert one("map-found@3", [1, 0, 1, 0], 2) == pytest.approx(5 / 6)


@given(st.integers(1, 30), st.integers(0, 30))
def test_all_positives_first_score_1_in_every_metric(n_positive: int, others: int) -> None:
    row = [1] * n_positive + [0] * others
    for kind in KINDS:
        cuts = ["R"] if kind == "precision" else ["R", n_positive, n_positive + 7]
        for cut in cuts:
            assert one(f"{kind}@{cut}", row, n_positive) == pytest.approx(1, abs=1e-12)


@given(judged_rows(), st.integers(1, 60))
def test_conventions_are_ordered(judged: tuple[list[list[bool]], list[int]], k: int) -> None:
    relevant = np.array(judged[0], dtype=bool).reshape(len(judged[0]), -1)
    counts = np.array(judged[1])

    def value(kind: str) -> npt.NDArray[np.float64]:
        return per_query(f"{kind}@{k}", relevant, counts)

    assert (value("map") <= value("map-min") + 1e-12).all()
    assert (value("map-min") <= value("map-found") + 1e-12).all()
    assert (value("recall") <= value("hit") + 1e-12).all()
    assert (value("map") <= value("recall") + 1e-12).all()
    np.testing.assert_array_equal(
        per_query("precision@R", relevant, counts), per_query("recall@R", relevant, counts)
    )


def naive_interval(values: list[float], groups: list[int]) -> Estimate:
    """The same bootstrap, one query at a time."""
    members: dict[int, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        members.setdefault(group, []).append(value)
    generator = np.random.default_rng(0)
    means = []
    for _ in range(1000):
        drawn: list[float] = []
        for group in generator.integers(len(members), size=len(members)):
            drawn.extend(members[int(group)])
        means.append(sum(drawn) / len(drawn))
    means.sort()

    def percentile(share: float) -> float:
        place = share * (len(means) - 1)
        below = int(place)
        above = min(below + 1, len(means) - 1)
        return means[below] + (place - below) * (means[above] - means[below])

    return Estimate(sum(values) / len(values), percentile(0.025), percentile(0.975))


def test_the_interval_is_a_bootstrap_over_products() -> None:
    generator = np.random.default_rng(1)
    groups = np.sort(np.concatenate([np.arange(12), generator.integers(12, size=30)]))
    values = generator.random(len(groups))
    expected = naive_interval(values.tolist(), groups.tolist())
    found = estimate(values, groups)
    for name in ("value", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12)
    assert found.low < found.value < found.high


def test_more_products_make_the_interval_narrower() -> None:
    widths = []
    for n_products in (5, 50, 500):
        values = np.random.default_rng(2).random(4 * n_products)
        found = estimate(values, np.repeat(np.arange(n_products), 4))
        widths.append(found.high - found.low)
    assert widths[0] > 1.5 * widths[1] > 3 * widths[2]


def test_queries_of_one_product_do_not_narrow_the_interval() -> None:
    # The same ten products asked for once or fifty times say equally much about other products.
    per_product = np.random.default_rng(4).random(10)
    once = estimate(per_product, np.arange(10))
    often = estimate(np.repeat(per_product, 50), np.repeat(np.arange(10), 50))
    assert often.low == pytest.approx(once.low)
    assert often.high == pytest.approx(once.high)


def test_one_product_gives_an_interval_of_no_width() -> None:
    found = estimate(np.array([0.25, 0.75]), np.array([0, 0]))
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_interval_is_the_same_each_time() -> None:
    values, groups = np.random.default_rng(5).random(20), np.arange(20)
    assert estimate(values, groups) == estimate(values, groups)
    assert estimate(values, groups) != estimate(values, groups, seed=1)
