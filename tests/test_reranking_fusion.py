from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st
from made_rankings import mean_precision, shop

import shoplens
from shoplens import Ranking
from shoplens.errors import RankingError
from shoplens.reranking.reranker import Ranked

INF = float("inf")


def ranking(ids: list[list[int]], scores: list[list[float]]) -> Ranking:
    return Ranking(
        np.arange(len(ids), dtype=np.int32),
        np.array(ids, dtype=np.int32),
        np.array(scores, dtype=np.float32),
        model_name="toy",
        fingerprint="f00d",
        chain=("exact",),
    )


def test_the_worked_example_by_scores() -> None:
    """The example of docs/reranking.md."""
    first = ranking([[1, 2, 3]], [[0.9, 0.8, 0.5]])  # Scaled: 1, 0.75, 0.
    second = ranking([[2, 3, 1]], [[0.6, 0.4, 0.2]])  # Scaled: 1, 0.5, 0.
    found = shoplens.fuse([first, second])
    assert found.ids.tolist() == [[2, 1, 3]]
    np.testing.assert_allclose(found.scores, [[1.75, 1, 0.5]], atol=1e-6)
    assert found.chain == ("1 x (exact)", "1 x (exact)", "fuse:scores")


def test_the_worked_example_by_ranks() -> None:
    first, second = ranking([[1, 2]], [[3, 2]]), ranking([[2, 3]], [[9, 8]])
    found = shoplens.fuse([first, second], by="ranks")
    assert found.ids.tolist() == [[2, 1]]
    np.testing.assert_allclose(found.scores, [[1 / 62 + 1 / 61, 1 / 61]], atol=1e-6)


def test_weights_count() -> None:
    first = ranking([[1, 2, 3]], [[0.9, 0.8, 0.5]])
    second = ranking([[2, 3, 1]], [[0.6, 0.4, 0.2]])
    assert shoplens.fuse([first, second], weights=[10, 1]).ids.tolist() == [[1, 2, 3]]
    assert shoplens.fuse([first, second], weights=[1, 10]).ids.tolist() == [[2, 3, 1]]


def test_what_could_not_be_compared_stays_last() -> None:
    first = ranking([[1, 2, 4, 3]], [[0.9, 0.8, 0.1, -INF]])
    second = ranking([[2, 1, 4, 3]], [[0.9, 0.1, 0, -INF]])
    found = shoplens.fuse([first, second])
    assert found.ids.tolist() == [[2, 1, 4, 3]]
    assert found.scores is not None
    assert found.scores[0].tolist()[2:] == [0, -INF]
    failed = ranking([[1, 2, 3]], [[-INF] * 3])
    assert shoplens.fuse([failed, failed]).ids.tolist() == [[1, 2, 3]]


def test_batch_side_is_handed_on() -> None:
    first = ranking([[1, 2]], [[1, 0]])
    assert not shoplens.fuse([first, first]).batch_side
    assert shoplens.fuse([first, replace(first, batch_side=True)]).batch_side


@given(st.integers(0, 1000))
def test_a_ranking_fused_with_itself_stays(seed: int) -> None:
    made = shop(seed=seed).ranking
    np.testing.assert_array_equal(shoplens.fuse([made, made]).ids, made.ids)
    np.testing.assert_array_equal(shoplens.fuse([made, made], by="ranks").ids, made.ids)


def test_two_models_find_more_than_one() -> None:
    made = shop(60, views=6, n_queries=120, noise=1.0, dimension=32)
    halves = []
    for part in (slice(0, 16), slice(16, 32)):
        sides = []
        for side in (made.queries, made.gallery):
            vectors = side.vectors[:, part]
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            sides.append(replace(side, vectors=vectors))
        halves.append(shoplens.rank(*sides))
    both = Ranked(shoplens.fuse(halves), made.queries, made.gallery)
    for half in halves:
        assert mean_precision(both) > mean_precision(Ranked(half, made.queries, made.gallery))


@pytest.mark.parametrize(
    ("others", "options", "problem"),
    [
        ([], {}, "two rankings or more"),
        ([ranking([[1, 2], [1, 2]], [[1, 0]] * 2)], {}, "other queries"),
        ([ranking([[1]], [[1]])], {}, "rows of 2 and 1"),
        ([Ranking(np.zeros(1, np.int32), np.ones((1, 2), np.int32), None)], {}, "has no scores"),
        ([ranking([[1, 2]], [[1, 0]])], {"weights": [1]}, "as many weights"),
        ([ranking([[1, 2]], [[1, 0]])], {"weights": [1, -1]}, "as many weights above 0"),
    ],
)
def test_rankings_that_do_not_fit_together_are_refused(
    others: list[Ranking], options: dict[str, list[float]], problem: str
) -> None:
    with pytest.raises(RankingError, match=problem):
        shoplens.fuse([ranking([[1, 2]], [[1, 0]]), *others], **options)


def test_the_command_combines_files(run: Run, tmp_path: Path) -> None:
    first = ranking([[1, 2, 3]], [[0.9, 0.8, 0.5]])
    second = replace(ranking([[2, 3, 1]], [[0.6, 0.4, 0.2]]), batch_side=True)
    for name, one in (("a", first), ("b", second)):
        one.save(tmp_path / f"{name}.npz")
    files = (tmp_path / "a.npz", tmp_path / "b.npz")
    output = tmp_path / "both.npz"
    for words, options in (
        ((), {}),
        (("--by", "ranks"), {"by": "ranks"}),
        (("--weight", "10", "--weight", "1"), {"weights": [10, 1]}),
    ):
        result = run("fuse", *files, "-o", output, *words, "--json", "-")
        assert result.code == 0
        assert "1 x 3 ids, batch-side" in result.err
        expected = shoplens.fuse([first, second], **options)
        found = Ranking.load(output)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.query_ids, first.query_ids)
        assert result.json == {
            "output": str(output),
            "shape": [1, 3],
            "model": {"name": "toy", "fingerprint": "f00d"},
            "chain": list(expected.chain),
            "batch_side": True,
        }


def test_what_the_command_cannot_combine(run: Run, tmp_path: Path) -> None:
    for name in ("a.npz", "a.npy"):
        ranking([[1, 2]], [[1, 0]]).save(tmp_path / name)
    file, output = tmp_path / "a.npz", tmp_path / "both.npz"
    assert run("fuse", file, "-o", output).code == 2
    assert run("fuse", file, file, "-o", output, "--weight", "1").code == 2
    assert run("fuse", file, file, "-o", tmp_path / "both.csv").code == 2
    assert run("fuse", file, tmp_path / "none.npz", "-o", output).code == 3
    result = run("fuse", file, tmp_path / "a.npy", "-o", output)
    assert result.code == 1
    assert "a.npy does not say which queries it ranks" in result.err
    assert not output.exists()
